package runner

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/runner/config"
	"github.com/tetryx/lynx-runner/internal/runner/host"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// theseGPUs are a host's.
type theseGPUs int

func (n theseGPUs) GPUs(context.Context) ([]host.GPU, error) {
	var list []host.GPU
	for i := range int(n) {
		list = append(list, host.GPU{Index: i, UUID: fmt.Sprintf("GPU-%d", i), Model: "Test"})
	}
	return list, nil
}

func asking(a *runnerv1.Assignment, cpu, memory, gpus int64) *runnerv1.Assignment {
	a.Compute.CpuMillis, a.Compute.MemoryBytes, a.Compute.Gpus = cpu, memory, gpus
	return a
}

// crew is what runs at a time: what the jobs are given, and the most of it.
type crew struct {
	mu        sync.Mutex
	now, most demand
	gpus      map[string]string // GPU to attempt
	began     []string
	problems  []string
	release   chan struct{}
}

func newCrew() *crew { return &crew{gpus: map[string]string{}, release: make(chan struct{})} }

// job runs until the test releases it.
func (c *crew) job(ctx context.Context, p *program) executor.Exit {
	r := p.spec.Sandbox.Resources
	d := demand{cpu: *r.CPU.Quota * 1000 / executor.CPUPeriod, memory: *r.Memory.Limit, gpus: int64(len(p.spec.GPUs))}
	c.change(p, d, 1)
	defer c.change(p, d, -1)
	select {
	case <-c.release:
		return exited(0)
	case <-ctx.Done():
		return signaled(9)
	}
}

func (c *crew) change(p *program, d demand, sign int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = demand{c.now.cpu + sign*d.cpu, c.now.memory + sign*d.memory, c.now.gpus + sign*d.gpus}
	c.most = demand{max(c.most.cpu, c.now.cpu), max(c.most.memory, c.now.memory), max(c.most.gpus, c.now.gpus)}
	if sign > 0 {
		c.began = append(c.began, p.spec.AttemptID)
	}
	for _, id := range p.spec.GPUs {
		if owner := c.gpus[id]; sign > 0 && owner != "" {
			c.problems = append(c.problems, id+" of "+owner+" is given to "+p.spec.AttemptID)
		}
		c.gpus[id] = p.spec.AttemptID
		if sign < 0 {
			delete(c.gpus, id)
		}
	}
}

