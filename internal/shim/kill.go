package shim

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// sweepPause is the time between two rounds of killing what is left.
	sweepPause = 2 * time.Millisecond
	// sweepLimit is when the shim gives up on processes that don't die (they hang
	// in the kernel) and ends without them.
	sweepLimit = 5 * time.Second
)

// killer ends all processes of the job.
type killer struct {
	init  bool // the shim is PID 1
	group int  // the job's process group
	spare *reserve
}

// all kills everything that there is now. PID 1 has the whole pid namespace in
// one call, which no fork escapes; elsewhere it is the job's group and every
// descendant: orphans become the shim's children, so none gets lost, but one that
// forks at the same moment is left for the next round.
func (k killer) all() {
	if k.init {
		_ = unix.Kill(-1, unix.SIGKILL)
		return
	}
	_ = unix.Kill(-k.group, unix.SIGKILL)
	k.below(os.Getpid())
}

// KillBelow sends SIGKILL to every descendant of a process that is the reaper of
// their orphans, and returns how many there were. One that forks at the same
// moment is left for the next call.
func KillBelow(root int) int { return killer{spare: new(reserve)}.below(root) }

func (k killer) below(root int) (found int) {
	ours := descendants(k.processes(), root)
	for pid := range ours {
		if pid != root {
			found++
			k.one(pid, ours)
		}
	}
	return found
}

// sweep kills what the main process has left, until none is left.
func (k killer) sweep(none <-chan struct{}) {
	giveUp := time.After(sweepLimit)
	if k.init {
		k.all()
	} else {
		_ = unix.Kill(-k.group, unix.SIGKILL)
	}
	for {
		select {
		case <-none:
			return
		case <-giveUp:
			return
		case <-time.After(sweepPause):
			k.all()
		}
	}
}

// one kills a process if it still is a descendant: its number may have gone to
// another process since it was listed, and a pidfd keeps to one.
func (k killer) one(pid int, ours map[int]bool) {
	var fd int
	err := k.spare.with(func() (err error) {
		fd, err = unix.PidfdOpen(pid, 0)
		return err
	})
	if errors.Is(err, unix.ENOSYS) { // before Linux 5.3
		_ = unix.Kill(pid, unix.SIGKILL)
	}
	if err != nil {
		return
	}
	if parent, ok := k.parent(pid); ok && ours[parent] {
		_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
	}
	_ = unix.Close(fd)
}

// processes lists every process that can be seen, with its parent.
func (k killer) processes() map[int]int {
	var entries []os.DirEntry
	_ = k.spare.with(func() (err error) {
		entries, err = os.ReadDir("/proc")
		return err
	})
	parents := make(map[int]int, len(entries))
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if parent, ok := k.parent(pid); ok {
			parents[pid] = parent
		}
	}
	return parents
}

// parent reads a process's parent; false if it is gone, or a zombie, which only
// waits to be reaped.
func (k killer) parent(pid int) (int, bool) {
	var stat []byte
	err := k.spare.with(func() (err error) {
		stat, err = os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		return err
	})
	// proc_pid_stat(5): pid (name) state ppid …; the name may hold anything.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if err != nil || len(fields) < 2 || fields[0][0] == 'Z' {
		return 0, false
	}
	parent, err := strconv.Atoi(string(fields[1]))
	return parent, err == nil
}

// descendants returns root and all below it.
func descendants(parents map[int]int, root int) map[int]bool {
	below := map[int]bool{root: true}
	for grown := true; grown; {
		grown = false
		for pid, parent := range parents {
			if below[parent] && !below[pid] {
				below[pid] = true
				grown = true
			}
		}
	}
	return below
}
