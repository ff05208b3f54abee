package runner

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/tetryx/lynx-runner/executor"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// A job that the platform gives out at the moment of a drain is run, and its
// result delivered before Run returns.
func TestDrainAgainstClaim(t *testing.T) {
	b := newBench(t)
	b.platform.lastMoment = []*runnerv1.Assignment{assignment("one", 0), assignment("two", 1)}
	b.start()
	b.platform.await("a claim", func() bool { return b.platform.asked > 0 })
	b.drain()
	for _, id := range []string{"one-1", "two-1"} {
		if result := b.platform.results[id]; result.GetOutcome() != "completed" {
			t.Errorf("%s: %s: %s", id, result.GetOutcome(), result.GetErrorMessage())
		}
	}
}

// The same at the moment of a hard stop: the job is handed back, not forgotten.
func TestHardStopAgainstClaim(t *testing.T) {
	b := newBench(t)
	b.executor.script = untilKilled
	b.platform.lastMoment = []*runnerv1.Assignment{assignment("one", 0), assignment("two", 1)}
	b.start()
	b.platform.await("a claim", func() bool { return b.platform.asked > 0 })
	b.stop()
	for _, id := range []string{"one-1", "two-1"} {
		if result := b.platform.results[id]; result.GetOutcome() != "infrastructure" || !strings.Contains(result.GetErrorMessage(), "runner_shutdown") {
			t.Errorf("%s: %s: %s", id, result.GetOutcome(), result.GetErrorMessage())
		}
	}
}

// A platform that lets its last claim hang does not keep the runner.
func TestDrainOfADeafPlatform(t *testing.T) {
	for name, end := range map[string]func(*bench){"drain": (*bench).drain, "hard stop": (*bench).stop} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.pace.poll, b.pace.answer = time.Hour, time.Millisecond
			b.platform.deaf = true
			b.start()
			b.platform.await("a claim", func() bool { return b.platform.asked > 0 })
			end(b)
		})
	}
}

// A drain while all slots are taken asks for nothing any more.
func TestDrainWithoutAFreeSlot(t *testing.T) {
	b := newBench(t)
	b.cfg.MaxConcurrentJobs = 1
	finish := make(chan struct{})
	b.executor.script = func(context.Context, *program) executor.Exit { <-finish; return exited(0) }
	b.start()
	b.platform.submit(assignment("one", 0))
	b.platform.await("the start", func() bool { return len(b.platform.started) == 1 })
	b.platform.change(func() { b.platform.lastMoment = []*runnerv1.Assignment{assignment("two", 1)} })
	b.runner.Drain()
	b.platform.await("a draining heartbeat", func() bool { return b.platform.draining })
	close(finish)
	b.drain()
	if b.platform.asked != 1 || len(b.platform.lastMoment) != 1 {
		t.Errorf("asked %d times", b.platform.asked)
	}
}

// The platform hears of a drain at once, not with the next heartbeat: jobs may
// be waiting for a runner.
func TestDrainIsToldAtOnce(t *testing.T) {
	b := newBench(t)
	b.platform.interval = time.Hour
	finish := make(chan struct{})
	b.executor.script = func(context.Context, *program) executor.Exit { <-finish; return exited(0) }
	b.start()
	b.platform.submit(assignment("job", 0))
	b.platform.await("the start", func() bool { return len(b.platform.started) == 1 })
	b.runner.Drain()
	b.platform.await("a draining heartbeat", func() bool { return b.platform.draining })
	close(finish)
	b.drain()
	if len(b.platform.heartbeats) != 2 {
		t.Errorf("%d heartbeats, want the first and the draining one", len(b.platform.heartbeats))
	}
}