func (c *crew) running() demand {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// What is free is what the jobs leave, and the platform is told at registration
// what a job that asks for nothing is counted with.
func TestFreeIsTold(t *testing.T) {
	b := newBench(t)
	b.cfg.Capabilities.CPUCores, b.cfg.Capabilities.MemoryGB, b.cfg.MaxConcurrentJobs = 4, 8, 4
	b.cfg.HostMemoryBytes, b.cfg.Reserve.MemoryBytes = 7<<30, 1<<30
	b.cfg.GPUs, b.gpus = config.GPUs{Count: 2}, theseGPUs(3)
	c := newCrew()
	b.executor.script = c.job
	b.start()
	b.platform.await("the registration", func() bool { return len(b.platform.registers) > 0 })
	caps := b.platform.registers[0].GetCapabilities()
	if caps.GetMemoryGb() != 6 || caps.GetGpus() != 2 || !caps.GetGpuAvailable() || caps.GetDefaultCpuMillis() != 1000 || caps.GetDefaultMemoryBytes() != 1<<30 {
		t.Errorf("capabilities %v", caps)
	}
	claimed := func(cpu, memory, gpus int64) {
		t.Helper()
		b.platform.await(fmt.Sprintf("a claim of %d, %d, %d", cpu, memory, gpus), func() bool {
			return slices.ContainsFunc(b.platform.claims, func(r *runnerv1.ClaimJobsRequest) bool {
				f := r.GetFree()
				return f.GetCpuMillis() == cpu && f.GetMemoryBytes() == memory && f.GetGpus() == gpus
			})
		})
	}
	claimed(4000, 6<<30, 2)
	b.platform.submit(assignment("plain", 0), asking(assignment("large", 1), 2000, 2<<30, 1))
	claimed(1000, 3<<30, 1)
	close(c.release)
	b.platform.result("plain-1")
	b.platform.result("large-1")
	b.drain()
}

// An old platform fills every slot. No more runs than fits all the same, in the
// order of the claims, and everything ends.
func TestNeverMoreThanThereIs(t *testing.T) {
	b := newBench(t)
	b.cfg.MaxConcurrentJobs = 4
	b.cfg.GPUs, b.gpus = config.GPUs{All: true}, theseGPUs(2)
	c := newCrew()
	b.executor.script = c.job
	b.start()
	b.platform.submit(
		asking(assignment("a", 0), 1500, 1<<30, 1), asking(assignment("b", 1), 1000, 1<<30, 2),
		asking(assignment("c", 2), 500, 1<<30, 0), asking(assignment("d", 3), 2000, 2<<30, 1),
	)
	b.platform.await("all claims", func() bool { return len(b.platform.given) == 4 && len(b.platform.started) == 1 })
	for range 4 {
		c.release <- struct{}{}
	}
	for _, id := range []string{"a-1", "b-1", "c-1", "d-1"} {
		if got := b.platform.result(id); got.GetOutcome() != "completed" {
			t.Errorf("%s: %s %s", id, got.GetOutcome(), got.GetErrorMessage())
		}
	}
	b.drain()
	if c.most.cpu > 2000 || c.most.memory > 4<<30 || c.most.gpus > 2 || len(c.problems) > 0 {
		t.Errorf("at most %+v ran at a time: %v", c.most, c.problems)
	}
	if !slices.Equal(c.began, []string{"a-1", "b-1", "c-1", "d-1"}) && !slices.Equal(c.began, []string{"a-1", "c-1", "b-1", "d-1"}) {
		t.Errorf("began in the order %v", c.began)
	}
}

// Two runners of one host share its GPUs: the job of one waits, on that runner,
// for the end of the other's.
func TestTwoRunnersShareGPUs(t *testing.T) {
	one, two := newBench(t), newBench(t)
	two.cfg.LockDir = one.cfg.LockDir
	two.cfg.UIDs.First += 5
	one.cfg.UIDs.Last -= 5
	c := newCrew()
	for _, b := range []*bench{one, two} {
		b.cfg.GPUs, b.gpus = config.GPUs{All: true}, theseGPUs(1)
		b.executor.script = c.job
		b.start()
	}
	one.platform.submit(asking(assignment("one", 0), 0, 0, 1))
	one.platform.await("the first job", func() bool { return len(one.platform.started) == 1 })
	two.platform.submit(asking(assignment("two", 0), 0, 0, 1))
	two.platform.await("a heartbeat with the second", func() bool {
		return slices.ContainsFunc(two.platform.heartbeats, func(h *runnerv1.HeartbeatRequest) bool { return len(h.GetHeld()) == 1 })
	})
	if d := c.running(); d.gpus != 1 || two.executor.handle("two-1") != nil {
		t.Errorf("%+v runs", d)
	}
	c.release <- struct{}{}
	two.platform.await("the second job", func() bool { return len(two.platform.started) == 1 })
	c.release <- struct{}{}
	for b, id := range map[*bench]string{one: "one-1", two: "two-1"} {
		if got := b.platform.result(id); got.GetOutcome() != "completed" {
			t.Errorf("%s: %s %s", id, got.GetOutcome(), got.GetErrorMessage())
		}
		b.drain()
	}
	if len(c.problems) > 0 {
		t.Error(c.problems)
	}
}

// A job that waits for its turn can be cancelled, and is stopped with its runner.
func TestWaitingJobsEnd(t *testing.T) {
	b := newBench(t)
	c := newCrew()
	b.executor.script = c.job
	b.cfg.MaxConcurrentJobs = 3
	b.start()
	b.platform.submit(asking(assignment("a", 0), 2000, 0, 0), asking(assignment("b", 1), 2000, 0, 0), asking(assignment("c", 2), 2000, 0, 0))
	b.platform.await("the jobs", func() bool { return len(b.platform.given) == 3 && len(b.platform.started) == 1 })
	b.platform.change(func() { b.platform.cancel["b-1"] = true })
	if got := b.platform.result("b-1"); got.GetOutcome() != "cancelled" {
		t.Errorf("%s %s", got.GetOutcome(), got.GetErrorMessage())
	}
	b.stop()
	for _, id := range []string{"a-1", "c-1"} {
		if got := b.platform.result(id); got.GetOutcome() != "infrastructure" || !strings.Contains(got.GetErrorMessage(), "runner_shutdown") {
			t.Errorf("%s: %s %s", id, got.GetOutcome(), got.GetErrorMessage())
		}
	}
	if len(c.began) != 1 {
		t.Errorf("began: %v", c.began)
	}
}

// What could never begin here is the batch's mistake, and says so.
func TestNeverFits(t *testing.T) {
	b := newBench(t)
	b.cfg.Limits.MaxCPUMillis, b.cfg.Limits.MaxMemoryBytes = 8000, 64<<30
	b.cfg.GPUs, b.gpus = config.GPUs{IDs: []string{"1"}}, theseGPUs(2)
	b.start()
	b.platform.submit(asking(assignment("cpu", 0), 3000, 0, 0), asking(assignment("memory", 1), 0, 5<<30, 0), asking(assignment("gpu", 2), 0, 0, 2),
		asking(assignment("huge", 3), 0, 0, math.MaxInt64), asking(assignment("fits", 4), 2000, 4<<30, 1))
	for id, says := range map[string]string{
		"cpu-1": "together are given 2000", "memory-1": "5Gi of memory", "gpu-1": "asks for 2 GPUs (gpu_request), and this runner offers 1", "huge-1": "offers 1",
	} {
		if got := b.platform.result(id); got.GetOutcome() != "invalid_job" || !strings.Contains(got.GetErrorMessage(), says) {
			t.Errorf("%s: %s %s", id, got.GetOutcome(), got.GetErrorMessage())
		}
	}
	if got := b.platform.result("fits-1"); got.GetOutcome() != "completed" {
		t.Errorf("%s %s", got.GetOutcome(), got.GetErrorMessage())
	}
	b.drain()
}

func TestGPUsThatAreNotThere(t *testing.T) {
	for says, want := range map[string]config.GPUs{
		"2 are to be offered, and this host has 0: GPU-0 (Test)": {Count: 2},
		"has no GPU 7": {IDs: []string{"7"}},
	} {
		b := newBench(t)
		b.cfg.GPUs = want
		_, err := New(b.cfg, Deps{Executor: b.executor, Platform: b.platform.client(), GPUs: theseGPUs(1)})
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v", want, err)
		}
	}
}

