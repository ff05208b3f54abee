package cgroup

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// precedences are ways to let a thread run before others, the best first. Fair
// scheduling can promise it only within a group: weights are shared out by group and by
// CPU, and a group that has had its share on one waits there for tens of milliseconds,
// whatever the niceness of its threads. The groups are the containers' and the
// services', and without those, where the kernel groups by session (sched(7),
// autogroup), the sessions.
//
// What such a thread forks is as others are: where the limit on processes can't be set
// to 0, a tree with precedence could outrun its end.
var precedences = []unix.SchedAttr{
	{Policy: unix.SCHED_FIFO, Flags: unix.SCHED_FLAG_RESET_ON_FORK, Priority: 1},
	// Some kernels (CONFIG_RT_GROUP_SCHED) refuse the first in any group but the root. A
	// small reservation (SCHED_DEADLINE), which they grant, is no help: whoever has used
	// it up is held back until the next. The runtime is the least that is granted at a
	// time: who asks for less is sooner given it.
	{Policy: unix.SCHED_NORMAL, Flags: unix.SCHED_FLAG_RESET_ON_FORK, Nice: -20, Runtime: uint64(100 * time.Microsecond)},
}

// goFirst gives a thread, 0 for the calling one, the best precedence that this process
// may give it.
func goFirst(thread int) (err error) {
	for _, a := range precedences {
		if err = unix.SchedSetAttr(thread, &a, 0); err == nil {
			return nil
		}
	}
	return err
}

// Urgently runs f on a thread that goes before others, where this process may have one,
// and returns when f has. On busy cores each step of a kill would else wait for the end
// of others' turns, and so would the look at its result. f hardly uses the CPU, though
// it may sleep in the kernel; other goroutines that it waits for are as slow as ever.
func Urgently(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		given, err := unix.SchedGetAttr(0, 0)
		urgent := err == nil && goFirst(0) == nil
		f()
		if urgent && unix.SchedSetAttr(0, given, 0) != nil {
			return // the thread ends with its goroutine
		}
		runtime.UnlockOSThread()
	}()
	<-done
}
