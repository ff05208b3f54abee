package shim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxConnections is how many telemetry connections the job has at once; what
	// comes beyond that is closed.
	maxConnections = 16
	// forwardBuffer is what one direction of a connection holds.
	forwardBuffer = 16 << 10
	// forwardDial bounds the connection to the runner's socket.
	forwardDial = 2 * time.Second
	// acceptPause is the rest after an accept that failed.
	acceptPause = 50 * time.Millisecond
	// drainLimit is how long the shim waits at the end for the runner to take
	// what the job has sent.
	drainLimit = time.Second
)

// forwarder carries the job's telemetry port to the runner's unix socket, byte
// for byte.
type forwarder struct {
	listener *net.TCPListener
	socket   string
	spare    *reserve
	// checkPeers says that only processes of the shim's own user are let in.
	checkPeers bool
	// slots holds the buffers of the connections that are free.
	slots chan *slot
	// upstream counts the directions from the job to the runner.
	upstream sync.WaitGroup
	ended    chan struct{}
}

type slot struct{ up, down [forwardBuffer]byte }

// listen opens the job's telemetry port.
func listen(address, socket string, spare *reserve) (*forwarder, error) {
	var config net.ListenConfig
	config.SetMultipathTCP(false)
	l, err := config.Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("telemetry port: %w", err)
	}
	f := &forwarder{
		listener: l.(*net.TCPListener), socket: socket, spare: spare,
		slots: make(chan *slot, maxConnections), ended: make(chan struct{}),
	}
	for range maxConnections {
		f.slots <- new(slot)
	}
	return f, nil
}

// target is the address that the job dials.
func (f *forwarder) target() string { return f.listener.Addr().String() }

// run takes connections until drain.
func (f *forwarder) run() {
	defer close(f.ended)
	defer f.listener.Close() //nolint:errcheck // nobody is left to tell
	for {
		err := f.accept()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			f.acceptRest()
			return
		case err != nil:
			time.Sleep(acceptPause)
		}
	}
}

// accept takes one connection and forwards it, or closes it if there are too
// many.
func (f *forwarder) accept() error {
	var conn *net.TCPConn
	if err := f.spare.with(func() (err error) {
		conn, err = f.listener.AcceptTCP()
		return err
	}); err != nil {
		return err
	}
	if f.checkPeers && !f.ownPeer(conn) {
		_ = conn.Close()
		f.spare.refill()
		return nil
	}
	select {
	case s := <-f.slots:
		f.upstream.Add(1)
		go func() {
			f.forward(conn, s)
			f.slots <- s
			f.spare.refill()
		}()
	default:
		_ = conn.Close()
		f.spare.refill()
	}
	return nil
}

// acceptRest takes the connections that were made before the job's end and never
// waits for another.
func (f *forwarder) acceptRest() {
	raw, err := f.listener.SyscallConn()
	if err != nil {
		return
	}
	_ = f.listener.SetDeadline(time.Now().Add(drainLimit))
	waiting := func() (yes bool) {
		_ = raw.Control(func(fd uintptr) {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
			yes = err == nil && n > 0
		})
		return yes
	}
	for waiting() {
		if f.accept() != nil {
			return
		}
	}
}

// drain passes on what the job sent before it ended, for at most drainLimit, and
// takes no connection any more. It says whether all was passed on. No process of
// the job may be left.
func (f *forwarder) drain() bool {
	_ = f.listener.SetDeadline(time.Unix(1, 0))
	passed := make(chan struct{})
	go func() {
		<-f.ended
		f.upstream.Wait()
		close(passed)
	}()
	select {
	case <-passed:
		return true
	case <-time.After(drainLimit):
		return false
	}
}

// forward serves one connection to its end and closes it.
func (f *forwarder) forward(job *net.TCPConn, s *slot) {
	defer job.Close() //nolint:errcheck // an error is the connection's end too
	runner, err := f.dial()
	if err != nil {
		f.upstream.Done()
		return
	}
	defer runner.Close() //nolint:errcheck // as above
	down := make(chan struct{})
	go func() {
		defer close(down)
		pass(job, runner, s.down[:])
	}()
	pass(runner, job, s.up[:])
	f.upstream.Done()
	<-down
}

func (f *forwarder) dial() (conn *net.UnixConn, err error) {
	dialer := net.Dialer{Timeout: forwardDial}
	err = f.spare.with(func() error {
		c, err := dialer.Dial("unix", f.socket)
		if err == nil {
			conn = c.(*net.UnixConn)
		}
		return err
	})
	return conn, err
}

// halfCloser is a connection whose directions end one by one.
type halfCloser interface {
	net.Conn
	CloseWrite() error
}

// pass copies one direction to its end, and ends it at the other side too, so
// that the other direction can go on. Where it breaks, both connections are of no
// use any more: closing them tells the other direction, and the job, so.
func pass(to, from halfCloser, buffer []byte) {
	_, err := io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, buffer)
	if err != nil {
		_, _ = from.Close(), to.Close()
		return
	}
	_ = to.CloseWrite()
}
