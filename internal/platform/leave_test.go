package platform_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/platform"
)

// A runner that signs off is offline at once and its session over. What it still
// has a result of keeps its lease; what it never saw goes to another runner.
func TestLeave(t *testing.T) {
	w := newWorld(t)
	w.submit(2, "")
	s := w.register("r")
	reporting, unseen := w.one(s), w.one(s)
	w.ok(w.svc.Leave(t.Context(), s, []platform.AttemptRef{reporting}))
	v, err := w.svc.Runner(t.Context(), "r")
	w.ok(err)
	w.equal("state", []any{v.State, v.ActiveJobs}, []any{api.RunnerOffline, 1})
	w.state("a job whose result is left", reporting, api.JobClaimed, 0, 0)
	w.state("a job that the runner never saw", unseen, api.JobPending, 0, 1)

	w.ok(w.svc.Leave(t.Context(), s, nil)) // the answer was lost: nothing changes
	w.state("a job whose result is left", reporting, api.JobClaimed, 0, 0)
	_, err = w.svc.Heartbeat(t.Context(), s, nil, false, "")
	w.is("a heartbeat that comes late", err, platform.ErrUnknownSession)
	_, err = w.svc.Claim(t.Context(), s, 1, time.Hour)
	w.is("a claim that comes late", err, platform.ErrUnknownSession)
	w.is("a session that never was", w.svc.Leave(t.Context(), "none", nil), platform.ErrUnknownSession)
	if j := w.job(unseen); j.PendingReason != "no runner is connected" {
		t.Errorf("pending: %q", j.PendingReason)
	}

	s = w.register("r") // the next process, which delivers
	w.ok(w.report(s, reporting, api.OutcomeCompleted))
	w.state("delivered", reporting, api.JobCompleted, 0, 0)
	v, err = w.svc.Runner(t.Context(), "r")
	w.ok(err)
	w.equal("state of the next process", v.State, api.RunnerIdle)
}

// A result that nobody delivers is waited for as long as for any runner that is
// silent.
func TestLeaseOfARunnerThatLeft(t *testing.T) {
	w := newWorld(t)
	w.submit(1, "")
	s := w.register("r")
	a := w.one(s)
	w.ok(w.svc.Leave(t.Context(), s, []platform.AttemptRef{a}))
	w.pass(59 * time.Second)
	w.tick()
	w.state("within the lease", a, api.JobClaimed, 0, 0)
	w.pass(2 * time.Second)
	w.tick()
	w.state("after it", a, api.JobPending, 0, 1)
}

// Another installation may have the id of a runner that has signed off.
func TestLeaveFreesTheID(t *testing.T) {
	w := newWorld(t)
	s := w.register("r")
	other := platform.Registration{RunnerID: "r", InstallationID: "other", Capabilities: basilisk()}
	_, err := w.svc.Register(t.Context(), other)
	w.is("while the first is there", err, platform.ErrRunnerIDInUse)
	w.ok(w.svc.Leave(t.Context(), s, nil))
	w.registerAs(other)
}

// A claim that waits ends with its session.
func TestLeaveEndsTheWaitingClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.register("r")
		ended := make(chan error, 1)
		go func() {
			_, err := w.svc.Claim(t.Context(), s, 1, time.Hour)
			ended <- err
		}()
		synctest.Wait()
		w.ok(w.svc.Leave(t.Context(), s, nil))
		w.is("the claim", <-ended, platform.ErrUnknownSession)
	})
}
