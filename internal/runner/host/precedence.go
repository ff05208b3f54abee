package host

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// precedence is the runner's niceness under root.
	precedence = -10
	// slice is how long a thread of the runner wants to run at a time. Beside the
	// kernel's 3 ms it is short: whoever asks for less is sooner given it, without
	// being given more (EEVDF, since Linux 6.12; nothing before).
	slice = 500 * time.Microsecond
)

// Precede lets this process run before others where every core is busy: each of the
// few steps from a breach to the kill may else wait for the end of somebody's turn.
// It is about when, for a runner hardly uses the CPU. Only root may lower its
// niceness (CAP_SYS_NICE): without the right, preceded is false. Whoever has chosen
// another niceness than 0 for the runner keeps it. What this process starts inherits
// it unless it is started otherwise; containers are not started by it.
func Precede() (preceded bool, err error) {
	preceded = true
	done := map[int]bool{}
	// A thread that is made meanwhile is like the one that makes it.
	for before := -1; before < len(done); {
		before = len(done)
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return false, fmt.Errorf("precedence on busy cores: %w", err)
		}
		for _, t := range threads {
			id, err := strconv.Atoi(t.Name())
			if err != nil || done[id] {
				continue
			}
			done[id] = true
			may, err := precede(id)
			if err != nil {
				return false, fmt.Errorf("precedence on busy cores: %w", err)
			}
			preceded = preceded && may
		}
	}
	return preceded, nil
}

// precede is Precede of one thread.
func precede(thread int) (bool, error) {
	a, err := unix.SchedGetAttr(thread, 0)
	if errors.Is(err, unix.ESRCH) {
		return true, nil
	}
	if err != nil || a.Policy != unix.SCHED_NORMAL {
		return false, err
	}
	given := a.Nice
	a.Runtime = uint64(slice)
	if given == 0 {
		a.Nice = precedence
	}
	err = unix.SchedSetAttr(thread, a, 0)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		a.Nice = given
		err = unix.SchedSetAttr(thread, a, 0)
	}
	if errors.Is(err, unix.ESRCH) {
		return true, nil
	}
	return a.Nice < 0, err
}
