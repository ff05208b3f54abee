package runner

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/runner/config"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// roll is which jobs began, with what, in order.
type roll struct {
	mu    sync.Mutex
	specs []executor.Spec
}

func (r *roll) add(s executor.Spec) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.specs = append(r.specs, s)
}

func (r *roll) list() []executor.Spec {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.specs)
}

// ending is a bench with jobs that end at once, and an engine that says so when it is
// told to.
func ending(t *testing.T, slots int) (b *bench, began *roll, record chan struct{}) {
	t.Helper()
	b, began, record = newBench(t), &roll{}, make(chan struct{})
	b.cfg.MaxConcurrentJobs = slots
	b.cfg.Capabilities.CPUCores = float64(slots)
	b.executor.records = func(string) { <-record }
	b.executor.script = func(_ context.Context, p *program) executor.Exit {
		began.add(p.spec)
		p.write("result.txt", p.spec.AttemptID)
		return exited(0)
	}
	return b, began, record
}

// numbered are n assignments.
func numbered(n int) []*runnerv1.Assignment {
	var list []*runnerv1.Assignment
	for i := range n {
		list = append(list, assignment(fmt.Sprintf("job%d", i), uint64(i)))
	}
	return list
}

// A slot is the next job's, with user, GPU, CPU and memory, while the engine has not
// said yet how the last one ended; the results come when it has.
func TestTheNextJobDoesNotWaitForARecord(t *testing.T) {
	b, began, record := ending(t, 1)
	b.cfg.GPUs, b.gpus = config.GPUs{Count: 1}, theseGPUs(1)
	b.start()
	for _, a := range numbered(2) {
		b.platform.submit(asking(a, 1000, 1<<30, 1))
	}
	b.platform.await("both jobs to begin", func() bool { return len(began.list()) == 2 })
	both := began.list()
	if both[0].User.UID != both[1].User.UID || !slices.Equal(both[0].GPUs, both[1].GPUs) {
		t.Errorf("one slot, and %v %v, %v %v", both[0].User, both[0].GPUs, both[1].User, both[1].GPUs)
	}
	b.platform.change(func() {
		if n := len(b.platform.results); n > 0 {
			t.Errorf("%d results without a record", n)
		}
	})
	if held := b.runner.held(); len(held) != 2 {
		t.Errorf("the runner answers for %v", held)
	}
	close(record)
	for i := range 2 {
		result := b.platform.result(fmt.Sprintf("job%d-1", i))
		if result.GetOutcome() != "completed" || len(result.GetArtifacts()) != 1 {
			t.Errorf("job %d: %v", i, result)
		}
	}
	b.drain()
}

// Nobody gets the place of a job whose memory the kernel still has.
func TestNoPlaceBeforeTheMemoryIsFree(t *testing.T) {
	b, began, record := ending(t, 1)
	close(record)
	free := make(chan struct{})
	b.executor.vacates = func(string) { <-free }
	b.start()
	b.platform.submit(numbered(2)...)
	b.platform.await("a heartbeat with the first job", func() bool { return len(b.platform.started) == 1 })
	b.stays("one job has begun", func() bool { return len(began.list()) == 1 })
	close(free)
	b.platform.result("job1-1")
	b.drain()
}

// stays checks that something remains so for a while in which it could change a few
// times over.
func (b *bench) stays(what string, so func() bool) {
	b.t.Helper()
	for end := time.Now().Add(50 * time.Millisecond); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if !so() {
			b.t.Fatalf("not any more: %s", what)
		}
	}
}

// Ended jobs do not pile up: as many as there are slots may be unfinished beside
// those that have a slot.
func TestTheAftermathIsBounded(t *testing.T) {
	const slots = 2
	b, began, record := ending(t, slots)
	b.start()
	b.platform.submit(numbered(4 * slots)...)
	b.platform.await("the aftermath to be full", func() bool { return len(began.list()) == 2*slots })
	b.stays("no further job begins", func() bool { return len(began.list()) == 2*slots })
	close(record)
	b.platform.await("every result", func() bool { return len(b.platform.results) == 4*slots })
	b.drain()
}

