package runner

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/tetryx/lynx-runner/internal/runner/journal"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// claims asks for jobs while there are free slots, one question at a time, until
// ctx ends. Jobs run under jobs. When it has returned, no further job starts.
//
// The question that is open when ctx ends is not torn up, because a job may be in
// its answer already, which would then be nobody's until its lease runs out. The
// heartbeat that says draining makes the platform answer it at once.
func (r *Runner) claims(ctx, jobs context.Context) {
	asking, stopAsking := outlive(ctx, r.pace.answer)
	defer stopAsking()
	wait := r.pace.backoff()
	for r.ready(ctx) {
		free := r.slots.acquire(ctx)
		if len(free) == 0 || r.draining() {
			r.slots.release(free...)
			return
		}
		if r.gate.isShut() || r.pauses.text() != "" { // by now
			r.slots.release(free...)
			continue
		}
		asked, poll := time.Now(), r.patience()
		assignments, err := r.claim(asking, r.starts.most(len(free)), poll)
		for _, a := range assignments {
			if len(free) == 0 || !r.acceptable(a) {
				r.log.Error("the platform sent a job that this runner cannot take", "attempt", a.GetAttemptId())
				continue
			}
			r.start(jobs, a, free[0])
			free = free[1:]
		}
		r.slots.release(free...)
		// A platform that answers with nothing at once must not be asked at once.
		if err == nil && (len(assignments) > 0 || time.Since(asked) > poll/4) {
			wait = r.pace.backoff()
			continue
		}
		if err != nil && ctx.Err() == nil {
			r.log.Warn("cannot claim jobs; trying again", "error", err)
		}
		if !wait.wait(ctx) {
			return
		}
	}
}

// ready waits until the runner may take jobs and has something to run them with, and
// reports whether ctx still lives.
func (r *Runner) ready(ctx context.Context) bool {
	return r.gate.pass(ctx) && r.pauses.pass(ctx) && r.starts.pass(ctx) && r.admission.room(ctx)
}

// patience is how long a question waits for work. What is free grows when a job
// ends, and the platform hears of it with the next question: so where the largest
// job that is allowed here would fit only then, the question is a short one.
func (r *Runner) patience() time.Duration {
	free, most, l := r.admission.free(), r.admission.capacity, r.cfg.Limits
	largest := demand{cpu: min(l.MaxCPUMillis, most.cpu), memory: min(l.MaxMemoryBytes, most.memory)}
	if largest.within(free) && free.gpus == most.gpus {
		return r.pace.poll
	}
	return r.pace.recheck
}

// claim is one long poll. Assignments that arrive count, whatever happened to
// ctx meanwhile.
func (r *Runner) claim(ctx context.Context, slots int, poll time.Duration) ([]*runnerv1.Assignment, error) {
	var response *runnerv1.ClaimJobsResponse
	err := r.session.call(ctx, poll+r.pace.call, func(ctx context.Context, session string) (err error) {
		response, err = r.deps.Platform.ClaimJobs(ctx, &runnerv1.ClaimJobsRequest{
			SessionId: session, MaxJobs: uint32(slots), Wait: durationpb.New(poll), Free: r.admission.free().resources(),
		})
		return err
	})
	return response.GetAssignments(), err
}

// acceptable reports whether an assignment's ids can name files and containers,
// and are not in hand already.
func (r *Runner) acceptable(a *runnerv1.Assignment) bool {
	for _, id := range []string{a.GetBatchId(), a.GetJobId(), a.GetAttemptId()} {
		if !journal.ValidName(id) {
			return false
		}
	}
	return a.GetAttempt() > 0 && r.job(a.GetAttemptId()) == nil && !r.outbox.has(a.GetAttemptId())
}
