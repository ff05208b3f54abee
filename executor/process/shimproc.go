package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// errGone says that a process has ended, or that its id is another's now.
var errGone = errors.New("the process is gone")

// shimProcess is an attempt's shim, held by a pidfd: it can't be confused with a
// later process of the same id.
type shimProcess struct {
	pid int
	fd  *os.File
}

// holdShim takes a descriptor that the kernel made together with the process, or
// makes one where it is too old for that; the process is our own child then, which
// keeps its id until it was waited for.
func holdShim(pid, fd int) (*shimProcess, error) {
	if fd < 0 {
		var err error
		if fd, err = unix.PidfdOpen(pid, 0); err != nil {
			return nil, fmt.Errorf("pidfd of the shim: %w", err)
		}
	}
	unix.CloseOnExec(fd)
	// Non-blocking makes the descriptor one that the runtime's poller watches, so
	// that waiting takes no thread.
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("pidfd of the shim: %w", err)
	}
	return &shimProcess{pid: pid, fd: os.NewFile(uintptr(fd), "pidfd")}, nil
}

// findShim opens the process of a state file, unless its id is another's by now.
func findShim(pid int, startTime uint64) (*shimProcess, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) {
		return nil, errGone
	}
	if err != nil {
		return nil, fmt.Errorf("pidfd of %d: %w", pid, err)
	}
	p, err := holdShim(pid, fd)
	if err != nil {
		return nil, err
	}
	if now, err := startTimeOf(pid); err != nil || now != startTime {
		p.close()
		return nil, errGone
	}
	return p, nil
}

// startTimeOf is when a process was started, in clock ticks since boot: field 22
// of proc_pid_stat(5), counted from behind the name, which may hold anything.
func startTimeOf(pid int) (uint64, error) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, err
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 20 {
		return 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	return strconv.ParseUint(string(fields[19]), 10, 64)
}

// kill sends SIGKILL; a process that is gone is no error.
func (p *shimProcess) kill() error {
	raw, err := p.fd.SyscallConn()
	if err != nil {
		return err
	}
	var sendErr error
	if err := raw.Control(func(fd uintptr) {
		sendErr = unix.PidfdSendSignal(int(fd), unix.SIGKILL, nil, 0)
	}); err != nil {
		return err
	}
	if errors.Is(sendErr, unix.ESRCH) {
		return nil
	}
	return sendErr
}

// wait returns the time at which the process was gone. The end of ctx closes the
// descriptor for good.
func (p *shimProcess) wait(ctx context.Context) (time.Time, error) {
	stop := context.AfterFunc(ctx, p.close)
	defer stop()
	raw, err := p.fd.SyscallConn()
	if err != nil {
		return time.Time{}, err
	}
	var at time.Time
	err = raw.Read(func(fd uintptr) bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		at = time.Now()
		return err == nil && n == 1
	})
	return at, err
}

// reap takes the exit status of a shim that has ended, if it is our own child and
// nobody has taken it.
func (p *shimProcess) reap() (unix.WaitStatus, bool) {
	var status unix.WaitStatus
	for {
		pid, err := unix.Wait4(p.pid, &status, unix.WNOHANG, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		return status, err == nil && pid == p.pid
	}
}

func (p *shimProcess) close() { _ = p.fd.Close() }
