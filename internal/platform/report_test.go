package platform_test

import (
	"errors"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/platform"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

func TestLifeOfAJob(t *testing.T) {
	w := newWorld(t)
	b := w.submit(1, "")
	s := w.register("r")
	w.pass(time.Second)
	a := w.one(s)
	w.state("claimed", a, api.JobClaimed, 0, 0)
	w.equal("batch", w.batch(b.ID).State, api.BatchRunning)
	w.pass(time.Second)
	w.ok(w.started(s, a))
	w.state("started", a, api.JobRunning, 0, 0)
	w.pass(time.Second)
	w.ok(w.report(s, a, api.OutcomeCompleted))
	w.state("reported", a, api.JobCompleted, 0, 0)

	j := w.job(a)
	w.equal("times", []time.Duration{
		j.ClaimedAt.Sub(j.CreatedAt), j.StartedAt.Sub(j.CreatedAt), j.CompletedAt.Sub(j.CreatedAt),
	}, []time.Duration{time.Second, 2 * time.Second, 3 * time.Second})
	w.equal("runner", j.RunnerID, "r")
	w.equal("attempts", len(j.History), 1)
	done := w.batch(b.ID)
	w.equal("batch", done.State, api.BatchCompleted)
	w.equal("counts", done.Counts, platform.Counts{Completed: 1})
	w.equal("completed at", done.CompletedAt, j.CompletedAt)
}

func TestResultIsKept(t *testing.T) {
	w := newWorld(t)
	w.submit(1, "")
	s := w.register("r")
	a := w.one(s)
	_, err := w.svc.JobResult(t.Context(), w.job(a).ID)
	w.is("a result before there is one", err, platform.ErrNotFound)

	code := int32(0)
	want := &runnerv1.Result{Outcome: "completed", ExitCode: &code, Metrics: map[string]float64{"x": 1.5}, Directory: "/out"}
	w.ok(w.svc.ReportResult(t.Context(), s, a, proto.CloneOf(want)))
	other := &runnerv1.Result{Outcome: "nonzero_exit", Directory: "/elsewhere"}
	w.ok(w.svc.ReportResult(t.Context(), s, a, proto.CloneOf(want))) // the acknowledgement was lost
	w.ok(w.svc.ReportResult(t.Context(), s, a, other))
	got, err := w.svc.JobResult(t.Context(), w.job(a).ID)
	w.ok(err)
	w.equal("result", got.Result, want)
	w.equal("state", got.State, api.JobCompleted)
	w.equal("attempt", got.Attempt.Number, 1)
	w.is("a job that is not there", func() error { _, err := w.svc.JobResult(t.Context(), "x"); return err }(), platform.ErrNotFound)
}

func TestRetries(t *testing.T) {
	w := newWorld(t)
	b := w.submit(1, "max_retries: 1")
	s := w.register("r")
	first := w.one(s)
	w.ok(w.report(s, first, api.OutcomeNonzeroExit))
	w.state("failed once", first, api.JobPending, 1, 0)
	w.equal("batch", w.batch(b.ID).Counts, platform.Counts{Pending: 1})
	second := w.one(s)
	w.ok(w.report(s, first, api.OutcomeNonzeroExit)) // the same again, though it is not current any more
	w.state("first reported again", second, api.JobClaimed, 1, 0)
	w.ok(w.report(s, second, api.OutcomeNonzeroExit))
	w.state("failed twice", second, api.JobFailed, 1, 0)
	w.equal("message", w.job(second).ErrorMessage, "because of nonzero_exit")
	w.equal("batch", w.batch(b.ID).State, api.BatchFailed)
	r, err := w.svc.JobResult(t.Context(), w.job(second).ID)
	w.ok(err)
	w.equal("the result that counts", r.Attempt.Number, 2)
	if got := w.claim(s, 9); len(got) != 0 {
		t.Errorf("claimed %v of a batch that is over", got)
	}
}

// TestStaleReports tells a runner off that reports about what is not its own.
func TestStaleReports(t *testing.T) {
	w := newWorld(t)
	w.submit(2, "")
	s, other := w.register("r"), w.register("other")
	a := w.one(s)
	for name, ref := range map[string]platform.AttemptRef{
		"another counter":   {AttemptID: a.AttemptID, Token: platform.Token{Epoch: a.Token.Epoch, Counter: 2}},
		"another epoch":     {AttemptID: a.AttemptID, Token: platform.Token{Epoch: 9, Counter: 1}},
		"an attempt to be":  {AttemptID: platform.AttemptID(w.job(a).ID, 2), Token: a.Token},
		"no such job":       {AttemptID: "x-1", Token: a.Token},
		"no token":          {AttemptID: a.AttemptID},
		"the other's token": {AttemptID: w.one(other).AttemptID, Token: a.Token},
	} {
		w.is(name+": started", w.started(s, ref), platform.ErrStaleToken)
		w.is(name+": result", w.report(s, ref, api.OutcomeCompleted), platform.ErrStaleToken)
		w.equal(name+": held", w.beat(s, a, ref).Lost, []string{ref.AttemptID})
	}
	w.is("another runner", w.report(other, a, api.OutcomeCompleted), platform.ErrStaleToken)
	w.state("untouched", a, api.JobClaimed, 0, 0)

	w.is("no session", w.report("x", a, api.OutcomeCompleted), platform.ErrUnknownSession)
	w.is("no session", w.started("", a), platform.ErrUnknownSession)
	var bad *platform.InvalidError
	if err := w.report(s, platform.AttemptRef{AttemptID: "x"}, api.OutcomeCompleted); !errors.As(err, &bad) {
		t.Errorf("an id that is none: %v; want an InvalidError", err)
	}
	if err := w.report(s, a, ""); !errors.As(err, &bad) || bad.Field != "result.outcome" {
		t.Errorf("a result without outcome: %v; want an InvalidError", err)
	}
}

func TestSilentRunner(t *testing.T) {
	w := newWorld(t)
	w.submit(2, "")
	s, other := w.register("r"), w.register("other")
	a := w.one(s)
	w.ok(w.started(s, a))
	w.pass(40 * time.Second)
	w.beat(s, a)
	w.pass(40 * time.Second)
	w.tick()
	w.state("a lease renewed", a, api.JobRunning, 0, 0)
	w.pass(20*time.Second + time.Millisecond)
	w.tick()
	w.state("a lease expired", a, api.JobPending, 0, 1)
	lost := w.job(a).History[0]
	w.equal("the attempt's outcome", lost.Outcome, api.OutcomeLeaseLost)
	w.equal("its message", lost.ErrorMessage, "runner r was not heard of for 1m0s")

	w.equal("back in time", w.beat(s, a), platform.Instructions{})
	w.state("back in time", a, api.JobRunning, 0, 0)

	w.pass(time.Minute + time.Second)
	w.tick()
	w.beat(other)
	second := w.one(other)
	w.equal("the same job, the same runner's second", second.AttemptID, platform.AttemptID(w.job(a).ID, 2))
	w.equal("back too late", w.beat(s, a).Lost, []string{a.AttemptID})
	w.is("back too late", w.report(s, a, api.OutcomeCompleted), platform.ErrStaleToken)
	w.state("the other has it", a, api.JobClaimed, 0, 1)
}

func TestLateResultIsTaken(t *testing.T) {
	w := newWorld(t)
	w.submit(1, "")
	s := w.register("r")
	a := w.one(s)
	w.pass(61 * time.Second)
	w.tick()
	w.state("lost", a, api.JobPending, 0, 1)
	w.ok(w.report(s, a, api.OutcomeCompleted))
	w.state("late", a, api.JobCompleted, 0, 0)
	w.ok(w.report(s, a, api.OutcomeCompleted))
}

func TestLateStartIsTaken(t *testing.T) {
	w := newWorld(t)
	w.submit(1, "")
	s := w.register("r")
	a := w.one(s)
	w.pass(61 * time.Second)
	w.tick()
	w.ok(w.started(s, a))
	w.state("late", a, api.JobRunning, 0, 0)
}

// TestRestartOfThePlatform blames no runner for the time that nobody listened.
func TestRestartOfThePlatform(t *testing.T) {
	w := newWorld(t)
	w.submit(2, "")
	s := w.register("r")
	a := w.one(s)
	w.pass(time.Hour)
	w.restart()
	w.tick()
	w.state("right after", a, api.JobClaimed, 0, 0)
	w.pass(59 * time.Second)
	w.tick()
	w.state("within a lease", a, api.JobClaimed, 0, 0)
	b := w.one(s)
	if b.Token.Epoch <= a.Token.Epoch {
		t.Errorf("token %+v after %+v; want a later epoch", b.Token, a.Token)
	}
	w.pass(2 * time.Second)
	w.tick()
	w.state("after a lease", a, api.JobPending, 0, 1)
	w.state("claimed lately", b, api.JobClaimed, 0, 0)
	w.ok(w.report(s, a, api.OutcomeCompleted)) // the token of an earlier epoch is as good
	w.state("reported", a, api.JobCompleted, 0, 0)
}

func TestUnheldAttempts(t *testing.T) {
	w := newWorld(t)
	w.submit(3, "")
	s := w.register("r")
	a, b := w.one(s), w.one(s)
	w.beat(s, a) // crossed the answer to the second claim
	w.state("claimed lately", b, api.JobClaimed, 0, 0)
	w.pass(50 * time.Second)
	w.beat(s, a)
	w.state("within a lease", b, api.JobClaimed, 0, 0)
	w.pass(11 * time.Second)
	w.beat(s, a)
	w.state("the answer never came", b, api.JobPending, 0, 1)
	w.state("held", a, api.JobClaimed, 0, 0)
	w.equal("message", w.job(b).History[0].ErrorMessage, "runner r no longer has the job")
}

func TestSameInstallationAgain(t *testing.T) {
	w := newWorld(t)
	w.submit(3, "")
	old := w.register("r")
	kept, gone := w.one(old), w.one(old)
	s := w.register("r")
	_, err := w.svc.Heartbeat(t.Context(), old, nil, false, "")
	w.is("the old session's heartbeat", err, platform.ErrUnknownSession)
	_, err = w.svc.Claim(t.Context(), old, 1, time.Hour)
	w.is("the old session's claim", err, platform.ErrUnknownSession)
	w.is("the old session's report", w.report(old, kept, api.OutcomeCompleted), platform.ErrUnknownSession)

	late := w.one(s)
	w.beat(s, kept)
	w.state("held", kept, api.JobClaimed, 0, 0)
	w.state("not held", gone, api.JobPending, 0, 1)
	w.state("claimed by this session", late, api.JobClaimed, 0, 0)
	w.ok(w.report(s, kept, api.OutcomeCompleted))
}

func TestHeldAfterResult(t *testing.T) {
	w := newWorld(t)
	w.submit(1, "")
	s := w.register("r")
	a := w.one(s)
	w.ok(w.report(s, a, api.OutcomeCompleted))
	w.equal("instructions", w.beat(s, a), platform.Instructions{})
}

func TestGivenUpForGood(t *testing.T) {
	w := newWorld(t)
	b := w.submit(1, "")
	s := w.register("r")
	var a platform.AttemptRef
	for range platform.MaxRequeues {
		a = w.one(s)
		w.ok(w.report(s, a, api.OutcomeInfrastructure))
		w.state("infrastructure", a, api.JobPending, 0, w.job(a).Attempts)
	}
	a = w.one(s)
	w.pass(61 * time.Second)
	w.tick()
	w.state("lost", a, api.JobFailed, 0, platform.MaxRequeues)
	w.is("a result after the end", w.report(s, a, api.OutcomeCompleted), platform.ErrStaleToken)
	w.equal("batch", w.batch(b.ID).State, api.BatchFailed)
	r, err := w.svc.JobResult(t.Context(), w.job(a).ID)
	w.ok(err)
	w.equal("the latest attempt with a result", r.Attempt.Number, 3)
}
