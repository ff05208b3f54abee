package platform_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/platform"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

const gib = 1 << 30

// host registers a runner with 8 CPUs, 16 GiB and 2 GPUs, whose jobs have 1 CPU and
// 1 GiB unless they ask for something else.
func (w *world) host(id string) string {
	w.Helper()
	c := basilisk()
	c.CPUCores, c.MemoryGB, c.GPUAvailable = 8, 16, true
	return w.registerAs(platform.Registration{
		RunnerID: id, InstallationID: id, Capabilities: c, GPUs: 2,
		Default: platform.Resources{CPUMillis: 1000, MemoryBytes: gib},
	})
}

func (w *world) claimWithin(session string, n int, free platform.Resources) []*runnerv1.Assignment {
	w.Helper()
	as, err := w.svc.ClaimWithin(w.Context(), session, n, &free, 0)
	w.ok(err)
	return as
}

// of counts assignments by batch, in the order of the batches.
func of(as []*runnerv1.Assignment, batches ...platform.Batch) []int {
	counts := make([]int, len(batches))
	for _, a := range as {
		for i, b := range batches {
			if a.GetBatchId() == b.ID {
				counts[i]++
			}
		}
	}
	return counts
}

func TestClaimsAddUpToWhatIsFree(t *testing.T) {
	all := platform.Resources{CPUMillis: 8000, MemoryBytes: 16 * gib, GPUs: 2}
	for name, c := range map[string]struct {
		compute string
		free    platform.Resources
		want    int
	}{
		"CPU":               {"container: {cpu_request: 1500m}", all, 5},
		"memory":            {"container: {memory_request: 3Gi}", all, 5},
		"GPUs":              {"container: {gpu_request: 1}", all, 2},
		"the default CPU":   {"", platform.Resources{CPUMillis: 3999, MemoryBytes: 16 * gib}, 3},
		"the default size":  {"", platform.Resources{CPUMillis: 8000, MemoryBytes: 4*gib - 1}, 3},
		"no room at all":    {"", platform.Resources{}, 0},
		"less than nothing": {"", platform.Resources{CPUMillis: -1, MemoryBytes: -1, GPUs: -1}, 0},
		"no GPU is free":    {"container: {gpu_request: 1}", platform.Resources{CPUMillis: 8000, MemoryBytes: 16 * gib}, 0},
		"slots":             {"container: {cpu_request: 100m, memory_request: 8Mi}", all, 9},
		"the most parallel": {"max_parallel_jobs: 2", all, 2},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.submit(20, c.compute)
			if got := w.claimWithin(w.host("r"), 9, c.free); len(got) != c.want {
				t.Errorf("claimed %d; want %d", len(got), c.want)
			}
		})
	}
}

// TestLaterBatchesGetWhatIsLeft, in the same claim.
func TestLaterBatchesGetWhatIsLeft(t *testing.T) {
	w := newWorld(t)
	large, small := w.submit(9, "container: {cpu_request: 3000m}"), w.submit(9, "container: {cpu_request: 500m}")
	got := w.claimWithin(w.host("r"), 9, platform.Resources{CPUMillis: 7200, MemoryBytes: 16 * gib})
	w.equal("claimed of each", of(got, large, small), []int{2, 2})
}

func TestJobsLargerThanTheRunner(t *testing.T) {
	w := newWorld(t)
	for _, compute := range []string{
		"container: {cpu_request: 8001m}", "container: {memory_request: 17Gi}", "container: {gpu_request: 3}",
	} {
		w.submit(1, compute)
	}
	fits := w.submit(1, `container: {cpu_request: "8", memory_request: 16Gi, gpu_request: 2}`)
	w.equal("claimed of what fits", of(w.claim(w.host("r"), 9), fits), []int{1})
}

// TestARunnerThatTellsNoAmounts is one of an earlier version: its jobs are bounded
// by its slots, and a GPU is a GPU.
func TestARunnerThatTellsNoAmounts(t *testing.T) {
	w := newWorld(t)
	w.submit(2, `container: {cpu_request: "64", memory_request: 999Gi, gpu_request: 7}`)
	c := basilisk()
	if got := w.claim(w.registerAs(platform.Registration{RunnerID: "a", InstallationID: "a", Capabilities: c}), 9); len(got) != 0 {
		t.Errorf("claimed %d with GPUs, without any", len(got))
	}
	c.GPUAvailable = true
	if got := w.claim(w.registerAs(platform.Registration{RunnerID: "b", InstallationID: "b", Capabilities: c}), 9); len(got) != 2 {
		t.Errorf("claimed %d; want 2", len(got))
	}
}