// paused waits for a heartbeat that says so; or, with an empty word, for one that says
// nothing behind all others. A pause may be over when the test comes to look.
func (b *bench) paused(says string) {
	b.t.Helper()
	b.platform.await(fmt.Sprintf("a heartbeat that says %q", says), func() bool {
		list := b.platform.heartbeats
		if says == "" {
			return len(list) > 0 && list[len(list)-1].GetPaused() == ""
		}
		return slices.ContainsFunc(list, func(h *runnerv1.HeartbeatRequest) bool { return strings.Contains(h.GetPaused(), says) })
	})
}

// With too little disk no job is claimed; the heartbeats say why, and go on; and
// when there is room again, so do the claims.
func TestDiskReserve(t *testing.T) {
	b := newBench(t)
	var mu sync.Mutex
	free := int64(10)
	b.cfg.Reserve.Disk = config.DiskReserve{Percent: -1, Bytes: 100}
	b.space = func(string) (host.Space, error) {
		mu.Lock()
		defer mu.Unlock()
		return host.Space{Free: free, Total: 1000}, nil
	}
	b.start()
	b.paused("only 10 bytes are free in the file system of output_root")
	b.platform.submit(assignment("a", 0))
	b.platform.await("more heartbeats", func() bool { return len(b.platform.heartbeats) > 3 })
	b.platform.change(func() {
		if b.platform.asked > 0 {
			t.Error("a paused runner asks for jobs")
		}
	})
	mu.Lock()
	free = 900
	mu.Unlock()
	if got := b.platform.result("a-1"); got.GetOutcome() != "completed" {
		t.Errorf("%s %s", got.GetOutcome(), got.GetErrorMessage())
	}
	b.paused("")
	b.drain()
}

