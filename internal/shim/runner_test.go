package shim_test

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/tetryx/lynx-runner/internal/shim"
)

// ended waits until the shim has closed a connection.
func (c *connection) ended() {
	c.t.Helper()
	if _, err := io.Copy(io.Discard, c.lines); err != nil {
		c.t.Fatal(err)
	}
}

func TestKillMessageKillsEverything(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		r := newRun(t, p)
		c, d := driveJob(r)
		d.do("child session")
		d.do("child group")
		children := descendantsOf(t, r.cmd.Process.Pid)
		c.send(shim.MessageKill)
		report := r.finish(c)
		if report.Code != 137 || report.Signal != 9 || report.DeadlineKill {
			t.Errorf("report %+v", report)
		}
		for _, pid := range children {
			if !gone(pid) {
				t.Errorf("process %d is left", pid)
			}
		}
	})
}

func TestDeadlineNeedsNoRunner(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		r := newRun(t, p, "sh", "-c", `"$0" wait & exec "$0" wait`, jobPath)
		r.config.KillAfterMillis = 100
		r.start()
		must(t, r.up().conn.Close())
		must(t, r.runner.Close())
		if status := r.status(); status != 137 {
			t.Errorf("exit status %d", status)
		}
	})
}

// A job outlives its runner for as long as it was told to.
func TestRunnerLossEndsTheJob(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		r := newRun(t, p, "sh", "-c", `"$0" wait & exec "$0" wait`, jobPath)
		r.config.RunnerLossMillis = 100
		r.start()
		c := r.up()
		c.send(shim.MessageHello)
		must(t, c.conn.Close())
		must(t, r.runner.Close())
		if status := r.status(); status != 137 {
			t.Errorf("exit status %d", status)
		}
	})
}

func TestDeadlineIsReported(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		r := newRun(t, p, jobPath, "wait")
		r.config.KillAfterMillis = 1
		if report := r.complete(); !report.DeadlineKill || report.Code != 137 || report.Signal != 9 {
			t.Errorf("report %+v", report)
		}
	})
}

// A job that is faster than its deadline does not meet it.
func TestDeadlineAheadChangesNothing(t *testing.T) {
	r := newRun(t, places(t)[0], "true")
	r.config.KillAfterMillis = 3_600_000
	if report := r.complete(); report.DeadlineKill || report.Code != 0 {
		t.Errorf("report %+v", report)
	}
}

func TestRestartedRunnerIsDialledAgain(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		r := newRun(t, p)
		c, d := driveJob(r)
		for range 2 {
			must(t, c.conn.Close())
			must(t, r.runner.Close()) // and the socket is gone
			r.listen()
			c = r.up()
		}
		d.tell("exit 6")
		if report := r.finish(c); report.Code != 6 {
			t.Errorf("report %+v", report)
		}
	})
}

func TestShimEndsWithoutAcknowledgement(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		r := newRun(t, p, "sh", "-c", "exit 3")
		r.start()
		c := r.up()
		c.expect(shim.MessageExit)
		if status := r.status(); status != 3 {
			t.Errorf("exit status %d", status)
		}
		c.ended()
	})
}

func TestJobRunsWithoutARunner(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		r := newRun(t, p, "sh", "-c", "echo alone; exit 3")
		must(t, r.runner.Close())
		r.start()
		if status := r.status(); status != 3 {
			t.Errorf("exit status %d", status)
		}
		if out, _ := r.logs(); out != "alone\n" {
			t.Errorf("stdout %q", out)
		}
	})
}

func TestGarbageFromTheRunnerEndsOnlyTheConnection(t *testing.T) {
	r := newRun(t, places(t)[0])
	c, d := driveJob(r)
	for name, garbage := range map[string][]byte{
		"no JSON": []byte("kill\n"), "no object": []byte("[]\n"), "no type": []byte("{}\n"),
		"a long line": bytes.Repeat([]byte(" "), 2*shim.MaxLine),
	} {
		if _, err := c.conn.Write(garbage); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_, _ = io.Copy(io.Discard, c.lines) // to its end, or reset
		c = r.up()
	}
	// What it does not know, it skips.
	if _, err := fmt.Fprintln(c.conn, `{"type":"news"}`); err != nil {
		t.Fatal(err)
	}
	c.send(shim.MessageAck) // of nothing
	d.tell("exit 5")
	if report := r.finish(c); report.Code != 5 {
		t.Errorf("report %+v", report)
	}
}
