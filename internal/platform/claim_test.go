package platform_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/platform"
	"github.com/tetryx/lynx-runner/internal/study"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

func TestClaimOrder(t *testing.T) {
	w := newWorld(t)
	first, second := w.submit(3, ""), w.submit(2, "")
	s := w.register("r")
	var got []string
	for _, n := range []int{2, 2, 9} {
		as := w.claim(s, n)
		for _, a := range as {
			got = append(got, a.BatchId)
			if want := uint64(len(got)-1) % 3; a.RunIndex != want {
				t.Errorf("claim %d has run index %d; want %d", len(got), a.RunIndex, want)
			}
		}
	}
	w.equal("order", got, []string{first.ID, first.ID, first.ID, second.ID, second.ID})
}

func TestAssignmentIsComplete(t *testing.T) {
	w := newWorld(t)
	r, err := study.Parse([]byte(`
name: full
config:
  simulation: {type: basilisk, name: Orbit, version: 1.2.0, duration_minutes: 12.5, entrypoint: sub/scenario.py}
  monte_carlo: {runs: 3, seed: 42}
  dispersions:
    b_mass: {distribution: {type: normal, mean: 100, std_dev: 5}, units: kg}
    a_ecc: {distribution: {type: uniform, min: 0, max: 1}, units: none}
  compute:
    container: {image: "lynx-basilisk", cpu_request: 1500m, memory_request: 2Gi}
    job_timeout_seconds: 90
  early_termination:
    enabled: true
    conditions:
      - {name: low, description: too low, variable: orbit.radius_km, operator: lt, threshold: 6371, units: km}
`), "study.yaml")
	w.ok(err)
	b, err := w.svc.Submit(t.Context(), r)
	w.ok(err)
	design, err := study.Sample(r, 42)
	w.ok(err)
	as := w.claim(w.register("r"), 2)
	got, row := as[1], design.Row(1)
	minutes := 12.5
	w.equal("compute", got.Compute.Timeout.AsDuration(), 90*time.Second)
	got.Compute.Timeout = nil
	w.equal("assignment", got, &runnerv1.Assignment{
		BatchId: b.ID, JobId: got.JobId, AttemptId: got.JobId + "-1", Attempt: 1,
		Token: &runnerv1.Token{Epoch: 1, Counter: 1}, RunIndex: 1, Seed: design.RunSeed(1),
		Simulation: &runnerv1.Simulation{
			Type: "basilisk", Name: "Orbit", Version: "1.2.0", DurationMinutes: &minutes, Entrypoint: "sub/scenario.py",
		},
		Parameters: []*runnerv1.Parameter{{Name: "a_ecc", Value: row[0]}, {Name: "b_mass", Value: row[1], Unit: "kg"}},
		Compute:    &runnerv1.Compute{Image: "lynx-basilisk", CpuMillis: 1500, MemoryBytes: 2 << 30},
		EarlyTermination: &runnerv1.EarlyTermination{Enabled: true, Conditions: []*runnerv1.Condition{{
			Name: "low", Description: "too low", Variable: "orbit.radius_km", Operator: "lt", Threshold: 6371, Units: "km",
		}}},
	})
}

// TestTheCommandIsPassedOn from the study to the runner.
func TestTheCommandIsPassedOn(t *testing.T) {
	w := newWorld(t)
	r := parse(t, 1, "")
	r.Config.Simulation.Type, r.Config.Simulation.Command = "command", []string{"./sim", "-n", "$(id)"}
	_, err := w.svc.Submit(t.Context(), r)
	w.ok(err)
	as := w.claim(w.registerAs(platform.Registration{RunnerID: "r", InstallationID: "r", Capabilities: api.Capabilities{
		MaxConcurrentJobs: 1, SupportedSimulationTypes: []string{"command"},
	}}), 1)
	w.equal("command", as[0].GetSimulation().GetCommand(), r.Config.Simulation.Command)
}

func TestClaimMatchesCapabilities(t *testing.T) {
	w := newWorld(t)
	plain, gpu := w.submit(1, ""), w.submit(1, "container: {gpu_request: 1}")
	other := parse(t, 1, "")
	other.Config.Simulation.Type = "px4_sitl"
	px4, err := w.svc.Submit(t.Context(), other)
	w.ok(err)
	session := func(id string, gpu bool, types ...string) string {
		return w.registerAs(platform.Registration{RunnerID: id, InstallationID: id, Capabilities: api.Capabilities{
			MaxConcurrentJobs: 1, GPUAvailable: gpu, SupportedSimulationTypes: types,
		}})
	}
	for _, c := range []struct {
		session string
		want    []string
	}{
		{session("none of it", true, "command"), nil},
		{session("px4", false, "px4_sitl", "command"), []string{px4.ID}},
		{session("no gpu", false, "basilisk"), []string{plain.ID}},
		{session("gpu", true, "basilisk"), []string{gpu.ID}},
	} {
		var got []string
		for _, a := range w.claim(c.session, 9) {
			got = append(got, a.BatchId)
		}
		w.equal("batches", got, c.want)
	}
}