// An engine that does not answer is a pause too; what runs goes on.
func TestEngineAway(t *testing.T) {
	b := newBench(t)
	var mu sync.Mutex
	var away error
	b.executor.ping = func() error {
		mu.Lock()
		defer mu.Unlock()
		return away
	}
	set := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		away = err
	}
	c := newCrew()
	b.executor.script = c.job
	b.start()
	b.platform.submit(assignment("a", 0))
	b.platform.await("the job", func() bool { return len(b.platform.started) == 1 })
	set(errors.New("no route\x1b[2J"))
	b.paused("docker does not answer: no route")
	b.platform.change(func() {
		if last := b.platform.heartbeats[len(b.platform.heartbeats)-1]; len(last.GetHeld()) != 1 || strings.Contains(last.GetPaused(), "\x1b") {
			t.Errorf("heartbeat %v", last)
		}
	})
	set(nil)
	b.paused("")
	close(c.release)
	b.platform.result("a-1")
	b.drain()
}

// While an engine that is away keeps a runner from removing what an earlier one
// left, the platform hears of it, and the runner takes no jobs.
func TestHeartbeatsDuringRecovery(t *testing.T) {
	b := newBench(t)
	b.pace.engine = time.Minute
	left := newHandle("left-1", nil)
	var mu sync.Mutex
	away := true
	left.killErr = func(context.Context) error {
		mu.Lock()
		defer mu.Unlock()
		if away {
			return executor.ErrUnavailable
		}
		return nil
	}
	left.run(func(ctx context.Context) executor.Exit { return untilKilled(ctx, nil) })
	b.executor.left = []executor.Handle{left}
	b.start()
	b.platform.submit(assignment("a", 0))
	b.paused("what an earlier run of this runner left")
	b.platform.await("three heartbeats", func() bool { return len(b.platform.heartbeats) >= 3 })
	b.platform.change(func() {
		if b.platform.asked > 0 {
			t.Error("it takes jobs meanwhile")
		}
	})
	mu.Lock()
	away = false
	mu.Unlock()
	b.platform.result("a-1")
	b.paused("")
	b.drain()
	if _, removed := left.state(); !removed {
		t.Error("it was not removed")
	}
}

// Reasons come and go by themselves; the gate is open when there is none.
func TestPauses(t *testing.T) {
	p := newPauses()
	for i, step := range []struct {
		kind    pauseKind
		reason  string
		changed int
		text    string
	}{
		{pauseDisk, "", 0, ""}, {pauseDisk, "full", 1, "full"}, {pauseDisk, "fuller", 0, "fuller"}, {pauseEngine, "away", 1, "fuller; away"},
		{pauseDisk, "", -1, "away"}, {pauseEngine, "away", 0, "away"}, {pauseEngine, "", -1, ""}, {pauseRecovery, "busy", 1, "busy"},
	} {
		if got := p.set(step.kind, step.reason); got != step.changed || p.text() != step.text {
			t.Errorf("step %d: %d, %q", i, got, p.text())
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		if open := p.pass(ctx); step.text != "" && open {
			t.Errorf("step %d: passed with %q", i, step.text)
		}
		cancel()
	}
	p.set(pauseRecovery, "")
	if !p.pass(t.Context()) {
		t.Error("does not pass without a reason")
	}
}
