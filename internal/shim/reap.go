package shim

import (
	"errors"

	"golang.org/x/sys/unix"
)

// reaper waits for every child of the shim, its own and those it was left with.
type reaper struct {
	// main receives the status of the job's main process.
	main chan unix.WaitStatus
	// none is closed when there is no child left at all.
	none chan struct{}
}

// reap starts the only loop that waits for processes.
func reap(main int) *reaper {
	r := &reaper{main: make(chan unix.WaitStatus, 1), none: make(chan struct{})}
	go func() {
		defer close(r.none)
		for {
			var status unix.WaitStatus
			pid, err := unix.Wait4(-1, &status, unix.WALL, nil)
			switch {
			case errors.Is(err, unix.EINTR):
			case err != nil:
				return // ECHILD
			case status.Stopped():
				// It asked to be traced by its parent (PTRACE_TRACEME), which does
				// not: it would wait for ever.
				_ = unix.Kill(pid, unix.SIGKILL)
			case pid == main:
				r.main <- status
			}
		}
	}()
	return r
}

// usage fills in what all reaped processes have used.
func (r *ExitReport) usage() {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_CHILDREN, &u); err != nil {
		return
	}
	r.CPUMicros = (u.Utime.Nano() + u.Stime.Nano()) / 1000
	r.MaxRSSBytes = u.Maxrss << 10
}

// end fills in how the main process ended.
func (r *ExitReport) end(status unix.WaitStatus) {
	if status.Signaled() {
		r.Signal = int(status.Signal())
		r.Code = 128 + r.Signal
		return
	}
	r.Code = status.ExitStatus()
}