func TestMaxParallelJobs(t *testing.T) {
	w := newWorld(t)
	bounded, free := w.submit(5, "max_parallel_jobs: 2"), w.submit(1, "")
	s := w.register("r")
	var got []string
	as := w.claim(s, 9)
	for _, a := range as {
		got = append(got, a.BatchId)
	}
	w.equal("claimed", got, []string{bounded.ID, bounded.ID, free.ID})
	if more := w.claim(s, 9); len(more) != 0 {
		t.Errorf("claimed %d jobs above the bound", len(more))
	}
	w.ok(w.report(s, ref(as[0]), api.OutcomeCompleted))
	if more := w.claim(s, 9); len(more) != 1 || more[0].RunIndex != 2 {
		t.Errorf("claimed %v after one ended; want run 2", more)
	}
}

func TestClaimBeyondManyClosedBatches(t *testing.T) {
	w := newWorld(t)
	for range 40 { // more than a claim looks at in one go
		w.submit(1, "container: {gpu_request: 1}")
	}
	want := w.submit(1, "")
	as := w.claim(w.register("r"), 9)
	if len(as) != 1 || as[0].BatchId != want.ID {
		t.Errorf("claimed %v; want the one job that suits", as)
	}
}

func TestClaimArguments(t *testing.T) {
	w := newWorld(t)
	var bad *platform.InvalidError
	if _, err := w.svc.Claim(t.Context(), w.register("r"), 0, 0); !errors.As(err, &bad) || bad.Field != "max_jobs" {
		t.Errorf("max_jobs 0: %v; want an InvalidError", err)
	}
	_, err := w.svc.Claim(t.Context(), "x", 1, time.Hour)
	w.is("no session", err, platform.ErrUnknownSession)
	w.submit(platform.MaxClaim+1, "")
	if as := w.claim(w.register("r"), 1<<30); len(as) != platform.MaxClaim {
		t.Errorf("claimed %d; want %d at most", len(as), platform.MaxClaim)
	}
}

// waiting is a claim in a goroutine of its own.
type waiting struct {
	done   chan struct{}
	jobs   []*runnerv1.Assignment
	err    error
	cancel context.CancelFunc
	free   platform.Resources
}

// wait begins to claim n jobs and returns when the claim waits, or is over.
func (w *world) wait(session string, n int) *waiting { return w.waitFor(session, n, nil) }

// waitWithin is wait for a runner with a bound.
func (w *world) waitWithin(session string, n int, free platform.Resources) *waiting {
	return w.waitFor(session, n, &free)
}

func (w *world) waitFor(session string, n int, free *platform.Resources) *waiting {
	ctx, cancel := context.WithCancel(w.Context())
	c := &waiting{done: make(chan struct{}), cancel: cancel}
	go func() {
		defer close(c.done)
		c.jobs, c.err = w.svc.ClaimWithin(ctx, session, n, free, time.Hour)
	}()
	if free != nil {
		c.free = *free
	}
	synctest.Wait()
	return c
}

// over reports whether the claim has been answered once nothing moves any more.
func (c *waiting) over() bool {
	synctest.Wait()
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// bubble runs a test in a bubble of synctest, in which a claim that waits can be
// told from one that works.
func bubble(t *testing.T, test func(*world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(newWorld(t)) })
}

func TestClaimWaits(t *testing.T) {
	bubble(t, func(w *world) {
		c := w.wait(w.register("r"), 3)
		if c.over() {
			t.Fatalf("an empty queue was answered with %v, %v", c.jobs, c.err)
		}
		w.submit(2, "")
		if !c.over() || len(c.jobs) != 2 || c.err != nil {
			t.Errorf("over %v with %d jobs, %v; want 2 jobs as soon as they are there", c.over(), len(c.jobs), c.err)
		}
	})
}

func TestClaimWaitEnds(t *testing.T) {
	bubble(t, func(w *world) {
		s := w.register("r")
		begin := time.Now()
		as, err := w.svc.Claim(w.Context(), s, 1, time.Minute)
		if len(as) != 0 || err != nil || time.Since(begin) != time.Minute {
			t.Errorf("%v, %v after %v; want nothing after a minute", as, err, time.Since(begin))
		}
		c := w.wait(s, 1)
		c.cancel()
		if !c.over() || len(c.jobs) != 0 || c.err != nil {
			t.Errorf("a cancelled claim: %v, %v", c.jobs, c.err)
		}
	})
}

// TestOneJobWakesOne has many claims wait and one job come.
func TestOneJobWakesOne(t *testing.T) {
	bubble(t, func(w *world) {
		s := w.register("r")
		var claims []*waiting
		for range 10 {
			claims = append(claims, w.wait(s, 1))
		}
		for n := range claims {
			w.submit(1, "")
			if !claims[n].over() || len(claims[n].jobs) != 1 {
				t.Fatalf("claim %d, the one that had waited longest, did not get the job", n)
			}
			for _, c := range claims[n+1:] {
				if c.over() {
					t.Fatal("a job woke more than one claim to the end")
				}
			}
		}
	})
}

