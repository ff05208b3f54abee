package platform_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/platform"
	"github.com/tetryx/lynx-runner/internal/platform/store/memory"
)

func TestRegister(t *testing.T) {
	w := newWorld(t)
	reg := platform.Registration{
		RunnerID: "r", InstallationID: "one", Version: "1.2.3", Hostname: "gpu-box", Executor: "docker",
		Capabilities: api.Capabilities{MaxConcurrentJobs: 2, CPUCores: 4, MemoryGB: 8, SupportedSimulationTypes: []string{"basilisk"}},
	}
	s, err := w.svc.Register(t.Context(), reg)
	w.ok(err)
	w.equal("times", []time.Duration{s.HeartbeatInterval, s.OfflineAfter, s.LeaseDuration},
		[]time.Duration{10 * time.Second, 30 * time.Second, time.Minute})
	v, err := w.svc.Runner(t.Context(), "r")
	w.ok(err)
	w.equal("runner", v, platform.RunnerView{
		Runner: platform.Runner{
			ID: "r", InstallationID: "one", SessionID: s.ID, Version: "1.2.3", Hostname: "gpu-box", Executor: "docker",
			Capabilities: reg.Capabilities, RegisteredAt: w.now, SeenAt: w.now,
		},
		State: api.RunnerIdle,
	})
	_, err = w.svc.Runner(t.Context(), "x")
	w.is("a runner that is not there", err, platform.ErrNotFound)
}

func TestRunnerIDInUse(t *testing.T) {
	w := newWorld(t)
	one := platform.Registration{RunnerID: "r", InstallationID: "one", Hostname: "gpu-box", Capabilities: basilisk()}
	two := one
	two.InstallationID = "two"
	s := w.registerAs(one)
	w.pass(29 * time.Second)
	_, err := w.svc.Register(t.Context(), two)
	w.is("while heartbeats are fresh", err, platform.ErrRunnerIDInUse)
	if err == nil || !strings.Contains(err.Error(), `"gpu-box", heard of 29s ago`) {
		t.Errorf("%v; want it to say where the other one is", err)
	}
	w.beat(s)
	w.pass(29 * time.Second)
	_, err = w.svc.Register(t.Context(), two)
	w.is("after a heartbeat", err, platform.ErrRunnerIDInUse)
	w.submit(1, "")
	a := w.one(s)

	w.pass(time.Second)
	taken := w.registerAs(two)
	_, err = w.svc.Heartbeat(t.Context(), s, []platform.AttemptRef{a}, false, "")
	w.is("the first one comes back", err, platform.ErrUnknownSession)
	w.beat(taken)
	w.state("what the first one had", a, api.JobPending, 0, 1)
}

// A copy of a state directory, or a clone of a machine, does not take the id from the
// runner that has it, and neither from the copy; the error says what was copied.
func TestCopiedStateDirectory(t *testing.T) {
	w := newWorld(t)
	first := platform.Registration{RunnerID: "r", InstallationID: "one.here", Hostname: "gpu-box", Capabilities: basilisk()}
	second, stranger := first, first
	second.InstallationID, stranger.InstallationID = "one.there", "two.there"
	s := w.registerAs(first)
	for reg, copied := range map[*platform.Registration]bool{&second: true, &stranger: false} {
		_, err := w.svc.Register(t.Context(), *reg)
		w.is(reg.InstallationID, err, platform.ErrRunnerIDInUse)
		if strings.Contains(err.Error(), "state directory was copied") != copied {
			t.Errorf("%s: %v", reg.InstallationID, err)
		}
	}
	w.beat(s)
	w.pass(30 * time.Second)
	s = w.registerAs(second) // the first is silent
	_, err := w.svc.Register(t.Context(), first)
	w.is("the first comes back", err, platform.ErrRunnerIDInUse)
	w.beat(s)
	s = w.registerAs(second) // its process was started again
	w.ok(w.svc.Leave(t.Context(), s, nil))
	w.registerAs(first)
}

func TestRegisterArguments(t *testing.T) {
	w := newWorld(t)
	for field, spoil := range map[string]func(*platform.Registration){
		"runner_id":                               func(r *platform.Registration) { r.RunnerID = "" },
		"installation_id":                         func(r *platform.Registration) { r.InstallationID = "" },
		"capabilities.max_concurrent_jobs":        func(r *platform.Registration) { r.Capabilities.MaxConcurrentJobs = 0 },
		"capabilities.supported_simulation_types": func(r *platform.Registration) { r.Capabilities.SupportedSimulationTypes = nil },
	} {
		r := platform.Registration{RunnerID: "r", InstallationID: "i", Capabilities: basilisk()}
		spoil(&r)
		_, err := w.svc.Register(t.Context(), r)
		var bad *platform.InvalidError
		if !errors.As(err, &bad) || bad.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestRunnerStates(t *testing.T) {
	w := newWorld(t)
	w.submit(1, "")
	s := w.register("r")
	w.register("idle")
	state := func(what string, want api.RunnerState, active int) {
		t.Helper()
		v, err := w.svc.Runner(t.Context(), "r")
		w.ok(err)
		w.equal(what, []any{v.State, v.ActiveJobs}, []any{want, active})
		all, err := w.svc.Runners(t.Context())
		w.ok(err)
		w.equal("ids", []string{all[0].ID, all[1].ID}, []string{"idle", "r"})
		w.equal(what+", in the list", all[1], v)
	}
	state("registered", api.RunnerIdle, 0)
	a := w.one(s)
	state("with a job", api.RunnerBusy, 1)
	_, err := w.svc.Drain(t.Context(), "r")
	w.ok(err)
	state("drained with a job", api.RunnerMaintenance, 1)
	w.pass(30 * time.Second)
	state("silent", api.RunnerOffline, 1)
	w.beat(s, a)
	state("back", api.RunnerMaintenance, 1)
	w.ok(w.report(s, a, api.OutcomeCompleted))
	_, err = w.svc.Resume(t.Context(), "r")
	w.ok(err)
	state("done", api.RunnerIdle, 0)
	_, err = w.svc.Heartbeat(t.Context(), s, nil, true, "")
	w.ok(err)
	state("draining by itself", api.RunnerMaintenance, 0)
}

// TestRunTicks leaves the checking of leases to the service.
func TestRunTicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := platform.New(memory.New(), platform.Options{})
		w := &world{TB: t, svc: svc, now: time.Now()}
		ctx, stop := context.WithCancel(t.Context())
		stopped := make(chan struct{})
		go func() { defer close(stopped); svc.Run(ctx) }()
		w.submit(1, "")
		a := w.one(w.register("r"))
		time.Sleep(59 * time.Second) // of the bubble's own clock
		w.state("within the lease", a, api.JobClaimed, 0, 0)
		time.Sleep(3 * time.Second)
		w.state("after it", a, api.JobPending, 0, 1)
		stop()
		<-stopped
	})
}
