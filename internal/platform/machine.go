package platform

import (
	"fmt"
	"time"

	"github.com/tetryx/lynx-runner/api"
)

// This file is the state machine. Each function is one event in the life of a
// job: it changes the records of the job, its batch and its attempt together, so
// that the batch's counters and state always follow. A caller writes all of them
// back in the transaction that it read them in.

// MaxRequeues is how often a job is tried again because a runner or the
// infrastructure failed, besides the retries that its batch allows.
const MaxRequeues = 3

// claim gives a Pending job to a runner, as a new attempt.
func claim(b *Batch, j *Job, r *Runner, epoch uint64, now time.Time) Attempt {
	j.Attempts++
	j.Token = Token{Epoch: epoch, Counter: uint64(j.Attempts)}
	j.RunnerID, j.ClaimedAt, j.StartedAt = r.ID, now, time.Time{}
	if b.State == api.BatchPending {
		b.State, b.StartedAt = api.BatchRunning, now
	}
	b.move(j, api.JobClaimed, now)
	return Attempt{
		JobID: j.ID, Number: j.Attempts, Token: j.Token,
		RunnerID: r.ID, SessionID: r.SessionID, ClaimedAt: now,
	}
}

// started records that an attempt's simulation executes since at, by the runner's
// clock. The attempt is the job's current one.
func started(b *Batch, j *Job, a *Attempt, at, now time.Time) {
	if !j.Active() {
		resume(b, j, a, now)
	}
	if j.State == api.JobRunning {
		return
	}
	a.StartedAt = between(at, a.ClaimedAt, now)
	j.StartedAt = a.StartedAt
	b.move(j, api.JobRunning, now)
}

// resume takes up an attempt that was lost, of a job that was requeued for it and
// that nobody has claimed since: the requeue is taken back.
func resume(b *Batch, j *Job, a *Attempt, now time.Time) {
	a.EndedAt, a.Outcome, a.ErrorMessage = time.Time{}, "", ""
	j.Requeues--
	j.Outcome, j.ErrorMessage = "", ""
	j.RunnerID, j.ClaimedAt, j.StartedAt = a.RunnerID, a.ClaimedAt, a.StartedAt
	if a.StartedAt.IsZero() {
		b.move(j, api.JobClaimed, now)
	} else {
		b.move(j, api.JobRunning, now)
	}
}

// lose ends the attempt of an active job whose runner has it no more.
func lose(b *Batch, j *Job, a *Attempt, reason string, now time.Time) {
	a.EndedAt, a.Outcome, a.ErrorMessage = now, api.OutcomeLeaseLost, reason
	j.Outcome, j.ErrorMessage = api.OutcomeInfrastructure, reason
	decide(b, j, now)
}

// finish ends the current attempt of a job as its runner reports it. startedAt
// is by the runner's clock, zero if the simulation never ran.
func finish(b *Batch, j *Job, a *Attempt, o api.Outcome, message string, startedAt, now time.Time) {
	if !j.Active() {
		resume(b, j, a, now)
	}
	if a.StartedAt.IsZero() && !startedAt.IsZero() {
		a.StartedAt = between(startedAt, a.ClaimedAt, now)
		j.StartedAt = a.StartedAt
	}
	a.EndedAt, a.Outcome, a.ErrorMessage, a.HasResult = now, o, message, true
	if !a.StartedAt.IsZero() {
		b.Ended++
		b.EndedFor += now.Sub(a.ClaimedAt)
	}
	j.Reported = a.Number
	j.Outcome, j.ErrorMessage = o, message
	if o == api.OutcomeLeaseLost { // of the current attempt: its runner gave it up
		j.Outcome = api.OutcomeInfrastructure
	}
	decide(b, j, now)
}