func TestWhatWakesAClaim(t *testing.T) {
	for name, event := range map[string]func(w *world, s string, a platform.AttemptRef, id string){
		"a retry": func(w *world, s string, a platform.AttemptRef, _ string) {
			w.ok(w.report(s, a, api.OutcomeNonzeroExit))
		},
		"a requeue": func(w *world, s string, a platform.AttemptRef, _ string) {
			w.ok(w.report(s, a, api.OutcomeInfrastructure))
		},
		"room below max_parallel_jobs": func(w *world, s string, a platform.AttemptRef, _ string) {
			w.ok(w.report(s, a, api.OutcomeCompleted))
		},
		"a lost runner": func(w *world, _ string, _ platform.AttemptRef, _ string) {
			w.pass(61 * time.Second)
			w.tick()
		},
		"a cancelled job that leaves room": func(w *world, s string, a platform.AttemptRef, _ string) {
			_, err := w.svc.CancelJob(w.Context(), w.job(a).ID)
			w.ok(err)
			w.ok(w.report(s, a, api.OutcomeCancelled))
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(w *world) {
				b := w.submit(2, "max_retries: 1, max_parallel_jobs: 1")
				s := w.register("r")
				a := w.one(s)
				c := w.wait(w.register("other"), 1)
				if c.over() {
					t.Fatal("claimed above max_parallel_jobs")
				}
				event(w, s, a, b.ID)
				if !c.over() || len(c.jobs) != 1 {
					t.Errorf("over %v, %d jobs, %v; want one", c.over(), len(c.jobs), c.err)
				}
			})
		})
	}
}

// TestWakeUpIsPassedOn has the claim that is woken first be unable to take the
// job.
func TestWakeUpIsPassedOn(t *testing.T) {
	bubble(t, func(w *world) {
		first, second := w.wait(w.register("a"), 1), w.wait(w.register("b"), 1)
		first.cancel()
		w.submit(1, "")
		if !second.over() && len(first.jobs) == 0 {
			t.Error("a job came, the longest wait ended at the same time, and nobody got it")
		}
	})
	bubble(t, func(w *world) {
		sa := w.register("a")
		first, second := w.wait(sa, 1), w.wait(w.register("b"), 1)
		_, err := w.svc.Heartbeat(w.Context(), sa, nil, true, "") // about to stop, in the midst of a claim
		w.ok(err)
		w.submit(1, "")
		if !first.over() || len(first.jobs) > 0 || !second.over() || len(second.jobs) != 1 {
			t.Errorf("draining runner answered: %v; the other one: %v", first.over(), second.over())
		}
	})
}

func TestNewSessionEndsOldClaim(t *testing.T) {
	bubble(t, func(w *world) {
		c := w.wait(w.register("r"), 1)
		w.register("r")
		if !c.over() {
			t.Fatal("a claim of the old session goes on waiting")
		}
		w.is("claim", c.err, platform.ErrUnknownSession)
	})
}

func TestDrainAndResume(t *testing.T) {
	bubble(t, func(w *world) {
		s := w.register("r")
		c := w.wait(s, 1)
		v, err := w.svc.Drain(w.Context(), "r")
		w.ok(err)
		w.equal("state", v.State, api.RunnerMaintenance)
		w.equal("told", w.beat(s).Drain, true)
		w.submit(1, "")
		if c.over() {
			t.Fatalf("a drained runner got %v, %v", c.jobs, c.err)
		}
		s = w.register("r") // a restart does not undo it
		if as := w.claim(s, 1); len(as) != 0 {
			t.Errorf("a drained runner got %v after its restart", as)
		}
		c = w.wait(s, 1)
		v, err = w.svc.Resume(w.Context(), "r")
		w.ok(err)
		w.equal("state", v.State, api.RunnerIdle)
		w.equal("told", w.beat(s).Drain, false)
		if !c.over() || len(c.jobs) != 1 {
			t.Errorf("resumed: over %v with %v, %v", c.over(), c.jobs, c.err)
		}
		_, err = w.svc.Drain(w.Context(), "x")
		w.is("a runner that is not there", err, platform.ErrNotFound)
	})
}

func TestDrainingIsTakenBack(t *testing.T) {
	bubble(t, func(w *world) {
		s := w.register("r")
		w.submit(1, "")
		_, err := w.svc.Heartbeat(w.Context(), s, nil, true, "")
		w.ok(err)
		if c := w.wait(s, 1); !c.over() || len(c.jobs) > 0 || c.err != nil {
			t.Fatalf("a draining runner's claim: over %v, %d jobs, %v; want an empty answer at once", c.over(), len(c.jobs), c.err)
		}
		w.beat(s)
		if c := w.wait(s, 1); !c.over() || len(c.jobs) != 1 {
			t.Error("a runner that drains no more got no job")
		}
	})
}
