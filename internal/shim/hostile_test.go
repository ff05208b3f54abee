package shim_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tetryx/lynx-runner/internal/shim"
)

func processFile(pid int, name string) string { return fmt.Sprintf("/proc/%d/%s", pid, name) }

// waitFor waits for a state that nothing announces.
func waitFor(t *testing.T, what string, reached func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !reached(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestChildThatHoldsTheOutputDelaysNothing(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		r := newRun(t, p)
		c, d := driveJob(r)
		d.do("child group")
		d.do("child session")
		d.want("print last", "printed")
		d.tell("exit 4")
		if report := r.finish(c); report.Code != 4 {
			t.Errorf("report %+v", report)
		}
		if out, _ := r.logs(); out != "last\n" {
			t.Errorf("stdout %q", out)
		}
	})
}

func TestNothingOutlivesTheShim(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		r := newRun(t, p)
		c, d := driveJob(r)
		d.do("child group")
		d.do("child session")
		children := descendantsOf(t, r.cmd.Process.Pid)
		if len(children) != 3 {
			t.Fatalf("%d processes below the shim, want 3", len(children))
		}
		d.tell("exit 0")
		r.finish(c)
		for _, pid := range children {
			if !gone(pid) {
				t.Errorf("process %d is left", pid)
			}
		}
	})
}

// descendantsOf lists the processes below one, as this process sees them.
func descendantsOf(t *testing.T, root int) (below []int) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	must(t, err)
	parents := map[int]int{}
	for _, e := range entries {
		pid, _ := strconv.Atoi(e.Name())
		stat, err := os.ReadFile(processFile(pid, "stat"))
		if pid == 0 || err != nil {
			continue
		}
		var state string
		var parent int
		_, after, _ := strings.Cut(string(stat), ") ")
		if _, err := fmt.Sscan(after, &state, &parent); err == nil {
			parents[pid] = parent
		}
	}
	for pid := range parents {
		for at := parents[pid]; at != 0; at = parents[at] {
			if at == root {
				below = append(below, pid)
			}
		}
	}
	return below
}

func TestOrphansAreReaped(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		r := newRun(t, p)
		c, d := driveJob(r)
		d.want("orphans 30", "reaped")
		d.tell("exit 0")
		r.finish(c)
	})
}

func TestSignalsAreForwardedToTheJob(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		r := newRun(t, p)
		c, d := driveJob(r)
		for _, s := range []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2} {
			must(t, r.cmd.Process.Signal(s))
			d.want("signal", s.String())
		}
		d.tell("exit 2")
		if report := r.finish(c); report.Code != 2 || report.Forwarded != int(unix.SIGUSR2) {
			t.Errorf("report %+v", report)
		}
	})
}

func TestSignalsOfTheJobDoNotEndTheShim(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		r := newRun(t, p)
		c, d := driveJob(r)
		command := "assault child"
		if p.init {
			command = "assault init" // up to kill -9 -1
		}
		d.want(command, "survived")
		d.tell("exit 9")
		if report := r.finish(c); report.Code != 9 || report.Signal != 0 {
			t.Errorf("report %+v", report)
		}
	})
}

func TestShimCannotBeLookedInto(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		r := newRun(t, p)
		c, d := driveJob(r)
		d.want("peek", "worked:")
		d.tell("exit 0")
		r.finish(c)
	})
}

// At the limit on processes nothing can be started any more, not even a thread;
// the shim does all its work then.
func TestForkBombDoesNotCrashTheShim(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		r := newRun(t, p)
		serveEcho(t, r)
		r.launch = []string{"-nproc", strconv.Itoa(limitFor(t, p.uid, 150))}
		c, d := driveJob(r)
		d.want("bomb", "limit")
		for range 5 {
			d.want("storm 16 100000", "calm")
			must(t, r.cmd.Process.Signal(unix.SIGUSR1))
			d.want("signal", unix.SIGUSR1.String())
		}
		must(t, c.conn.Close())
		c = r.up() // it dials again
		d.tell("exit 7")
		if report := r.finish(c); report.Code != 7 || report.Stdout.Written != 500_000 {
			t.Errorf("report %+v", report)
		}
	})
}

// limitFor is a limit that leaves n processes more than the user has: a
// developer's own, where the tests don't run as root.
func limitFor(t *testing.T, uid, n int) int {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	must(t, err)
	for _, e := range entries {
		var stat unix.Stat_t
		pid, err := strconv.Atoi(e.Name())
		if err != nil || unix.Stat("/proc/"+e.Name(), &stat) != nil || int(stat.Uid) != uid {
			continue
		}
		threads, _ := os.ReadDir(processFile(pid, "task"))
		n += len(threads)
	}
	return n
}

// The executor adds ReservedPids to the job's limit on processes.
func TestThreadsStayWithinTheReservation(t *testing.T) {
	r := newRun(t, places(t)[0])
	serveEcho(t, r)
	c, d := driveJob(r)
	count := func() int {
		threads, err := os.ReadDir(processFile(r.cmd.Process.Pid, "task"))
		must(t, err)
		return len(threads)
	}
	before := count()
	if before < 24 {
		t.Errorf("%d threads at the start: none are made beforehand", before)
	}
	d.want("storm 16 300000", "calm")
	d.want("orphans 20", "reaped")
	if after := count(); after != before || after > shim.ReservedPids {
		t.Errorf("%d threads at the start, %d under load, %d reserved", before, after, shim.ReservedPids)
	}
	d.tell("exit 0")
	r.finish(c)
}
