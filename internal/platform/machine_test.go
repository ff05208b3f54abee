package platform

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tetryx/lynx-runner/api"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func sec(n int) time.Time { return t0.Add(time.Duration(n) * time.Second) }

// fresh is a batch of one Pending job.
func fresh(spec Spec) (*Batch, *Job) {
	spec.Runs = 1
	b := &Batch{ID: "b", State: api.BatchPending, Counts: Counts{Pending: 1}, Revision: 1, Spec: &spec}
	return b, &Job{ID: "j", BatchID: "b", State: api.JobPending}
}

func TestDecide(t *testing.T) {
	type end struct {
		State             api.JobState
		Outcome           api.Outcome
		Retries, Requeues int
		Batch             api.BatchState
	}
	pending := func(o api.Outcome, retries, requeues int) end {
		return end{api.JobPending, o, retries, requeues, api.BatchRunning}
	}
	for _, c := range []struct {
		name              string
		outcome           api.Outcome
		maxRetries        int
		retries, requeues int
		cancel            bool
		want              end
	}{
		{"completed", api.OutcomeCompleted, 0, 0, 0, false, end{api.JobCompleted, api.OutcomeCompleted, 0, 0, api.BatchCompleted}},
		{"timeout is not retried", api.OutcomeTimeout, 9, 0, 0, false, end{api.JobTimeout, api.OutcomeTimeout, 0, 0, api.BatchFailed}},
		{"cancelled unasked", api.OutcomeCancelled, 9, 0, 0, false, end{api.JobCancelled, api.OutcomeCancelled, 0, 0, api.BatchCompleted}},
		{"nonzero exit without retries", api.OutcomeNonzeroExit, 0, 0, 0, false, end{api.JobFailed, api.OutcomeNonzeroExit, 0, 0, api.BatchFailed}},
		{"nonzero exit is retried", api.OutcomeNonzeroExit, 2, 1, 3, false, pending(api.OutcomeNonzeroExit, 2, 3)},
		{"retries exhausted", api.OutcomeNonzeroExit, 2, 2, 0, false, end{api.JobFailed, api.OutcomeNonzeroExit, 2, 0, api.BatchFailed}},
		{"signaled is retried", api.OutcomeSignaled, 1, 0, 0, false, pending(api.OutcomeSignaled, 1, 0)},
		{"out of memory is retried", api.OutcomeOutOfMemory, 1, 0, 0, false, pending(api.OutcomeOutOfMemory, 1, 0)},
		{"early termination is not retried", api.OutcomeEarlyTermination, 9, 0, 0, false, end{api.JobFailed, api.OutcomeEarlyTermination, 0, 0, api.BatchFailed}},
		{"output limit is not retried", api.OutcomeOutputLimit, 9, 0, 0, false, end{api.JobFailed, api.OutcomeOutputLimit, 0, 0, api.BatchFailed}},
		{"invalid job is not retried", api.OutcomeInvalidJob, 9, 0, 0, false, end{api.JobFailed, api.OutcomeInvalidJob, 0, 0, api.BatchFailed}},
		{"invalid telemetry is not retried", api.OutcomeTelemetryInvalid, 9, 0, 0, false, end{api.JobFailed, api.OutcomeTelemetryInvalid, 0, 0, api.BatchFailed}},
		{"infrastructure is requeued besides retries", api.OutcomeInfrastructure, 0, 0, 2, false, pending(api.OutcomeInfrastructure, 0, 3)},
		{"requeues exhausted", api.OutcomeInfrastructure, 9, 0, 3, false, end{api.JobFailed, api.OutcomeInfrastructure, 0, 3, api.BatchFailed}},
		{"an unknown outcome is kept and requeued", "from_the_future", 9, 0, 0, false, pending("from_the_future", 0, 1)},
		{"an unknown outcome is kept and fails", "from_the_future", 9, 0, 3, false, end{api.JobFailed, "from_the_future", 0, 3, api.BatchFailed}},
		{"a lease given up is requeued", api.OutcomeLeaseLost, 9, 0, 0, false, pending(api.OutcomeInfrastructure, 0, 1)},

		{"cancel: completed before the kill", api.OutcomeCompleted, 0, 0, 0, true, end{api.JobCompleted, api.OutcomeCompleted, 0, 0, api.BatchCompleted}},
		{"cancel: killed", api.OutcomeCancelled, 0, 0, 0, true, end{api.JobCancelled, api.OutcomeCancelled, 0, 0, api.BatchCompleted}},
		{"cancel: failed by itself, not retried", api.OutcomeNonzeroExit, 9, 0, 0, true, end{api.JobFailed, api.OutcomeNonzeroExit, 0, 0, api.BatchFailed}},
		{"cancel: timed out", api.OutcomeTimeout, 0, 0, 0, true, end{api.JobTimeout, api.OutcomeTimeout, 0, 0, api.BatchFailed}},
		{"cancel: infrastructure, not requeued", api.OutcomeInfrastructure, 0, 0, 0, true, end{api.JobCancelled, api.OutcomeCancelled, 0, 0, api.BatchCompleted}},
		{"cancel: unknown outcome", "from_the_future", 0, 0, 0, true, end{api.JobCancelled, api.OutcomeCancelled, 0, 0, api.BatchCompleted}},
		{"cancel: lease given up", api.OutcomeLeaseLost, 0, 0, 0, true, end{api.JobCancelled, api.OutcomeCancelled, 0, 0, api.BatchCompleted}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, j := fresh(Spec{MaxRetries: c.maxRetries})
			j.Retries, j.Requeues = c.retries, c.requeues
			a := claim(b, j, &Runner{ID: "r", SessionID: "s"}, 4, sec(1))
			if c.cancel {
				cancel(b, j, sec(2))
			}
			finish(b, j, &a, c.outcome, "a sentence", time.Time{}, sec(3))
			got := end{j.State, j.Outcome, j.Retries, j.Requeues, b.State}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
			if a.Outcome != c.outcome || !a.HasResult || !a.EndedAt.Equal(sec(3)) || j.Reported != 1 {
				t.Errorf("attempt %+v, reported %d; want the outcome as it was reported", a, j.Reported)
			}
			if j.State.Terminal() != (!j.CompletedAt.IsZero() && !b.CompletedAt.IsZero()) {
				t.Errorf("state %s with job and batch completed at %v and %v", j.State, j.CompletedAt, b.CompletedAt)
			}
			if j.State == api.JobPending && (j.RunnerID != "" || !j.ClaimedAt.IsZero() || !j.StartedAt.IsZero()) {
				t.Errorf("a waiting job still names its runner or times: %+v", j)
			}
		})
	}
}