// TestADefaultLargerThanTheRunner does not keep jobs from it that ask for nothing.
func TestADefaultLargerThanTheRunner(t *testing.T) {
	w := newWorld(t)
	w.submit(2, "")
	c := basilisk()
	c.MemoryGB = 0.5
	s := w.registerAs(platform.Registration{
		RunnerID: "r", InstallationID: "r", Capabilities: c, Default: platform.Resources{CPUMillis: 1000, MemoryBytes: gib},
	})
	if got := w.claimWithin(s, 9, platform.Resources{CPUMillis: 9000, MemoryBytes: gib / 2}); len(got) != 1 {
		t.Errorf("claimed %d; want 1", len(got))
	}
}

func TestRegistrationsBelowZero(t *testing.T) {
	w := newWorld(t)
	for _, r := range []platform.Registration{
		{GPUs: -1}, {Default: platform.Resources{CPUMillis: -1}}, {Default: platform.Resources{MemoryBytes: -1}},
	} {
		r.RunnerID, r.InstallationID, r.Capabilities = "r", "r", basilisk()
		if _, err := w.svc.Register(t.Context(), r); err == nil {
			t.Errorf("registered %+v", r)
		}
	}
}

// TestALargeJobIsNotStarved: small jobs of a later batch fill the runner, and
// would for ever.
func TestALargeJobIsNotStarved(t *testing.T) {
	w := newWorld(t)
	large, small := w.submit(2, `container: {cpu_request: "4"}`), w.submit(99, "")
	s := w.host("r")
	free := platform.Resources{CPUMillis: 3000, MemoryBytes: 16 * gib} // 5 are in use by something else
	w.equal("passed over", of(w.claimWithin(s, 2, free), large, small), []int{0, 2})
	w.pass(59 * time.Second)
	w.beat(s)
	w.equal("passed over for less than a minute", of(w.claimWithin(s, 1, free), large, small), []int{0, 1})
	w.pass(time.Second)
	w.equal("held back", of(w.claimWithin(s, 9, free), large, small), []int{0, 0})
	// A runner that is too small for it, or has nothing, goes on.
	c := basilisk()
	c.CPUCores = 2
	tiny := w.registerAs(platform.Registration{RunnerID: "tiny", InstallationID: "tiny", Capabilities: c})
	w.equal("a small runner", of(w.claimWithin(tiny, 1, free), large, small), []int{0, 1})
	w.equal("a runner without jobs", of(w.claimWithin(w.host("idle"), 1, free), large, small), []int{0, 1})
	// Room comes about.
	free.CPUMillis = 5000
	w.equal("large first", of(w.claimWithin(s, 9, free), large, small), []int{1, 1})
	free.CPUMillis = 1000
	w.equal("patience begins anew", of(w.claimWithin(s, 1, free), large, small), []int{0, 1})
	w.pass(time.Minute)
	w.equal("held back again", of(w.claimWithin(s, 9, free), large, small), []int{0, 0})
	_, err := w.svc.CancelBatch(t.Context(), large.ID)
	w.ok(err)
	w.equal("after its cancellation", of(w.claimWithin(s, 9, free), large, small), []int{0, 1})
}

// TestThoseHeldBackHearWhenTheyAreNoMore: another runner takes the large job.
func TestThoseHeldBackHearWhenTheyAreNoMore(t *testing.T) {
	bubble(t, func(w *world) {
		large, small := w.submit(1, `container: {cpu_request: "4"}`), w.submit(9, "")
		s, other := w.host("r"), w.host("other")
		free := platform.Resources{CPUMillis: 2000, MemoryBytes: 16 * gib}
		w.claimWithin(s, 1, free)
		w.pass(time.Minute)
		c := w.waitWithin(s, 1, free)
		if c.over() {
			w.Fatalf("not held back: %v", c.jobs)
		}
		w.equal("the other one", of(w.claim(other, 1), large, small), []int{1, 0})
		if !c.over() || len(c.jobs) != 1 {
			w.Errorf("over %v with %d jobs", c.over(), len(c.jobs))
		}
	})
}

// TestWaitersHaveRoomForWhatTheyAreWokenFor: with one new job, one waits that is
// full, and one that has room. The second gets it.
func TestWaitersHaveRoomForWhatTheyAreWokenFor(t *testing.T) {
	bubble(t, func(w *world) {
		full := w.waitWithin(w.host("full"), 1, platform.Resources{CPUMillis: 500, MemoryBytes: gib})
		roomy := w.waitWithin(w.host("roomy"), 1, platform.Resources{CPUMillis: 1000, MemoryBytes: gib})
		w.submit(1, "")
		if full.over() || !roomy.over() || len(roomy.jobs) != 1 {
			w.Errorf("over %v and %v with %v", full.over(), roomy.over(), roomy.jobs)
		}
		full.cancel()
		full.over()
	})
}

