package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/runner/artifact"
	"github.com/tetryx/lynx-runner/internal/runner/journal"
)

// ended is the answer of an executor's Wait.
type ended struct {
	exit executor.Exit
	err  error
}

// supervise waits until the started attempt has ended by itself, or ends it for
// a reason. It returns an error if nobody can tell how it ended.
func (j *job) supervise(ctx context.Context, rec *record, h executor.Handle) error {
	waiting, stopWaiting := context.WithCancel(ctx)
	defer stopWaiting()
	exits := make(chan ended, 1)
	go func() {
		exit, err := j.await(waiting, h)
		exits <- ended{exit, err}
	}()
	timer := time.NewTimer(j.timeLeft(rec, h))
	defer timer.Stop()
	stopWatching := j.watchOutput(ctx, rec.paths)
	defer stopWatching()
	vacated, timeout := vacated(h), timer.C
	for {
		switch e, what := next(exits, vacated, timeout, j.stopped); what {
		case happenedExit:
			if e.err != nil && j.place.left {
				return untold(ctx, e.err)
			}
			if e.err != nil {
				j.stop(cause{kind: causeEngineLost, at: j.r.now(), detail: e.err.Error()})
				return errors.Join(e.err, j.kill(ctx, rec, h))
			}
			j.end()
			rec.exit, rec.exited = e.exit, true
			return nil
		case happenedVacated:
			// It has ended by itself, in time, whatever the engine takes to say so.
			j.end()
			stopWatching()
			j.moveOut(ctx, rec)
			vacated, timeout = nil, nil
		case happenedTimeout:
			j.stop(cause{kind: causeTimeout, at: j.r.now()})
		case happenedStop:
			return j.putDown(ctx, rec, h, exits)
		}
	}
}

// untoldError says why nobody can tell how a job ended, of which nothing lives any more.
type untoldError struct{ error }

// untold is for such a job when the wait for the engine's record has failed: there is
// nothing to kill. The end of ctx is a hard stop's.
func untold(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		err = errors.New("the runner was stopped before the engine said so (runner_shutdown)")
	}
	return &untoldError{err}
}

// happened is what a running job's supervision waits for.
type happened int

const (
	happenedExit happened = iota
	happenedVacated
	happenedTimeout
	happenedStop
)

// next waits for what happens first. An exit that is there counts before
// anything else that is: a job that ended in time must not pay for a runner that
// was kept from looking.
func next(exits <-chan ended, vacated <-chan struct{}, timeout <-chan time.Time, stopped <-chan struct{}) (ended, happened) {
	var what happened
	select {
	case e := <-exits:
		return e, happenedExit
	case <-vacated:
		return ended{}, happenedVacated
	case <-timeout:
		what = happenedTimeout
	case <-stopped:
		what = happenedStop
	}
	select {
	case e := <-exits:
		return e, happenedExit
	case <-vacated:
		return ended{}, happenedVacated
	default:
		return ended{}, what
	}
}

// await is Wait, asked again after errors until the engine has failed for too
// long.
func (j *job) await(ctx context.Context, h executor.Handle) (executor.Exit, error) {
	wait := j.r.pace.backoff()
	var failing time.Time
	for {
		asked := time.Now()
		exit, err := h.Wait(ctx)
		if err == nil || ctx.Err() != nil {
			return exit, err
		}
		if failing.IsZero() || time.Since(asked) > j.r.pace.engine {
			failing = time.Now()
		}
		if time.Since(failing) > j.r.pace.engine {
			return exit, fmt.Errorf("the engine does not tell how the job ended: %w", err)
		}
		j.log.Warn("cannot wait for the job; trying again", "error", err)
		if !wait.wait(ctx) {
			return exit, err
		}
	}
}

// putDown kills the attempt and takes its exit.
func (j *job) putDown(ctx context.Context, rec *record, h executor.Handle, exits <-chan ended) error {
	if err := j.kill(ctx, rec, h); err != nil {
		return err
	}
	j.absolve(rec.gone)
	bound := time.NewTimer(j.r.pace.engine)
	defer bound.Stop()
	vacated := vacated(h)
	for {
		select {
		case e := <-exits:
			rec.exit, rec.exited = e.exit, e.err == nil
			return e.err
		case <-vacated:
			vacated = nil
			j.moveOut(ctx, rec)
		case <-bound.C:
			return errors.New("the engine does not tell how the job ended, after it was killed")
		}
	}
}