func TestBatchEnds(t *testing.T) {
	for _, c := range []struct {
		name      string
		counts    Counts
		maxFailed int
		cancelled bool
		want      api.BatchState
	}{
		{"all completed", Counts{Completed: 4}, 0, false, api.BatchCompleted},
		{"one failed", Counts{Completed: 3, Failed: 1}, 0, false, api.BatchFailed},
		{"one timed out", Counts{Completed: 3, Timeout: 1}, 0, false, api.BatchFailed},
		{"as many failed as may", Counts{Completed: 1, Failed: 2, Timeout: 1}, 3, false, api.BatchCompleted},
		{"one more", Counts{Failed: 2, Timeout: 2}, 3, false, api.BatchFailed},
		{"jobs cancelled one by one do not fail it", Counts{Completed: 1, Cancelled: 3}, 0, false, api.BatchCompleted},
		{"cancelled", Counts{Completed: 3, Cancelled: 1}, 0, true, api.BatchCancelled},
		{"cancelled, whatever failed", Counts{Failed: 4}, 0, true, api.BatchCancelled},
		{"cancelled, though all had completed", Counts{Completed: 4}, 0, true, api.BatchCancelled},
		{"not over", Counts{Completed: 3, Running: 1}, 0, true, api.BatchRunning},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := &Batch{
				State: api.BatchRunning, Counts: c.counts, CancelRequested: c.cancelled,
				Spec: &Spec{Runs: 4, MaxFailed: c.maxFailed},
			}
			b.settle(sec(1))
			if b.State != c.want || b.Revision != 1 || b.CompletedAt.IsZero() == b.State.Terminal() {
				t.Errorf("%s, revision %d, completed at %v; want %s", b.State, b.Revision, b.CompletedAt, c.want)
			}
		})
	}
}