func TestPausedRunnersTakeNoJobs(t *testing.T) {
	bubble(t, func(w *world) {
		b := w.submit(2, "")
		s := w.register("r")
		beat := func(paused string) {
			_, err := w.svc.Heartbeat(w.Context(), s, nil, false, paused)
			w.ok(err)
		}
		beat("the disk is full")
		if got := w.claim(s, 1); len(got) != 0 {
			w.Fatalf("claimed %v", got)
		}
		v, err := w.svc.Runner(w.Context(), "r")
		w.ok(err)
		w.equal("paused", v.Paused, "the disk is full")
		w.equal("state", v.State, api.RunnerIdle)
		c := w.wait(s, 1)
		if c.over() {
			w.Fatalf("a claim does not wait: %v", c.jobs)
		}
		beat("the disk is still full")
		if c.over() {
			w.Fatal("answered while paused")
		}
		beat("")
		if !c.over() || len(c.jobs) != 1 || c.jobs[0].GetBatchId() != b.ID {
			w.Errorf("after the pause: over %v with %v", c.over(), c.jobs)
		}
		// One that becomes paused while it waits gets nothing either.
		w.claim(s, 1)
		c = w.wait(s, 1)
		beat("again")
		w.submit(1, "")
		if c.over() {
			w.Errorf("claimed %v while paused", c.jobs)
		}
		w.register("r") // a new session is not paused
		v, err = w.svc.Runner(w.Context(), "r")
		w.ok(err)
		w.equal("paused", v.Paused, "")
		c.over()
	})
}

// TestClaimsNeverExceed draws runners, batches and amounts.
func TestClaimsNeverExceed(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		total := platform.Resources{
			CPUMillis:   rapid.Int64Range(1, 16).Draw(rt, "cpus") * 1000,
			MemoryBytes: rapid.Int64Range(1, 16).Draw(rt, "GiB") * gib,
			GPUs:        rapid.Int64Range(0, 3).Draw(rt, "gpus"),
		}
		c := basilisk()
		c.CPUCores, c.MemoryGB, c.GPUAvailable = float64(total.CPUMillis)/1000, float64(total.MemoryBytes)/gib, total.GPUs > 0
		s := w.registerAs(platform.Registration{RunnerID: "r", InstallationID: "r", Capabilities: c, GPUs: total.GPUs})
		for range rapid.IntRange(1, 4).Draw(rt, "batches") {
			w.submit(rapid.IntRange(1, 5).Draw(rt, "runs"), fmt.Sprintf("container: {cpu_request: %dm, memory_request: %dMi, gpu_request: %d}",
				rapid.IntRange(1, 9000).Draw(rt, "cpu"), rapid.IntRange(6, 9000).Draw(rt, "MiB"), rapid.IntRange(0, 2).Draw(rt, "gpu")))
		}
		free := total
		for range 3 {
			n := rapid.IntRange(1, 9).Draw(rt, "slots")
			got := w.claimWithin(s, n, free)
			if len(got) > n {
				rt.Fatalf("claimed %d of %d", len(got), n)
			}
			for _, a := range got {
				free.CPUMillis -= a.GetCompute().GetCpuMillis()
				free.MemoryBytes -= a.GetCompute().GetMemoryBytes()
				free.GPUs -= a.GetCompute().GetGpus()
			}
			if free.CPUMillis < 0 || free.MemoryBytes < 0 || free.GPUs < 0 {
				rt.Fatalf("claimed %d beyond what is free: %+v", len(got), free)
			}
		}
	})
}

func TestRemaining(t *testing.T) {
	w := newWorld(t)
	b := w.submit(6, "max_retries: 9")
	s := w.register("r")
	unknown := func(what string) {
		t.Helper()
		now := w.batch(b.ID)
		if left, known := now.Remaining(); known {
			t.Errorf("%s: %v left", what, left)
		}
	}
	near := func(what string, want time.Duration) {
		t.Helper()
		now := w.batch(b.ID)
		left, known := now.Remaining()
		if !known || math.Abs((left-want).Seconds()) > 1e-6 {
			t.Errorf("%s: %v left, %v; want %v", what, left, known, want)
		}
	}
	unknown("at the beginning")
	first := w.claim(s, 2)
	unknown("before anything ended")
	w.ok(w.started(s, ref(first[0])))
	w.pass(30 * time.Second)
	w.ok(w.report(s, ref(first[0]), api.OutcomeNonzeroExit)) // is retried
	near("five wait for 30 s each and one is half way, one at a time", 165*time.Second)
	w.claim(s, 1)
	w.pass(30 * time.Second)
	w.ok(w.report(s, ref(first[1]), api.OutcomeCompleted)) // took 60 s
	w.claim(s, 1)
	near("three wait for 45 s each and two are half way, two at a time", 90*time.Second)
	_, err := w.svc.CancelBatch(t.Context(), b.ID)
	w.ok(err)
	w.pass(time.Hour)
	w.tick()
	unknown("when nobody works on it any more")
}
