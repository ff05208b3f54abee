package runner

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// demand is an amount of what jobs are counted with: thousandths of a CPU, bytes
// of memory, GPUs.
type demand struct{ cpu, memory, gpus int64 }

func (d demand) plus(o demand) demand {
	return demand{saturated(d.cpu, o.cpu), saturated(d.memory, o.memory), saturated(d.gpus, o.gpus)}
}

func saturated(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// within reports whether there is as much of everything but GPUs, which have
// rules of their own.
func (d demand) within(o demand) bool { return d.cpu <= o.cpu && d.memory <= o.memory }

// gpuPool is host.GPUPool; tests have their own.
type gpuPool interface {
	Size() int
	Free() int
	Take(n int) (ids []string, ok bool, err error)
	Give(ids []string)
}

// admission lets jobs begin while the sum of what they ask for is within what the
// runner has, besides the slots. A platform that is told what is free gives out no
// more; where it does all the same, jobs wait here.
//
// Each job has a ticket from its claim on. CPU and memory are given in the order
// of the tickets: one that does not fit yet is overtaken by none. GPUs, of which
// other runners of the host may have some for hours, are given in the same order
// among those that ask for any, once they have CPU and memory, and all or none: so
// a job that has something waits only for jobs that run, and no two for each
// other.
type admission struct {
	capacity demand
	gpus     gpuPool
	retry    time.Duration // between two looks at GPUs that other runners have

	mu      sync.Mutex
	tickets []*ticket // in the order of the claims
	changed chan struct{}
	again   *time.Timer
	closed  bool
}

// ticket is one job's place.
type ticket struct {
	need demand
	// admitted says that CPU and memory are given, granted that all is.
	admitted, granted bool
	ids               []string
	err               error
	ready             chan struct{} // closed with granted, or err
}

func newAdmission(capacity demand, gpus gpuPool, retry time.Duration) *admission {
	return &admission{capacity: capacity, gpus: gpus, retry: retry, changed: make(chan struct{})}
}

// enter takes the next place. It never blocks.
func (a *admission) enter(need demand) *ticket {
	t := &ticket{need: need, ready: make(chan struct{})}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tickets = append(a.tickets, t)
	a.dispatch()
	return t
}

// adopt is the ticket of a job of an earlier process, which has what it has, GPUs of
// these ids among it.
func (a *admission) adopt(need demand, ids []string) *ticket {
	t := &ticket{need: need, admitted: true, ready: make(chan struct{})}
	t.grant(ids, nil)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tickets = append(a.tickets, t)
	a.dispatch()
	return t
}

// wait waits for the ticket's turn and returns its GPUs' ids.
func (a *admission) wait(ctx context.Context, t *ticket) ([]string, error) {
	select {
	case <-t.ready:
		return t.ids, t.err
	default:
	}
	select {
	case <-t.ready:
		return t.ids, t.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// leave gives everything of a ticket back, also one that still waits.
func (a *admission) leave(t *ticket) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(t.ids) > 0 {
		a.gpus.Give(t.ids)
	}
	a.tickets = slices.DeleteFunc(a.tickets, func(o *ticket) bool { return o == t })
	a.dispatch()
}

// dispatch gives what there is to those whose turn it is, and wakes who waits for
// room.
func (a *admission) dispatch() {
	var used demand
	blocked, gpusBlocked := false, false
	for _, t := range a.tickets {
		if a.closed {
			break
		}
		if !t.admitted {
			blocked = blocked || !used.plus(t.need).within(a.capacity)
			t.admitted = !blocked
		}
		if !t.admitted {
			continue
		}
		used = used.plus(t.need)
		if t.granted || t.err != nil {
			continue
		}
		if t.need.gpus == 0 {
			t.grant(nil, nil)
		} else if !gpusBlocked {
			gpusBlocked = !a.takeGPUs(t)
		}
	}
	a.lookAgain(gpusBlocked)
	close(a.changed)
	a.changed = make(chan struct{})
}

func (t *ticket) grant(ids []string, err error) {
	t.ids, t.err, t.granted = ids, err, err == nil
	close(t.ready)
}

// takeGPUs tries to give a ticket its GPUs, and reports whether the next may try.
func (a *admission) takeGPUs(t *ticket) bool {
	ids, ok, err := a.gpus.Take(int(min(t.need.gpus, math.MaxInt32)))
	if ok || err != nil {
		t.grant(ids, err)
	}
	return ok || err != nil
}

// lookAgain comes back to GPUs that nobody tells of when they become free.
func (a *admission) lookAgain(wanted bool) {
	if a.again != nil {
		a.again.Stop()
		a.again = nil
	}
	if wanted {
		a.again = time.AfterFunc(jitter(a.retry), func() {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.dispatch()
		})
	}
}

// free is what is not taken by the jobs that there are, waiting ones included.
func (a *admission) free() demand {
	a.mu.Lock()
	defer a.mu.Unlock()
	var used, waiting demand
	for _, t := range a.tickets {
		used = used.plus(t.need)
		if !t.granted {
			waiting = waiting.plus(t.need)
		}
	}
	return demand{
		cpu: max(0, a.capacity.cpu-used.cpu), memory: max(0, a.capacity.memory-used.memory),
		gpus: max(0, int64(a.gpus.Free())-waiting.gpus),
	}
}

// room waits until there is any CPU and memory to offer, and reports whether ctx
// still lives.
func (a *admission) room(ctx context.Context) bool {
	for {
		a.mu.Lock()
		changed := a.changed
		a.mu.Unlock()
		if f := a.free(); f.cpu > 0 && f.memory > 0 {
			return ctx.Err() == nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// close ends the granting: what those give back that a stop has ended already must
// not begin a job that it has not reached yet. It may be called again.
func (a *admission) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	a.lookAgain(false)
}

// abreast is how many jobs that ask for nothing fit beside each other.
func (r *Runner) abreast() int64 {
	each, most := r.demand(nil), r.admission.capacity
	return min(most.cpu/max(each.cpu, 1), most.memory/max(each.memory, 1))
}

// demand is what an assignment is counted with: what it asks for, or what the
// runner gives to one that asks for nothing.
func (r *Runner) demand(a *runnerv1.Assignment) demand {
	c, l := a.GetCompute(), r.cfg.Limits
	return demand{
		cpu: positive(c.GetCpuMillis(), l.CPUMillis), memory: positive(c.GetMemoryBytes(), l.MemoryBytes), gpus: max(0, c.GetGpus()),
	}
}

// resources says a demand in the protocol's terms.
func (d demand) resources() *runnerv1.Resources {
	return &runnerv1.Resources{CpuMillis: d.cpu, MemoryBytes: d.memory, Gpus: d.gpus}
}

// admit waits for the job's turn and takes note of the GPUs that it got.
func (j *job) admit(rec *record) error {
	var err error
	if rec.spec.GPUs, err = j.r.admission.wait(j.startCtx, j.ticket); err != nil {
		return fmt.Errorf("waiting for CPU, memory and GPUs: %w", err)
	}
	return nil
}
