package platform_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// draining sends a heartbeat that says so.
func (w *world) draining(session string, draining bool) {
	w.Helper()
	_, err := w.svc.Heartbeat(w.Context(), session, nil, draining, "")
	w.ok(err)
}

// A claim that waits is answered at once when its runner drains, and what comes
// then is the next runner's.
func TestDrainingAnswersTheWaitingClaim(t *testing.T) {
	bubble(t, func(w *world) {
		one, two := w.register("one"), w.register("two")
		first, second := w.wait(one, 3), w.wait(two, 3)
		w.draining(one, true)
		if !first.over() || len(first.jobs) > 0 || first.err != nil {
			t.Errorf("over %v with %d jobs, %v; want an empty answer", first.over(), len(first.jobs), first.err)
		}
		if second.over() {
			t.Error("another runner's claim was answered")
		}
		w.submit(1, "")
		if !second.over() || len(second.jobs) != 1 {
			t.Errorf("over %v with %d jobs; want the job", second.over(), len(second.jobs))
		}
		w.draining(one, true) // again changes nothing
		if again := w.wait(one, 3); !again.over() || len(again.jobs) > 0 || again.err != nil {
			t.Errorf("a later claim: over %v with %d jobs, %v", again.over(), len(again.jobs), again.err)
		}
	})
}

// A runner that a user has drained keeps waiting: it may be resumed.
func TestMaintenanceKeepsTheClaimWaiting(t *testing.T) {
	bubble(t, func(w *world) {
		c := w.wait(w.register("r"), 1)
		_, err := w.svc.Drain(w.Context(), "r")
		w.ok(err)
		w.submit(1, "")
		if c.over() {
			t.Fatalf("answered with %d jobs, %v", len(c.jobs), c.err)
		}
		_, err = w.svc.Resume(w.Context(), "r")
		w.ok(err)
		if !c.over() || len(c.jobs) != 1 {
			t.Errorf("over %v with %d jobs; want the job", c.over(), len(c.jobs))
		}
	})
}

// A new session does not drain: the runner has started again.
func TestNewSessionDoesNotDrain(t *testing.T) {
	bubble(t, func(w *world) {
		w.draining(w.register("r"), true)
		c := w.wait(w.register("r"), 1)
		if c.over() {
			t.Fatalf("answered with %d jobs, %v", len(c.jobs), c.err)
		}
		w.submit(1, "")
		if !c.over() || len(c.jobs) != 1 {
			t.Errorf("over %v with %d jobs; want the job", c.over(), len(c.jobs))
		}
	})
}

// In any order of claims, submissions and drains: no claim of a draining session
// waits or brings a job, and no job waits while a claim does.
func TestDrainingInAnyOrder(t *testing.T) {
	type step struct{ op, runner, n int }
	steps := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
		return step{rapid.IntRange(0, 3).Draw(t, "op"), rapid.IntRange(0, 2).Draw(t, "runner"), rapid.IntRange(1, 3).Draw(t, "n")}
	}), 1, 30)
	rapid.Check(t, func(rt *rapid.T) {
		list := steps.Draw(rt, "steps")
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			sessions, drains := []string{}, [3]bool{}
			for _, id := range []string{"a", "b", "c"} {
				sessions = append(sessions, w.register(id))
			}
			claims := [3]*waiting{}
			submitted, claimed := 0, 0
			for _, s := range list {
				// What is under way when a runner drains may still bring jobs.
				switch c := claims[s.runner]; {
				case s.op == 0 && c == nil:
					claims[s.runner] = w.wait(sessions[s.runner], s.n)
				case s.op == 1:
					w.submit(s.n, "")
					submitted += s.n
				case s.op >= 2:
					drains[s.runner] = s.op == 2
					w.draining(sessions[s.runner], drains[s.runner])
				}
				waits := false
				for i, c := range claims {
					if c == nil {
						continue
					}
					if !c.over() {
						waits = true
						if drains[i] {
							t.Fatalf("%v: the claim of draining runner %d waits", list, i)
						}
						continue
					}
					if c.err != nil || drains[i] && len(c.jobs) > 0 {
						t.Fatalf("%v: runner %d, draining %v, was given %d jobs, %v", list, i, drains[i], len(c.jobs), c.err)
					}
					claimed, claims[i] = claimed+len(c.jobs), nil
				}
				if waits && claimed < submitted {
					t.Fatalf("%v: %d of %d jobs wait, and so does a claim", list, submitted-claimed, submitted)
				}
			}
			for _, c := range claims {
				if c != nil {
					c.cancel()
					<-c.done
				}
			}
		})
		if t.Failed() {
			rt.FailNow()
		}
	})
}

// Also without a bubble: claims, submissions and a drain at the same time leave
// no job with nobody. Every job that is not pending was in somebody's answer.
func TestDrainingLosesNoAssignment(t *testing.T) {
	for range 50 {
		w := newWorld(t)
		s := w.register("r")
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		answers := make(chan []*runnerv1.Assignment, 1)
		go func() {
			got, err := w.svc.Claim(ctx, s, 1, time.Hour)
			if err != nil {
				t.Error(err)
			}
			answers <- got
		}()
		submitted := make(chan struct{})
		go func() { defer close(submitted); w.submit(1, "") }()
		w.draining(s, true)
		got := <-answers
		<-submitted
		if ctx.Err() != nil {
			t.Fatal("the claim was not answered")
		}
		cancel()
		if later := w.claim(w.register("other"), 1); len(got)+len(later) != 1 {
			t.Fatalf("%d in the answer, %d for the next runner; want one in all", len(got), len(later))
		}
	}
}
