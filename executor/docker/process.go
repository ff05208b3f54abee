package docker

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// errNotInit says that a process id does not lead to a container's init any
// more, or never did as seen from here (an engine in a virtual machine).
var errNotInit = errors.New("not the container's init")

// initProcess is a container's init, held by a pidfd: it can't be confused with
// a later process of the same id. When it dies the kernel kills what is left in
// its pid namespace first, so its end is the end of the whole container.
type initProcess struct {
	pid int
	fd  *os.File
}

// openInit opens a process and then makes sure, by check, that the id still
// belongs to the container: after that the descriptor does for good.
func openInit(pid int, check func() error) (*initProcess, error) {
	if pid <= 1 {
		return nil, fmt.Errorf("pid %d: %w", pid, errNotInit)
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, fmt.Errorf("pidfd of %d: %w", pid, err)
	}
	// Non-blocking makes the descriptor one that the runtime's poller watches, so
	// that waiting takes no thread.
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("pidfd of %d: %w", pid, err)
	}
	p := &initProcess{pid: pid, fd: os.NewFile(uintptr(fd), "pidfd")}
	if err := check(); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// isInitOf makes sure that a process here is the container's, by this kernel's own
// word. The engine's is not enough: it may count the processes of a virtual
// machine, another host or another pid namespace than ours, where the same id is
// somebody else's, who would be killed in its place.
func isInitOf(containerID string, pid int) error {
	if !inCgroupOf(pid, containerID) {
		return fmt.Errorf("pid %d is in no cgroup of container %s here: %w", pid, short(containerID), errNotInit)
	}
	return nil
}

// inCgroupOf says whether a process is in a cgroup of the container, by name.
func inCgroupOf(pid int, containerID string) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	return err == nil && strings.Contains(string(b), containerID)
}

// kill sends SIGKILL. It fails with EPERM for a runner that is neither root nor
// the job's user; a process that is gone is no error.
func (p *initProcess) kill() error {
	raw, err := p.fd.SyscallConn()
	if err != nil {
		return err
	}
	var sendErr error
	if err := raw.Control(func(fd uintptr) {
		sendErr = unix.PidfdSendSignal(int(fd), syscall.SIGKILL, nil, 0)
	}); err != nil {
		return err
	}
	if errors.Is(sendErr, unix.ESRCH) {
		return nil
	}
	return sendErr
}

// wait returns the time at which the process was gone, or an error once close
// was called.
func (p *initProcess) wait() (time.Time, error) {
	raw, err := p.fd.SyscallConn()
	if err != nil {
		return time.Time{}, err
	}
	var at time.Time
	err = raw.Read(func(fd uintptr) bool {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(poll, 0)
		at = time.Now()
		return err == nil && n == 1
	})
	return at, err
}

// dead is wait on the calling thread, for a time. ok is false if the process still
// lives then, or after close.
func (p *initProcess) dead(within time.Duration) (at time.Time, ok bool) {
	raw, err := p.fd.SyscallConn()
	if err != nil {
		return time.Time{}, false
	}
	err = raw.Control(func(fd uintptr) {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		for deadline := time.Now().Add(within); ; {
			n, err := unix.Poll(poll, max(0, int(time.Until(deadline).Milliseconds())))
			at = time.Now()
			ok = err == nil && n == 1
			if !errors.Is(err, unix.EINTR) || !at.Before(deadline) {
				return
			}
		}
	})
	return at, ok && err == nil
}

func (p *initProcess) close() { _ = p.fd.Close() }
