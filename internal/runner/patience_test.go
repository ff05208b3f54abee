package runner

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tetryx/lynx-runner/executor"
)

// An attempt that was claimed waits for an engine that is away, for its image and for
// its start, and the runner tells that it takes no jobs.
func TestAttemptsWaitForTheEngine(t *testing.T) {
	b := newBench(t)
	b.pace.engine = time.Minute
	var away atomic.Bool
	var resolves, starts atomic.Int32
	answer := func(asked *atomic.Int32) error {
		if asked.Add(1); away.Load() {
			return fmt.Errorf("connect: %w", executor.ErrUnavailable)
		}
		return nil
	}
	b.executor.ping = func() error { return answer(new(atomic.Int32)) }
	b.executor.resolve = func(_ context.Context, image string) (string, error) { return "sha256:" + image, answer(&resolves) }
	b.executor.start = func(context.Context, executor.Spec) error {
		if starts.Add(1) == 1 {
			away.Store(true)
		}
		return answer(new(atomic.Int32))
	}
	b.executor.script = func(context.Context, *program) executor.Exit { return exited(0) }
	b.start()
	b.paused("")
	b.platform.submit(assignment("job", 0))
	b.paused("connect")
	b.platform.submit(assignment("other", 1))
	if n := resolves.Load(); n != 1 {
		t.Errorf("%d attempts were begun while the engine was away", n)
	}
	away.Store(false)
	for _, id := range []string{"job-1", "other-1"} {
		if result := b.platform.result(id); result.GetOutcome() != "completed" {
			t.Errorf("%s: %s: %s", id, result.GetOutcome(), result.GetErrorMessage())
		}
	}
	b.drain()
}

// An engine that stays away for too long has lost the attempt, as has one that
// answers and fails, at once; a job's own fault is nobody else's.
func TestPatienceEnds(t *testing.T) {
	for name, c := range map[string]struct {
		err     error
		outcome string
		tries   int32 // at least; 1 is exactly
	}{
		"away":        {executor.ErrUnavailable, "infrastructure", 2},
		"fails":       {errors.New("an internal error"), "infrastructure", 1},
		"job's fault": {executor.ErrInvalidSpec, "invalid_job", 1},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.pace.engine = time.Second // for the first try and a second one
			var starts atomic.Int32
			b.executor.start = func(context.Context, executor.Spec) error { starts.Add(1); return fmt.Errorf("start: %w", c.err) }
			result := runOne(t, b, assignment("job", 0))
			if n := starts.Load(); result.GetOutcome() != c.outcome || n < c.tries || c.tries == 1 && n != 1 {
				t.Errorf("%s after %d tries: %s", result.GetOutcome(), n, result.GetErrorMessage())
			}
		})
	}
}
