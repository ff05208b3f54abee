// Package control is the runner's end of the control connection to a shim: a
// unix socket in the attempt's runtime directory, on which the shim says that
// the job was started and how it ended, and the runner acknowledges that, or
// tells the shim to kill.
//
// # Who is let in
//
// The job's processes can reach the socket too, with the same user as the shim.
// So a connection is judged by the process id that the kernel recorded when it
// was made (SO_PEERCRED): only the shim's own, which Expect tells, is let in. The
// shim dials before the engine has told anybody that id; connections that come
// before Expect are held, unread, in a short queue. The shim dials before it
// starts the job, so its place in that queue can't be taken from it, and a
// restarted runner's shim dials again until it is heard.
//
// There is one connection at a time. A further one of the same process takes the
// place of the one before: the shim dials again only when that broke.
//
// # Life
//
//	Listen → (start the shim) → Expect → Started or Exited … → Ack → Close
//
// Everything that was learned or decided survives a broken connection: a kill or
// an acknowledgement is repeated to the shim's next one. Nothing here is proof:
// what the shim reports is believed only where the engine agrees.
package control

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/tetryx/lynx-runner/internal/shim"
)

// ErrNotConnected says that the shim is not connected now. What was to be said
// is said as soon as it is.
var ErrNotConnected = errors.New("the shim is not connected")

const (
	// maxPending bounds the connections that wait for Expect.
	maxPending = 8
	// writeTimeout bounds a write to the shim, which reads at once.
	writeTimeout = time.Second
	// acceptPause keeps the loop from spinning where accept fails (no
	// descriptors left).
	acceptPause = 50 * time.Millisecond
	// floodAfter is the number of refused connections from which on each further
	// one is followed by floodPause.
	floodAfter = 64
	floodPause = 5 * time.Millisecond

	// nobody and theFirst stand for a process id that is not known.
	nobody, theFirst = -1, -2
)

// Server is the runner's end of one attempt's control connection. Its methods
// may be called concurrently, in any order. They never wait for an answer.
type Server struct {
	log      *slog.Logger
	listener *net.UnixListener
	done     chan struct{}
	tasks    sync.WaitGroup

	hello, started, exited chan struct{}

	jobs chan shim.Message
	lost chan struct{}

	mu       sync.Mutex
	closed   bool
	expected int // the shim's process id, or nobody, or theFirst; 0 until Expect
	pending  []peer
	refused  int // connections of other processes
	current  *net.UnixConn
	read     chan struct{} // closed when current was read to its end; nil without one
	said     said
	report   shim.ExitReport
	acked    bool
	killed   bool
}

// peer is a connection and the process that made it.
type peer struct {
	conn *net.UnixConn
	pid  int
}

// said is what the shim has said so far, over all its connections.
type said struct{ hello, started, exited bool }

// Listen listens on a unix socket at path, which must be shorter than 108 bytes.
// A socket that an earlier runner left there is replaced. The socket's mode is
// 0666: the directory decides who can reach it. log may be nil.
func Listen(path string, log *slog.Logger) (*Server, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if err := removeSocket(path); err != nil {
		return nil, err
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen on control socket: %w", err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		return nil, errors.Join(fmt.Errorf("open control socket to the shim: %w", err), listener.Close())
	}
	s := &Server{
		log: log, listener: listener, done: make(chan struct{}),
		hello: make(chan struct{}), started: make(chan struct{}), exited: make(chan struct{}),
		jobs: make(chan shim.Message, maxNews), lost: make(chan struct{}),
	}
	s.tasks.Go(s.accept)
	return s, nil
}

// removeSocket removes what an earlier runner left at path, if it is a socket.
func removeSocket(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("control socket: %w", err)
	case info.Mode().Type() != os.ModeSocket:
		return fmt.Errorf("control socket %s: there is something else (%s)", path, info.Mode().Type())
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove stale control socket: %w", err)
	}
	return nil
}

// Expect tells the shim's process id, as seen from this process's pid namespace
// (a container's State.Pid). Connections of other processes, held so far or to
// come, are closed. The last call counts; an id below 1 lets nobody in.
func (s *Server) Expect(pid int) {
	if pid < 1 {
		pid = nobody
	}
	s.expect(pid)
}

func (s *Server) expect(who int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.expected = who
	for _, p := range s.pending {
		s.judge(p)
	}
	s.pending = nil
}

// ExpectFirst is Expect where the shim has ended before anybody could tell its process
// id: it is that of the oldest connection, held or still to be accepted, since the shim
// dials before there is a job that could.
func (s *Server) ExpectFirst() { s.expect(theFirst) }

// Hello is closed when the shim was first connected.
func (s *Server) Hello() <-chan struct{} { return s.hello }

// Started is closed when the shim has said that the job's main process runs.
// Where the command can't be executed that never happens, and Exited is closed
// instead.
func (s *Server) Started() <-chan struct{} { return s.started }

// Exited is closed when the shim has reported the end of the main process; then
// Report has it.
func (s *Server) Exited() <-chan struct{} { return s.exited }

// Report returns the exit report, and whether there is one. The first one that
// came stays.
func (s *Server) Report() (shim.ExitReport, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.report, s.said.exited
}

// Settle is for when the shim's process is gone: what it had sent may not have
// been read yet. It returns when that is done, or when limit has passed.
func (s *Server) Settle(limit time.Duration) {
	s.mu.Lock()
	read := s.read
	nothing := s.said.exited || s.current == nil && s.expected != theFirst
	s.mu.Unlock()
	if nothing {
		return
	}
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-read:
	case <-s.exited:
	case <-t.C:
	}
}

// Ack acknowledges the exit report: the shim ends upon it. Without a report, or
// a connection, it returns ErrNotConnected, and the report is acknowledged when
// it comes (again).
func (s *Server) Ack() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acked = true
	if !s.said.exited {
		return ErrNotConnected
	}
	return s.send(shim.MessageAck)
}

// Kill tells the shim to kill every process of the job, itself last. Without a
// connection it returns ErrNotConnected, and the shim is told when it connects.
func (s *Server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.killed = true
	return s.send(shim.MessageKill)
}

// Close stops listening, drops all connections and removes the socket. The shim
// goes on, and dials whoever listens there next. It may be called again.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	close(s.done)
	err := s.listener.Close()
	for _, p := range s.pending {
		_ = p.conn.Close()
	}
	s.pending = nil
	if s.current != nil {
		_ = s.current.Close()
		s.current = nil
	}
	s.mu.Unlock()
	s.tasks.Wait()
	return err
}