// A runner that is drained, or stopped, first finishes what has left its slot.
func TestStopsWaitForTheAftermath(t *testing.T) {
	for name, hard := range map[string]bool{"drain": false, "hard stop": true} {
		t.Run(name, func(t *testing.T) {
			b, began, record := ending(t, 1)
			b.start()
			b.platform.submit(assignment("job", 0))
			b.platform.await("the job", func() bool { return len(began.list()) == 1 })
			b.awaitVacated("job-1")
			if hard {
				b.hardStop()
			} else {
				b.runner.Drain()
			}
			b.stays("Run goes on", func() bool { return len(b.ended) == 0 })
			close(record)
			if err := b.wait(); (err != nil) != hard {
				t.Errorf("Run: %v", err)
			}
			b.clean()
			if r := b.platform.results["job-1"]; r.GetOutcome() != "completed" {
				t.Errorf("the result: %v", r)
			}
		})
	}
}

// A job of which nothing lives any more is not killed because its engine does not say how
// it ended, neither when the runner is stopped meanwhile nor when it has failed for too
// long; and it is removed as soon as the engine lets it be.
func TestAnEndThatNobodyTells(t *testing.T) {
	broken := make(chan struct{})
	for name, tc := range map[string]struct {
		wait    func() error
		end     func(b *bench, record chan struct{})
		message string
	}{
		"hard stop": {
			nil,
			func(b *bench, record chan struct{}) { b.hardStop(); b.platform.result("job-1"); close(record) },
			"the runner was stopped before the engine said so (runner_shutdown).",
		},
		"nothing but errors": {
			func() error { <-broken; return errors.New("500") },
			func(b *bench, record chan struct{}) {
				close(broken)
				close(record)
				b.platform.result("job-1")
				b.runner.Drain()
			},
			"the engine does not tell how the job ended: 500.",
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, _, record := ending(t, 1)
			b.pace.stop, b.pace.engine = 50*time.Millisecond, patience
			if tc.wait != nil {
				b.executor.wait, b.pace.engine = tc.wait, 50*time.Millisecond
			}
			b.start()
			b.platform.submit(assignment("job", 0))
			b.awaitVacated("job-1")
			tc.end(b, record)
			_ = b.wait()
			r := b.platform.results["job-1"]
			if r.GetOutcome() != "infrastructure" || r.GetErrorMessage() != "The job ended by itself, but nobody can tell how: "+tc.message {
				t.Errorf("%s: %s", r.GetOutcome(), r.GetErrorMessage())
			}
			if kills, _ := b.executor.handle("job-1").state(); kills > 0 {
				t.Errorf("%d kills", kills)
			}
			b.clean()
		})
	}
}

// awaitVacated waits until the attempt's place was given away.
func (b *bench) awaitVacated(id string) {
	b.t.Helper()
	b.platform.await("the slot of "+id, func() bool {
		_, err := os.Stat(b.cfg.StateDir + "/vacated/" + id)
		return err == nil && b.runner.admission.free() == b.runner.admission.capacity
	})
}

// What becomes due while the engine writes its record is not the job's affair any
// more: it has ended, in time and by itself.
func TestNothingCountsAfterTheEnd(t *testing.T) {
	const limit = time.Second
	b, began, record := ending(t, 1)
	b.start()
	b.platform.submit(withTimeout(assignment("job", 0), limit))
	b.platform.await("the job", func() bool { return len(began.list()) == 1 })
	b.awaitVacated("job-1")
	time.Sleep(time.Until(b.executor.handle("job-1").started.Add(limit + 10*time.Millisecond)))
	b.platform.change(func() { b.platform.cancel["job-1"] = true })
	var beats int
	b.platform.change(func() { beats = len(b.platform.heartbeats) })
	b.runner.heartbeat(t.Context())
	b.platform.await("a heartbeat", func() bool { return len(b.platform.heartbeats) > beats })
	close(record)
	if r := b.platform.result("job-1"); r.GetOutcome() != "completed" {
		t.Errorf("%s: %s", r.GetOutcome(), r.GetErrorMessage())
	}
	b.drain()
}

