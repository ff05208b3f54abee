package platform_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/platform"
)

// A job that a runner failed to run is left to another that could take it, for a
// minute; so one sick host does not use up its requeues.
func TestARequeuedJobGoesToAnother(t *testing.T) {
	w := newWorld(t)
	w.submit(1, "")
	sick, other := w.register("sick"), w.register("other")
	a := w.one(sick)
	w.ok(w.report(sick, a, api.OutcomeInfrastructure))
	if got := w.claim(sick, 1); len(got) > 0 {
		t.Error("it has the job again at once")
	}
	if again := w.one(other); again.AttemptID != platform.AttemptID(w.job(a).ID, 2) {
		t.Errorf("the other has %s", again.AttemptID)
	}
}

// Other jobs of the batch go to anyone, also behind those that are left to others.
func TestOtherJobsAreNotLeft(t *testing.T) {
	w := newWorld(t)
	w.submit(3, "")
	sick := w.register("sick")
	w.register("other")
	a, b := w.one(sick), w.one(sick)
	w.ok(w.report(sick, a, api.OutcomeInfrastructure))
	w.ok(w.report(sick, b, api.OutcomeInfrastructure))
	if got := w.claim(sick, 3); len(got) != 1 || got[0].GetRunIndex() != 2 {
		t.Errorf("claimed %v, want the third run", got)
	}
}

// What is left to others takes nothing of what is free: the runner that had the job
// goes on with the next batch, whose jobs are not held to have been passed over.
func TestWhatIsLeftTakesNoRoom(t *testing.T) {
	w := newWorld(t)
	w.submit(1, "")
	second := w.submit(1, "").ID
	need := platform.Resources{CPUMillis: 1000, MemoryBytes: 1 << 30}
	sick := w.registerAs(platform.Registration{RunnerID: "sick", InstallationID: "i", Capabilities: basilisk(), Default: need})
	w.register("other")
	w.ok(w.report(sick, w.one(sick), api.OutcomeInfrastructure))
	got, err := w.svc.ClaimWithin(t.Context(), sick, 1, &need, 0)
	if err != nil || len(got) != 1 || got[0].GetBatchId() != second {
		t.Errorf("claimed %v, %v; want the job of the second batch", got, err)
	}
}

// Where nobody else could take it, nothing is left: a runner that is alone has its
// jobs again, as has one whose fellows all failed too.
func TestNobodyElse(t *testing.T) {
	for name, other := range map[string]func(*world, string){
		"alone":       nil,
		"offline":     func(w *world, s string) { w.ok(w.svc.Leave(t.Context(), s, nil)) },
		"paused":      func(w *world, s string) { _, err := w.svc.Heartbeat(t.Context(), s, nil, false, "full"); w.ok(err) },
		"drained":     func(w *world, _ string) { _, err := w.svc.Drain(t.Context(), "other"); w.ok(err) },
		"had it too":  func(w *world, s string) { w.ok(w.report(s, w.one(s), api.OutcomeInfrastructure)) },
		"a minute on": func(w *world, s string) { w.pass(time.Minute); w.beat(s) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.submit(1, "")
			first := w.register("first")
			w.ok(w.report(first, w.one(first), api.OutcomeInfrastructure))
			if other != nil {
				other(w, w.register("other"))
			}
			w.one(first)
		})
	}
}

// The one that waits and has not had the job is woken for it, although the one that
// had it waits for longer.
func TestAnotherIsWoken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.submit(1, "")
		sick, other := w.register("sick"), w.register("other")
		a := w.one(sick)
		got := make(chan string, 2)
		for _, s := range []string{sick, other} {
			go func() {
				as, err := w.svc.Claim(t.Context(), s, 1, time.Hour)
				w.ok(err)
				if len(as) > 0 {
					got <- s
				}
			}()
			synctest.Wait()
		}
		w.ok(w.report(sick, a, api.OutcomeInfrastructure))
		synctest.Wait()
		select {
		case s := <-got:
			w.equal("who has it", s, other)
		default:
			t.Error("nobody was woken")
		}
	})
}

// The one that had the job and waits is woken for it when the minute is over in which
// it was left to another, which had no room for it.
func TestWokenWhenTheMinuteIsOver(t *testing.T) {
	bubble(t, func(w *world) {
		w.submit(2, "")
		sick, full := w.register("sick"), w.register("full")
		held := w.one(full)
		w.ok(w.report(sick, w.one(sick), api.OutcomeInfrastructure))
		claim := w.wait(sick, 2)
		live := func(d time.Duration) {
			for ; d > 0; d -= 10 * time.Second {
				w.pass(min(d, 10*time.Second))
				w.beat(sick)
				w.beat(full, held)
				w.tick()
				synctest.Wait()
			}
		}
		live(59 * time.Second)
		if claim.over() {
			t.Fatal("it was answered within the minute")
		}
		live(time.Second)
		if !claim.over() || claim.err != nil || len(claim.jobs) != 1 || claim.jobs[0].GetAttempt() != 2 {
			t.Errorf("answered: %v, with %v %v", claim.over(), claim.jobs, claim.err)
		}
		claim.cancel()
	})
}

// A retry that the simulation caused says nothing about the host.
func TestRetriesGoToAnyone(t *testing.T) {
	w := newWorld(t)
	w.submit(1, "max_retries: 1")
	s := w.register("r")
	w.register("other")
	w.ok(w.report(s, w.one(s), api.OutcomeNonzeroExit))
	w.one(s)
}
