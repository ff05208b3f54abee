package runner

import (
	"context"
	"errors"
	"fmt"
	"syscall"
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

// waitForHost holds back an attempt that was claimed just before the runner took no
// more jobs, until the reason is gone, or has been there for as long as an engine may
// be away.
func (j *job) waitForHost() {
	ctx, cancel := context.WithTimeout(j.startCtx, j.r.pace.engine)
	defer cancel()
	j.r.pauses.pass(ctx)
}

// tellOfDisk takes no new jobs where a full disk met this one, until the next look
// has found that there is space.
func (j *job) tellOfDisk(rec *record) {
	if rec.diskFull || errors.Is(rec.failure, syscall.ENOSPC) {
		j.r.pauseForDisk()
	}
}

func (r *Runner) pauseForDisk() { r.pause(pauseDisk, "output_root has no space left") }

// untilSpace does what writes some of the attempt's files, and again while their disk
// is full, so that one that is full for a moment costs no telemetry and no manifest. All
// of an attempt's files together wait for no longer than pace.space. The runner takes no
// new jobs meanwhile.
func (j *job) untilSpace(ctx context.Context, rec *record, write func() error) error {
	wait := j.r.pace.backoff()
	for {
		err := write()
		if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
			return err
		}
		j.r.pauseForDisk()
		if rec.waitsForSpace.IsZero() {
			rec.waitsForSpace = time.Now()
		}
		if time.Since(rec.waitsForSpace) > j.r.pace.space || !wait.wait(ctx) {
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