// Where jobs of one user can reach each other's files, a job keeps its user until its
// files are their owner's and its result is there.
func TestUserIsKeptWhereItReachesFiles(t *testing.T) {
	b, began, record := ending(t, 1)
	b.executor.homely = true
	atOnce := b.executor.script
	b.executor.script = func(ctx context.Context, p *program) executor.Exit {
		if earlier := began.list(); len(earlier) > 0 {
			if uid, _, err := ownerOf(earlier[0].OutputDir + "/result.txt"); err != nil || uid != os.Geteuid() {
				t.Errorf("the first job's file is %d's (%v)", uid, err)
			}
		}
		return atOnce(ctx, p)
	}
	b.start()
	b.platform.submit(numbered(2)...)
	b.platform.await("the first job", func() bool { return len(began.list()) == 1 })
	b.stays("one job has begun", func() bool { return len(began.list()) == 1 })
	close(record)
	b.platform.result("job1-1")
	b.drain()
}

// The order of an end that is off the slot's path: collected, written down, and only
// then removed.
func TestResultIsThereBeforeTheRemoval(t *testing.T) {
	b, _, record := ending(t, 1)
	close(record)
	var mu sync.Mutex
	missing := map[string]bool{}
	b.executor.remove = func(id string) error {
		_, inOutbox := os.Stat(b.cfg.StateDir + "/outbox/" + id)
		var accepted bool
		b.platform.change(func() { accepted = b.platform.results[id] != nil })
		mu.Lock()
		defer mu.Unlock()
		missing[id] = inOutbox != nil && !accepted
		return nil
	}
	b.start()
	b.platform.submit(numbered(5)...)
	b.platform.await("every result", func() bool { return len(b.platform.results) == 5 })
	b.drain()
	if len(missing) != 5 || slices.Contains(slices.Collect(maps.Values(missing)), true) {
		t.Errorf("removed without a result: %v", missing)
	}
}

// A runner that is killed when a job has left its slot, and another has it, takes
// both up: one user, GPU and slot, and two results.
func TestKilledInTheAftermath(t *testing.T) {
	m := newMortal(t)
	record, goOn := make(chan struct{}), make(chan struct{})
	began := &roll{}
	m.executor.records = func(id string) {
		if id == "job0-1" {
			<-record
		}
	}
	m.executor.script = func(ctx context.Context, p *program) executor.Exit {
		began.add(p.spec)
		if p.spec.AttemptID == "job0-1" {
			return exited(3)
		}
		select {
		case <-goOn:
			return exited(4)
		case <-ctx.Done():
			return signaled(9)
		}
	}
	a := numbered(3) // the runner has two slots: the third gets the first one's
	m.live()
	m.platform.submit(a[0])
	m.platform.await("the first job", func() bool { return len(began.list()) == 1 })
	m.platform.submit(a[1], a[2])
	m.platform.await("the other jobs", func() bool { return len(m.platform.started) == 3 })
	m.die()
	before := m.beats()
	m.live()
	m.platform.await("a heartbeat", func() bool { return len(m.platform.heartbeats) > before })
	close(record)
	close(goOn)
	for i, code := range []int32{3, 4, 4} {
		result := m.platform.result(a[i].GetAttemptId())
		if result.GetOutcome() != "nonzero_exit" || result.GetExitCode() != code {
			t.Errorf("%s: %v", a[i].GetAttemptId(), result)
		}
	}
	m.rest()
	for _, one := range a {
		m.held(before, one)
		m.inOrder(m.platform.results[one.GetAttemptId()])
	}
	if n := len(began.list()); n != 3 {
		t.Errorf("%d starts", n)
	}
}
