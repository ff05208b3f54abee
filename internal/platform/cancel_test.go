package platform_test

import (
	"testing"
	"time"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/platform"
)

func TestCancelBatch(t *testing.T) {
	w := newWorld(t)
	b := w.submit(5, "")
	s := w.register("r")
	claimed, running, done := w.one(s), w.one(s), w.one(s)
	w.ok(w.started(s, running))
	w.ok(w.report(s, done, api.OutcomeCompleted))
	got, err := w.svc.CancelBatch(t.Context(), b.ID)
	w.ok(err)
	w.equal("what it returns", got, w.batch(b.ID))
	w.equal("counts", got.Counts, platform.Counts{Claimed: 1, Running: 1, Completed: 1, Cancelled: 2})
	w.equal("state", got.State, api.BatchRunning)
	if got.Revision <= b.Revision {
		t.Errorf("revision %d after %d", got.Revision, b.Revision)
	}
	w.equal("told", w.beat(s, claimed, running).Cancel, []string{claimed.AttemptID, running.AttemptID})
	if as := w.claim(s, 9); len(as) != 0 {
		t.Errorf("claimed %v of a cancelled batch", as)
	}
	w.ok(w.report(s, claimed, api.OutcomeCancelled))
	w.ok(w.report(s, running, api.OutcomeCompleted)) // it was faster than the kill
	w.state("killed", claimed, api.JobCancelled, 0, 0)
	w.state("completed before the kill", running, api.JobCompleted, 0, 0)
	over := w.batch(b.ID)
	w.equal("state", over.State, api.BatchCancelled)

	again, err := w.svc.CancelBatch(t.Context(), b.ID)
	w.ok(err)
	w.equal("cancelled again", again, over)
	_, err = w.svc.CancelBatch(t.Context(), "x")
	w.is("a batch that is not there", err, platform.ErrNotFound)
}

func TestCancelWaitingBatch(t *testing.T) {
	w := newWorld(t)
	b := w.submit(3, "")
	got, err := w.svc.CancelBatch(t.Context(), b.ID)
	w.ok(err)
	w.equal("state", got.State, api.BatchCancelled)
	w.equal("counts", got.Counts, platform.Counts{Cancelled: 3})
	jobs, _, err := w.svc.Jobs(t.Context(), platform.JobFilter{BatchID: b.ID}, platform.Page{})
	w.ok(err)
	for _, j := range jobs {
		w.equal("job", []any{j.State, j.Outcome, j.CompletedAt}, []any{api.JobCancelled, api.OutcomeCancelled, got.CompletedAt})
	}
}

func TestCancelCompletedBatch(t *testing.T) {
	w := newWorld(t)
	b := w.submit(1, "")
	s := w.register("r")
	w.ok(w.report(s, w.one(s), api.OutcomeCompleted))
	want := w.batch(b.ID)
	got, err := w.svc.CancelBatch(t.Context(), b.ID)
	w.ok(err)
	w.equal("batch", got, want)
}

func TestCancelJob(t *testing.T) {
	w := newWorld(t)
	b := w.submit(2, "max_retries: 3")
	s := w.register("r")
	a := w.one(s)
	v, err := w.svc.CancelJob(t.Context(), w.job(a).ID)
	w.ok(err)
	w.equal("what it returns", v, w.job(a))
	w.equal("requested", []any{v.State, v.CancelRequested}, []any{api.JobClaimed, true})
	revision := w.batch(b.ID).Revision
	_, err = w.svc.CancelJob(t.Context(), v.ID)
	w.ok(err)
	w.equal("revision after asking again", w.batch(b.ID).Revision, revision)
	w.equal("told", w.beat(s, a).Cancel, []string{a.AttemptID})
	w.ok(w.report(s, a, api.OutcomeSignaled))
	w.state("not retried", a, api.JobFailed, 0, 0)

	jobs, _, err := w.svc.Jobs(t.Context(), platform.JobFilter{BatchID: b.ID, State: api.JobPending}, platform.Page{})
	w.ok(err)
	v, err = w.svc.CancelJob(t.Context(), jobs[0].ID)
	w.ok(err)
	w.equal("at once", v.State, api.JobCancelled)
	w.equal("batch", w.batch(b.ID).State, api.BatchFailed)
	_, err = w.svc.CancelJob(t.Context(), "x")
	w.is("a job that is not there", err, platform.ErrNotFound)
}

// TestCancelThenLost has the runner vanish before it could say that it killed.
func TestCancelThenLost(t *testing.T) {
	w := newWorld(t)
	b := w.submit(1, "")
	s := w.register("r")
	a := w.one(s)
	_, err := w.svc.CancelBatch(t.Context(), b.ID)
	w.ok(err)
	w.pass(61 * time.Second)
	w.tick()
	w.state("lost", a, api.JobCancelled, 0, 0)
	w.equal("batch", w.batch(b.ID).State, api.BatchCancelled)
	w.equal("back", w.beat(s, a).Lost, []string{a.AttemptID})
}
