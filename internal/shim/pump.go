package shim

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// pumpBuffer is what is read of a stream at once.
const pumpBuffer = 32 << 10

// pump moves one stream from its pipe to its log, from start to stop.
type pump struct {
	log    *cappedLog
	pipe   *os.File // non-blocking
	writer *os.File // the job's end, until the job was started
	buffer []byte
	done   chan struct{}
}

func newPump(path string, head, tail int64) (*pump, error) {
	log, err := openLog(path, head, tail)
	if err != nil {
		return nil, err
	}
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("log pipe: %w", err)
	}
	// The job's end blocks, as programs expect it.
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return nil, fmt.Errorf("log pipe: %w", err)
	}
	return &pump{
		log: log, pipe: os.NewFile(uintptr(fds[0]), "pipe"), writer: os.NewFile(uintptr(fds[1]), "pipe"),
		buffer: make([]byte, pumpBuffer), done: make(chan struct{}),
	}, nil
}

// start closes the job's end and begins to read.
func (p *pump) start() {
	_ = p.writer.Close()
	go func() {
		defer close(p.done)
		for {
			n, err := p.pipe.Read(p.buffer)
			p.log.write(p.buffer[:n])
			if err != nil {
				return // end of file, or stop
			}
		}
	}()
}

// stop takes what is in the pipe now, and finishes the log. It does not wait for
// those that still hold the pipe open.
func (p *pump) stop() LogReport {
	_ = p.pipe.SetReadDeadline(time.Unix(1, 0))
	<-p.done
	if raw, err := p.pipe.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { p.drain(int(fd)) })
	}
	_ = p.pipe.Close()
	return p.log.close()
}

// drain reads as much as there is now: not more, as a process that is left may
// go on writing.
func (p *pump) drain(fd int) {
	left, err := unix.IoctlGetInt(fd, unix.TIOCINQ)
	for err == nil && left > 0 {
		var n int
		n, err = unix.Read(fd, p.buffer[:min(left, len(p.buffer))])
		if n <= 0 {
			return
		}
		p.log.write(p.buffer[:n])
		left -= n
	}
}
