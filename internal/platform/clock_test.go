package platform_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/platform"
)

// leapingWorld is a world whose host's clock can be set, apart from the time that
// passes.
type leapingWorld struct {
	*world

	elapsed time.Duration
}

func newLeapingWorld(tb testing.TB) *leapingWorld {
	w := &leapingWorld{world: newWorld(tb)}
	w.restart()
	return w
}

// restart is a new process over the same store.
func (w *leapingWorld) restart() {
	w.store.Reopen()
	w.svc = platform.New(w.store, platform.Options{
		Now: func() time.Time { return w.now }, Elapsed: func() time.Duration { return w.elapsed },
		NewID: func() string { w.ids++; return fmt.Sprintf("id%d", w.ids) },
		Log:   slog.New(slog.DiscardHandler),
	})
}

// pass has time pass, with a tick every second.
func (w *leapingWorld) pass(d time.Duration) {
	w.Helper()
	for ; d > 0; d -= time.Second {
		w.elapsed += min(d, time.Second)
		w.now = w.now.Add(min(d, time.Second))
		w.ok(w.svc.Tick(w.Context()))
	}
}

// set sets the host's clock.
func (w *leapingWorld) set(d time.Duration) { w.now = w.now.Add(d) }

var leaps = map[string]time.Duration{
	"forward by a day": 24 * time.Hour, "back by an hour": -time.Hour, "forward by two minutes": 2 * time.Minute, "back by half a lease": -30 * time.Second,
}

// Whatever the host's clock does, a runner that is heard of keeps its jobs, one that
// is silent loses them after a lease and not before, and no time is negative.
func TestClockIsSetWhileJobsRun(t *testing.T) {
	for name, leap := range leaps {
		t.Run(name, func(t *testing.T) {
			w := newLeapingWorld(t)
			batch := w.submit(2, "").ID
			one, two := w.register("one"), w.register("two")
			first, second := w.one(one), w.one(two)
			w.ok(w.started(one, first))
			for range 6 { // the second was heard of for the last time now
				w.beat(two, second)
				w.set(leap)
				w.beat(one, first)
				w.pass(9 * time.Second)
				if _, err := w.svc.Register(t.Context(), platform.Registration{RunnerID: "one", InstallationID: "another", Capabilities: basilisk()}); !errors.Is(err, platform.ErrRunnerIDInUse) {
					t.Fatalf("another host gets the id of a runner that is there: %v", err)
				}
			}
			w.set(leap)
			for left := 50 * time.Second; left > 0; left -= 8 * time.Second {
				w.beat(one, first)
				w.pass(min(left, 8*time.Second))
			}
			if j := w.job(second); j.State != api.JobRunning && j.State != api.JobClaimed {
				t.Errorf("the silent runner has lost its job early: %s", j.State)
			}
			w.beat(one, first)
			w.pass(15 * time.Second)
			if j := w.job(second); j.State != api.JobPending {
				t.Errorf("the silent runner keeps its job: %s", j.State)
			}
			j := w.job(first)
			if lasted := w.now.Sub(j.StartedAt); j.State != api.JobRunning || lasted < 100*time.Second || lasted > 200*time.Second {
				t.Errorf("the other one's job is %s, since %v", j.State, lasted)
			}
			w.ok(w.report(one, first, api.OutcomeCompleted))
			b := w.batch(batch)
			if b.Counts.Completed != 1 || b.EndedFor < 100*time.Second || b.EndedFor > 200*time.Second {
				t.Errorf("%+v took %v", b.Counts, b.EndedFor)
			}
		})
	}
}

// A runner that is gone stays gone, whatever the host's clock does, and what it had is
// taken from it after a lease.
func TestClockIsSetWhenARunnerIsGone(t *testing.T) {
	for name, leap := range leaps {
		for _, silent := range []time.Duration{35 * time.Second, 2 * time.Minute} {
			t.Run(fmt.Sprintf("%s after %v", name, silent), func(t *testing.T) {
				w := newLeapingWorld(t)
				w.submit(1, "")
				s := w.register("gone")
				a := w.one(s)
				for range 3 {
					w.pass(25 * time.Second)
					w.beat(s, a)
				}
				w.pass(silent)
				w.set(leap)
				w.pass(time.Second)
				held := w.job(a).State == api.JobClaimed
				if v, err := w.svc.Runner(t.Context(), "gone"); err != nil || v.State != api.RunnerOffline || v.SeenAt.After(w.now) {
					t.Errorf("it is %s, heard of %v ago, %v", v.State, w.now.Sub(v.SeenAt), err)
				}
				if held != (silent < time.Minute) {
					t.Errorf("it has its job: %v", held)
				}
				w.pass(30 * time.Second)
				if j := w.job(a); j.State != api.JobPending {
					t.Errorf("its job is %s", j.State)
				}
			})
		}
	}
}

// A platform that is started again, by a clock that was set meanwhile, blames nobody
// for what it recorded by the other one, and waits for nobody longer than a lease.
func TestClockIsSetBetweenTwoProcesses(t *testing.T) {
	for name, leap := range leaps {
		t.Run(name, func(t *testing.T) {
			w := newLeapingWorld(t)
			w.submit(2, "")
			one, two := w.register("one"), w.register("two")
			first, second := w.one(one), w.one(two)
			w.set(leap)
			w.restart()
			for range 5 {
				w.pass(9 * time.Second)
				w.beat(one, first)
			}
			for _, a := range []platform.AttemptRef{first, second} {
				if j := w.job(a); j.State != api.JobClaimed {
					t.Errorf("after 45 s the job of attempt %s is %s", a.AttemptID, j.State)
				}
			}
			for range 3 {
				w.beat(one, first)
				w.pass(9 * time.Second)
			}
			if a, b := w.job(first), w.job(second); a.State != api.JobClaimed || b.State != api.JobPending {
				t.Errorf("after 72 s the job of the runner that is there is %s, and of the one that is not %s", a.State, b.State)
			}
		})
	}
}

// A claim that waits does so for as long as it said, and by the real clock.
func TestClockIsSetWhileAClaimWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newLeapingWorld(t)
		session := w.register("one")
		done := make(chan time.Duration)
		began := time.Now()
		go func() {
			_, _ = w.svc.Claim(context.Background(), session, 1, 20*time.Second)
			done <- time.Since(began)
		}()
		synctest.Wait()
		w.set(24 * time.Hour)
		w.ok(w.svc.Tick(t.Context()))
		w.set(-25 * time.Hour)
		w.ok(w.svc.Tick(t.Context()))
		if waited := <-done; waited != 20*time.Second {
			t.Errorf("waited %v", waited)
		}
	})
}