// kill writes down why, and ends every process of the attempt. A slow disk
// delays the kill by no more than pace.record; the reason is synced when kill returns.
func (j *job) kill(ctx context.Context, rec *record, h executor.Handle) error {
	why := j.reason()
	recorded, synced := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(synced)
		c := journal.Cause{Kind: why.kind.String(), Message: why.detail, At: why.at}
		if why.sample != nil {
			c.Sample, _ = proto.Marshal(why.sample) // it was decoded just now
		}
		err := j.r.journal.RecordCause(j.a.GetAttemptId(), c)
		close(recorded)
		if err == nil {
			err = j.r.journal.SyncCause(j.a.GetAttemptId())
		}
		if err != nil {
			j.log.Error("the reason for a kill could not be written down", "cause", why.kind, "error", err)
		}
	}()
	hurry := time.NewTimer(j.r.pace.record)
	defer hurry.Stop()
	select {
	case <-recorded:
	case <-hurry.C:
	}
	err := j.killUntilGone(ctx, rec, h)
	<-synced
	return err
}

func (j *job) killUntilGone(ctx context.Context, rec *record, h executor.Handle) error {
	wait := j.r.pace.backoff()
	for {
		bounded, cancel := context.WithTimeout(ctx, j.r.pace.kill)
		gone, err := h.Kill(bounded)
		cancel()
		if err == nil {
			rec.gone = gone
			return nil
		}
		j.log.Error("cannot kill the job; trying again", "error", err)
		// The slot must not go to another job while this one may live.
		if !wait.wait(ctx) {
			return fmt.Errorf("the job could not be killed: %w", err)
		}
	}
}

// watchOutput looks again and again at what the job has written, and ends the
// job where that is more than it may, until the returned function is called. It
// is a loop of its own, because a large tree takes its time and no kill may wait
// for that.
func (j *job) watchOutput(ctx context.Context, p paths) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	unlinked := &artifact.Unlinked{UID: j.slot.uid, Dir: p.output, Step: j.r.cfg.Limits.Output.TotalBytes / 8}
	if j.slot.uid == os.Geteuid() {
		unlinked = nil // nobody can tell this job's processes from others of the user
	}
	done.Go(func() {
		for pause := j.r.pace.usage; sleep(ctx, pause); {
			began := time.Now()
			j.checkOutput(ctx, p, unlinked)
			// Looking takes a tenth of the time at most.
			pause = max(j.r.pace.usage, 9*time.Since(began))
		}
	})
	return func() { cancel(); done.Wait() }
}

// checkOutput ends a job that has written more than it may.
func (j *job) checkOutput(ctx context.Context, p paths, unlinked *artifact.Unlinked) {
	limits := artifactLimits(j.r.cfg.Limits.Output)
	use, err := j.r.measure(ctx, limits, p.output, p.log)
	if err == nil && unlinked != nil {
		var hidden int64
		hidden, err = unlinked.Measure(ctx)
		use.Allocated += hidden
	}
	if err != nil {
		if ctx.Err() == nil {
			j.log.Warn("cannot measure the job's output", "error", err)
		}
		return
	}
	if over := overLimit(use, limits); over != "" {
		j.stop(cause{kind: causeOutputLimit, at: j.r.now(), detail: over})
	}
}

// overLimit says which limit is exceeded; empty if none is. What a tree that is
// not readable or too deep hides is found when the job's files are collected.
func overLimit(use artifact.Use, limits artifact.Limits) string {
	switch {
	case max(use.Bytes, use.Allocated) > limits.TotalBytes:
		return fmt.Sprintf("more than %s in its output and logs", bytesText(limits.TotalBytes))
	case use.Files > limits.Files || use.Entries > 2*limits.Files:
		return fmt.Sprintf("more than %d files", limits.Files)
	}
	return ""
}