// decide moves a job whose attempt has just ended with j.Outcome: to its end, or
// back to Pending. It is the one place where that is decided.
//
// A job whose cancellation was requested is never tried again. What its last
// attempt found out about the run stands: one that completed before the kill is
// Completed, one that failed is Failed, one that timed out is Timeout. One that
// found out nothing, because the infrastructure failed or the runner was lost, is
// Cancelled.
func decide(b *Batch, j *Job, now time.Time) {
	switch o := j.Outcome; {
	case o == api.OutcomeCompleted:
		end(b, j, api.JobCompleted, now)
	case o == api.OutcomeTimeout:
		end(b, j, api.JobTimeout, now)
	case o == api.OutcomeCancelled:
		end(b, j, api.JobCancelled, now)
	case infrastructural(o) && j.CancelRequested:
		j.Outcome = api.OutcomeCancelled
		end(b, j, api.JobCancelled, now)
	case infrastructural(o) && j.Requeues < MaxRequeues*(1+j.Reruns):
		j.Requeues++
		again(b, j, now)
	case infrastructural(o):
		j.ErrorMessage = fmt.Sprintf("given up after %d requeues: %s", j.Requeues, j.ErrorMessage)
		end(b, j, api.JobFailed, now)
	case o.Retryable() && j.Retries < b.Spec.MaxRetries*(1+j.Reruns) && !j.CancelRequested:
		j.Retries++
		again(b, j, now)
	default:
		end(b, j, api.JobFailed, now)
	}
}

// infrastructural reports whether an attempt with this outcome says nothing about
// the run. An outcome that we do not know comes from a newer runner.
func infrastructural(o api.Outcome) bool {
	return o == api.OutcomeInfrastructure || !o.Known()
}

func again(b *Batch, j *Job, now time.Time) {
	j.RunnerID, j.ClaimedAt, j.StartedAt = "", time.Time{}, time.Time{}
	b.move(j, api.JobPending, now)
}

func end(b *Batch, j *Job, s api.JobState, now time.Time) {
	j.CompletedAt = now
	b.move(j, s, now)
}

// cancelledWaiting is the error message of a job that was cancelled while no
// runner had it.
const cancelledWaiting = "cancelled while waiting for a runner"

// cancel does what a user asks for to one job: one that waits is Cancelled at
// once, one that a runner has will be as soon as the runner has killed it, one
// that is over stays as it is.
func cancel(b *Batch, j *Job, now time.Time) {
	switch {
	case j.State.Terminal():
	case j.Active():
		j.CancelRequested = true
		b.Revision++
	default:
		j.CancelRequested = true
		j.Outcome, j.ErrorMessage = api.OutcomeCancelled, cancelledWaiting
		end(b, j, api.JobCancelled, now)
	}
}

// rerun makes a terminal job Pending again, as a user asked. What its attempts
// found out stays on record; none of their tokens is valid any more.
func rerun(b *Batch, j *Job, now time.Time) {
	// One that was cancelled while it waited is still owed the attempt that its
	// last retry or requeue was for.
	if j.Attempts > j.Retries+j.Requeues+j.Reruns {
		j.Reruns++
	}
	j.CancelRequested, j.CompletedAt, j.Token = false, time.Time{}, Token{}
	b.CancelRequested, b.CompletedAt = false, time.Time{}
	b.State = api.BatchRunning
	if b.StartedAt.IsZero() {
		b.State = api.BatchPending
	}
	again(b, j, now)
}

// move changes a job's state, and with it the batch's counters, revision and, if
// that was the last job, state.
func (b *Batch) move(j *Job, to api.JobState, now time.Time) {
	*b.Counts.of(j.State)--
	*b.Counts.of(to)++
	j.State = to
	b.settle(now)
}

// settle follows a change of the counters.
func (b *Batch) settle(now time.Time) {
	b.Revision++
	if b.Counts.Terminal() < b.Spec.Runs {
		return
	}
	b.CompletedAt = now
	switch {
	case b.CancelRequested:
		b.State = api.BatchCancelled
	case b.Counts.Failed+b.Counts.Timeout > b.Spec.MaxFailed:
		b.State = api.BatchFailed
	default:
		b.State = api.BatchCompleted
	}
}

// between is t, or the nearer bound if t, taken from another clock, is outside;
// a zero t is the upper bound.
func between(t, lower, upper time.Time) time.Time {
	switch {
	case t.IsZero() || t.After(upper):
		return upper
	case t.Before(lower):
		return lower
	}
	return t
}
