package platform

import (
	"math"
	"slices"

	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// Resources is an amount of what jobs ask for.
type Resources struct {
	CPUMillis, MemoryBytes, GPUs int64
}

// unbounded is more than anybody asks for.
var unbounded = Resources{CPUMillis: math.MaxInt64, MemoryBytes: math.MaxInt64, GPUs: math.MaxInt64}

// fit is how many jobs with a need there is room for.
func (r Resources) fit(need Resources) int {
	n := int64(math.MaxInt)
	for _, d := range [][2]int64{{r.CPUMillis, need.CPUMillis}, {r.MemoryBytes, need.MemoryBytes}, {r.GPUs, need.GPUs}} {
		if d[1] > 0 {
			n = min(n, d[0]/d[1])
		}
	}
	return int(max(n, 0))
}

// less is what n jobs with a need leave of it.
func (r Resources) less(need Resources, n int) Resources {
	r.CPUMillis -= int64(n) * need.CPUMillis
	r.MemoryBytes -= int64(n) * need.MemoryBytes
	r.GPUs -= int64(n) * need.GPUs
	return r
}

// capacity is what a runner has for its jobs in all. What it does not tell (0) is
// no bound, but for GPUs: only a runner that tells no number, but that it has some,
// may be given any number of them.
func (r *Runner) capacity() Resources {
	c := unbounded
	if n := r.Capabilities.CPUCores; n > 0 {
		c.CPUMillis = int64(math.Round(n * 1000))
	}
	if n := r.Capabilities.MemoryGB; n > 0 {
		c.MemoryBytes = int64(math.Round(n * (1 << 30)))
	}
	if r.GPUs > 0 || !r.Capabilities.GPUAvailable {
		c.GPUs = r.GPUs
	}
	return c
}

// needs is what a job counts with on a runner: what it asks for, or else the
// runner's default, which is never more than the runner has.
func (r *Runner) needs(c Compute) Resources {
	has := r.capacity()
	need := Resources{CPUMillis: c.CPUMillis, MemoryBytes: c.MemoryBytes, GPUs: c.GPUs}
	if need.CPUMillis == 0 {
		need.CPUMillis = min(r.Default.CPUMillis, has.CPUMillis)
	}
	if need.MemoryBytes == 0 {
		need.MemoryBytes = min(r.Default.MemoryBytes, has.MemoryBytes)
	}
	return need
}

// work is a kind of job, and how many of it there may be to claim.
type work struct {
	// seq is the batch's.
	seq        int64
	simulation string
	compute    Compute
	n          int
	// not is the id of the runner that is told last, as it had the job before; ""
	// if there is none.
	not string
}

// workOf is the kind of a batch's jobs; n of them are new.
func workOf(b *Batch, n int) work {
	if p := b.Spec.MaxParallel; p > 0 {
		n = min(n, p)
	}
	return work{seq: b.Seq, simulation: b.Spec.Simulation.Type, compute: b.Spec.Compute, n: n}
}

// suits reports whether a runner can do such work when it has nothing else to do.
func (w work) suits(r *Runner) bool {
	return slices.Contains(r.Capabilities.SupportedSimulationTypes, w.simulation) &&
		r.capacity().fit(r.needs(w.compute)) > 0
}

// is reports whether an assignment is such work.
func (w work) is(a *runnerv1.Assignment) bool {
	c := a.GetCompute()
	return a.GetSimulation().GetType() == w.simulation && c.GetCpuMillis() == w.compute.CPUMillis &&
		c.GetMemoryBytes() == w.compute.MemoryBytes && c.GetGpus() == w.compute.GPUs
}
