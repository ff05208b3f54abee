package process

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestForkPlain: a job has no precedence on busy cores because its runner has.
func TestForkPlain(t *testing.T) {
	own, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	preceding, want := *own, *own
	preceding.Runtime = 500_000
	if os.Geteuid() == 0 {
		preceding.Nice, want.Nice = -10, 0 // however nice the tests are
	}
	setThreads(t, preceding)
	defer setThreads(t, *own)
	path, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	pid, err := forkPlain(path, []string{"sleep", "1000"}, &syscall.ProcAttr{})
	if err != nil {
		t.Fatal(err)
	}
	a, err := unix.SchedGetAttr(pid, 0)
	if err != nil || a.Nice != want.Nice || a.Runtime != want.Runtime {
		t.Errorf("the child has %+v, %v; want %+v", a, err, want)
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(pid, &status, 0, nil); err != nil {
		t.Error(err)
	}
	if _, err := forkPlain("/nowhere", []string{"x"}, &syscall.ProcAttr{}); err == nil {
		t.Error("a program that is not there was started")
	}
}

// setThreads gives every thread of the test such a priority.
func setThreads(t *testing.T, a unix.SchedAttr) {
	t.Helper()
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		id, _ := strconv.Atoi(thread.Name())
		if err := unix.SchedSetAttr(id, &a, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			t.Fatal(err)
		}
	}
}
