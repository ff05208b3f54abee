//go:build engine

package soak

import (
	"fmt"
	"math/rand/v2"

	"github.com/tetryx/lynx-runner/api"
)

// steps is how many lines and samples a job has that comes to its end.
const steps = 100

// kind is what a job does and how it must end.
type kind struct {
	// name is that of the job's entrypoint and of its study.
	name string
	// entrypoint is another name for the program, where that is not the kind's.
	entrypoint string
	// weight is how often there is such a batch, compared with others.
	weight int
	// compute and more are what stands in the study besides.
	compute, more string

	outcome api.Outcome
	// code and signal are the end of its main process; looked at where not 0.
	code, signal int
	// samples is how many there are; 0 where the job may be ended at any time.
	samples int
	// files is how many it leaves.
	files int
	// retries is how often it is tried again at most, not counting what is not to
	// blame on it.
	retries int
}

var kinds = []kind{
	{name: "quick", weight: 4, outcome: api.OutcomeCompleted, samples: steps, files: 1},
	{name: "long", weight: 6, outcome: api.OutcomeCompleted, samples: steps, files: 1},
	{name: "files", weight: 2, outcome: api.OutcomeCompleted, samples: steps, files: 20},
	{name: "fails", weight: 2, compute: "max_retries: 1", outcome: api.OutcomeNonzeroExit, code: 7, samples: steps, retries: 1},
	{name: "crashes", weight: 2, outcome: api.OutcomeSignaled, signal: 15, samples: steps},
	{name: "shot", weight: 2, outcome: api.OutcomeSignaled, signal: 9, samples: steps},
	{name: "flaky", weight: 2, compute: "max_retries: 2", outcome: api.OutcomeCompleted, samples: steps, files: 1, retries: 2},
	{
		name: "breaches", weight: 3, outcome: api.OutcomeEarlyTermination, samples: steps + 1,
		more: "early_termination: {enabled: true, conditions: [{name: below, variable: n, operator: lt, threshold: 0, units: ''}]}",
	},
	{name: "timeout", entrypoint: "stays", weight: 2, compute: "job_timeout_seconds: 4", outcome: api.OutcomeTimeout},
	{name: "cancelled", entrypoint: "stays", weight: 2, outcome: api.OutcomeCancelled},
}

// kindOf finds a kind by its name.
func kindOf(name string) (kind, error) {
	for _, k := range kinds {
		if k.name == name {
			return k, nil
		}
	}
	return kind{}, fmt.Errorf("no kind of job is called %q", name)
}

// draw picks a kind by its weight.
func draw(r *rand.Rand) kind {
	total := 0
	for _, k := range kinds {
		total += k.weight
	}
	n := r.IntN(total)
	for _, k := range kinds {
		if n -= k.weight; n < 0 {
			return k
		}
	}
	panic("unreachable")
}

func (k kind) program() string {
	if k.entrypoint != "" {
		return k.entrypoint
	}
	return k.name
}

func (k kind) study(runs int) string {
	return fmt.Sprintf(`
simulation: {name: %s, version: 1.0.0, entrypoint: %s}
monte_carlo: {runs: %d, sampling_method: random, seed: 1}
compute: {%s}
%s`, k.name, k.program(), runs, k.compute, k.more)
}