func TestClaimMakesNextAttempt(t *testing.T) {
	b, j := fresh(Spec{MaxRetries: 1})
	r := &Runner{ID: "r", SessionID: "s"}
	a := claim(b, j, r, 4, sec(1))
	want := Attempt{JobID: "j", Number: 1, Token: Token{4, 1}, RunnerID: "r", SessionID: "s", ClaimedAt: sec(1)}
	if d := cmp.Diff(want, a); d != "" {
		t.Error(d)
	}
	if b.State != api.BatchRunning || !b.StartedAt.Equal(sec(1)) || b.Counts != (Counts{Claimed: 1}) {
		t.Errorf("batch %+v", b)
	}
	finish(b, j, &a, api.OutcomeNonzeroExit, "", time.Time{}, sec(2))
	second := claim(b, j, r, 5, sec(3))
	if second.Token != (Token{5, 2}) || j.Current(a.Token) || !j.Current(second.Token) {
		t.Errorf("second attempt %+v; want a later token, the only current one", second)
	}
	if !b.StartedAt.Equal(sec(1)) {
		t.Errorf("batch started at %v; want the first claim", b.StartedAt)
	}
}

func TestStartedAtIsOurs(t *testing.T) {
	for _, c := range []struct {
		name     string
		at, want time.Time
	}{
		{"in between", sec(12), sec(12)},
		{"a clock ahead", sec(99), sec(20)},
		{"a clock behind", sec(1), sec(10)},
		{"not said", time.Time{}, sec(20)},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, j := fresh(Spec{})
			a := claim(b, j, &Runner{ID: "r"}, 1, sec(10))
			started(b, j, &a, c.at, sec(20))
			if !j.StartedAt.Equal(c.want) || !a.StartedAt.Equal(c.want) || j.State != api.JobRunning {
				t.Errorf("%s since %v, attempt since %v; want %v", j.State, j.StartedAt, a.StartedAt, c.want)
			}
			started(b, j, &a, sec(15), sec(21))
			if !j.StartedAt.Equal(c.want) {
				t.Errorf("said again: %v; want %v", j.StartedAt, c.want)
			}
		})
	}
}

func TestResultStartsJobThatNeverSaidSo(t *testing.T) {
	b, j := fresh(Spec{})
	a := claim(b, j, &Runner{ID: "r"}, 1, sec(10))
	finish(b, j, &a, api.OutcomeCompleted, "", sec(11), sec(20))
	if !j.StartedAt.Equal(sec(11)) || !a.StartedAt.Equal(sec(11)) {
		t.Errorf("started %v, %v; want what the result says", j.StartedAt, a.StartedAt)
	}
}

// lost is a job whose attempt was lost and that was requeued for it.
func lost(spec Spec, running bool) (*Batch, *Job, *Attempt) {
	b, j := fresh(spec)
	a := claim(b, j, &Runner{ID: "r"}, 1, sec(10))
	if running {
		started(b, j, &a, sec(11), sec(11))
	}
	lose(b, j, &a, "silent", sec(80))
	return b, j, &a
}

func TestLoseAndResume(t *testing.T) {
	for _, running := range []bool{false, true} {
		b, j, a := lost(Spec{}, running)
		if j.State != api.JobPending || j.Requeues != 1 || a.Outcome != api.OutcomeLeaseLost || j.Outcome != api.OutcomeInfrastructure {
			t.Fatalf("lost: %+v, %+v", j, a)
		}
		if !j.Current(a.Token) {
			t.Error("the token of a lost attempt is not valid until the next claim")
		}
		resume(b, j, a, sec(90))
		want := api.JobClaimed
		if running {
			want = api.JobRunning
		}
		if j.State != want || j.Requeues != 0 || j.RunnerID != "r" || j.Outcome != "" || !j.ClaimedAt.Equal(sec(10)) {
			t.Errorf("resumed: %+v", j)
		}
		if a.Outcome != "" || !a.EndedAt.IsZero() || b.Counts.Of(want) != 1 || b.Counts.Total() != 1 {
			t.Errorf("resumed: %+v, %+v", a, b.Counts)
		}
	}
}

