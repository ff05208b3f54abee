package runner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tetryx/lynx-runner/executor"
)

// patiently does what needs the engine before the job runs. While the engine is
// away it is done again and again, for as long as one may be away, since nothing is
// lost by it; and the runner takes no new jobs, which would not fare better. An
// engine that answers and fails keeps it from new ones until the next look.
func (j *job) patiently(do func(context.Context) error) error {
	wait := j.r.pace.backoff()
	var failing time.Time
	for {
		asked := time.Now()
		err := do(j.startCtx)
		if err == nil || j.startCtx.Err() != nil || isJobs(err) {
			return err
		}
		j.r.engineFailed(err)
		if failing.IsZero() {
			failing = asked
		}
		if !errors.Is(err, executor.ErrUnavailable) || time.Since(failing) > j.r.pace.engine {
			return err
		}
		j.log.Warn("the engine is away; trying again", "error", err)
		if !wait.wait(j.startCtx) {
			return err
		}
	}
}

// isJobs reports whether an executor's error is the job's fault.
func isJobs(err error) bool {
	return errors.Is(err, executor.ErrImage) || errors.Is(err, executor.ErrInvalidSpec)
}

// engineFailed takes no new jobs until the next look has found that the engine
// answers. Executors that have no engine are not looked at.
func (r *Runner) engineFailed(err error) {
	if _, ok := r.deps.Executor.(executor.Pinger); ok {
		r.pause(pauseEngine, printable(fmt.Sprintf("%s does not answer: %v", r.deps.Executor.Name(), err)))
	}
}
