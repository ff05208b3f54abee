package shim

import (
	"errors"
	"sync"

	"golang.org/x/sys/unix"
)

// reserveFiles is how many descriptors are held in reserve: two for each
// telemetry connection, one to refuse another, one to dial the runner again, and
// a few to look for leftover processes.
const reserveFiles = 2*maxConnections + 6

// reserve holds open files for the time when no more can be opened, because the
// system's table is full or somebody lowered the shim's limit. It holds none
// until refill. It may be used concurrently.
type reserve struct {
	mu   sync.Mutex
	held []int
}

// with runs open. Where that finds no descriptor left, it runs again with one of
// the reserve freed.
func (r *reserve) with(open func() error) error {
	err := open()
	for errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) {
		if !r.release() {
			return err
		}
		err = open()
	}
	return err
}

func (r *reserve) release() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.held) == 0 {
		return false
	}
	last := len(r.held) - 1
	_ = unix.Close(r.held[last])
	r.held = r.held[:last]
	return true
}

// refill takes what is missing, after descriptors were closed, as far as the
// limits let it.
func (r *reserve) refill() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.held) < reserveFiles {
		// A duplicate would share its entry in the system's table.
		fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return
		}
		r.held = append(r.held, fd)
	}
}
