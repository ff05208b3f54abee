package cgroup

import (
	"errors"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// goesFirst says whether a thread, 0 for the calling one, has one of the precedences.
func goesFirst(t *testing.T, thread int) bool {
	t.Helper()
	a, err := unix.SchedGetAttr(thread, 0)
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(precedences, func(p unix.SchedAttr) bool {
		return a.Policy == p.Policy && a.Nice == p.Nice && a.Priority == p.Priority && a.Flags&p.Flags == p.Flags
	})
}

// Each precedence is one that the kernel knows. It may refuse any of them for want of
// the right, or of room.
func TestPrecedences(t *testing.T) {
	for _, p := range precedences {
		c := sleeper(t)
		err := unix.SchedSetAttr(c.Process.Pid, &p, 0)
		if err != nil && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.EBUSY) {
			t.Errorf("%+v: %v", p, err)
		}
		if err == nil && !goesFirst(t, c.Process.Pid) {
			t.Errorf("%+v has no effect", p)
		}
	}
}

// What is urgent runs to its end on one thread that goes first, where this user may
// have one, and no thread goes first afterwards.
func TestUrgently(t *testing.T) {
	before, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	Urgently(func() {
		ran = unix.Gettid()
		if goesFirst(t, 0) != (os.Geteuid() == 0) {
			t.Error("it goes first, or does not, against this user's rights")
		}
	})
	if ran == 0 {
		t.Fatal("it did not run")
	}
	a, err := unix.SchedGetAttr(ran, 0)
	if err != nil && !errors.Is(err, unix.ESRCH) || err == nil && (a.Policy != before.Policy || a.Nice != before.Nice) {
		t.Errorf("its thread is left with %+v, %v; want %+v", a, err, before)
	}
}