func TestLateResultTakesRequeueBack(t *testing.T) {
	for outcome, want := range map[api.Outcome]struct {
		state             api.JobState
		retries, requeues int
	}{
		api.OutcomeCompleted:      {api.JobCompleted, 0, 0},
		api.OutcomeNonzeroExit:    {api.JobPending, 1, 0},
		api.OutcomeInfrastructure: {api.JobPending, 0, 1},
		api.OutcomeTimeout:        {api.JobTimeout, 0, 0},
	} {
		b, j, a := lost(Spec{MaxRetries: 1}, true)
		finish(b, j, a, outcome, "", sec(11), sec(100))
		if j.State != want.state || j.Retries != want.retries || j.Requeues != want.requeues {
			t.Errorf("%s: %s, %d retries, %d requeues; want %+v", outcome, j.State, j.Retries, j.Requeues, want)
		}
		if b.Counts.Of(j.State) != 1 || b.Counts.Total() != 1 {
			t.Errorf("%s: counts %+v", outcome, b.Counts)
		}
	}
}

func TestLoseToTheEnd(t *testing.T) {
	b, j := fresh(Spec{})
	for n := range MaxRequeues + 1 {
		a := claim(b, j, &Runner{ID: "r"}, 1, sec(n))
		lose(b, j, &a, "runner r was silent", sec(n))
		if j.State.Terminal() != (n == MaxRequeues) {
			t.Fatalf("after %d losses: %s", n+1, j.State)
		}
	}
	if j.State != api.JobFailed || j.Outcome != api.OutcomeInfrastructure || j.Requeues != MaxRequeues {
		t.Errorf("%+v", j)
	}
	if want := "given up after 3 requeues: runner r was silent"; j.ErrorMessage != want {
		t.Errorf("error message %q; want %q", j.ErrorMessage, want)
	}
}

func TestCancel(t *testing.T) {
	t.Run("waiting", func(t *testing.T) {
		b, j := fresh(Spec{})
		cancel(b, j, sec(1))
		if j.State != api.JobCancelled || j.Outcome != api.OutcomeCancelled || j.ErrorMessage == "" || !j.CompletedAt.Equal(sec(1)) {
			t.Errorf("%+v", j)
		}
	})
	t.Run("with a runner that is then lost", func(t *testing.T) {
		b, j := fresh(Spec{})
		a := claim(b, j, &Runner{ID: "r"}, 1, sec(1))
		before := b.Revision
		cancel(b, j, sec(2))
		if j.State != api.JobClaimed || !j.CancelRequested || b.Revision == before {
			t.Errorf("%+v, revision %d after %d; want a request and a new revision", j, b.Revision, before)
		}
		lose(b, j, &a, "silent", sec(90))
		if j.State != api.JobCancelled || j.Requeues != 0 || a.Outcome != api.OutcomeLeaseLost {
			t.Errorf("%+v, %+v; want Cancelled", j, a)
		}
	})
	t.Run("waiting after a loss", func(t *testing.T) {
		b, j, a := lost(Spec{}, true)
		cancel(b, j, sec(90))
		if j.State != api.JobCancelled || j.Current(a.Token) {
			t.Errorf("%+v; want Cancelled, and the lost attempt's token void", j)
		}
	})
	t.Run("over", func(t *testing.T) {
		b, j := fresh(Spec{})
		a := claim(b, j, &Runner{ID: "r"}, 1, sec(1))
		finish(b, j, &a, api.OutcomeCompleted, "", time.Time{}, sec(2))
		wantB, wantJ := *b, *j
		cancel(b, j, sec(3))
		if d := cmp.Diff(wantB, *b) + cmp.Diff(wantJ, *j); d != "" {
			t.Error(d)
		}
	})
}

func TestAttemptID(t *testing.T) {
	const uuid = "01931f5e-7c1b-7a3c-9d1e-000000000001"
	job, n, err := ParseAttemptID(AttemptID(uuid, 12))
	if job != uuid || n != 12 || err != nil {
		t.Errorf("%q, %d, %v", job, n, err)
	}
	for _, bad := range []string{"", "x", "-", "x-", "x-0", "x-01", "x-+1", "x-1.0", "x-99999999999999999999"} {
		if _, _, err := ParseAttemptID(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}
