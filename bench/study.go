package main

import (
	"fmt"
	"strings"
)

// The parts of studies that not all have.
const (
	// shared lets jobs share containers.
	shared = "compute: {isolation: batch}\n"
	// breaking is the rule that the benchmarks' jobs break.
	breaking = `early_termination:
  enabled: true
  conditions:
    - {name: high, description: more than one, variable: x, operator: gt, threshold: 1, units: none}
`
)

// studyOf has that many runs of a simulation, with one value that nobody needs.
func studyOf(simulation string, runs int, more ...string) string {
	return fmt.Sprintf(`
simulation: {name: bench, version: 1.0.0, %s}
monte_carlo: {runs: %d, seed: 1, sampling_method: random}
dispersions:
  x: {distribution: {type: uniform, min: 0, max: 1}, units: none}
`, simulation, runs) + strings.Join(more, "")
}

// emptyStudy has jobs that do nothing: the benchmarks' own program, as the runner's
// interpreter.
func emptyStudy(runs int) string { return studyOf("entrypoint: empty", runs) }

// emptyCommand has the same as a command of the runner's, and emptyShared Python
// scripts that do nothing and share containers.
func emptyCommand(runs int) string { return studyOf("type: empty", runs) }
func emptyShared(runs int) string  { return studyOf("entrypoint: empty.py", runs, shared) }

// breachStudy has jobs that break a rule and stay, rashStudy has them do so as soon as
// they run, and breachShared has Python scripts that share containers.
func breachStudy(runs int) string  { return studyOf("entrypoint: breach", runs, breaking) }
func rashStudy(runs int) string    { return studyOf("entrypoint: rash", runs, breaking) }
func breachShared(runs int) string { return studyOf("entrypoint: breach.py", runs, breaking, shared) }

// pingStudy has one job that sends a sample, waits until it is acknowledged, and so
// on.
func pingStudy(samples int) string { return sending("ping", samples, 1) }

// sendStudy has one job that sends samples, in batches of that many.
func sendStudy(samples, batch int) string { return sending("send", samples, batch) }

// sending has one run with these parameters, and two rules, as a real study has.
func sending(entrypoint string, samples, batch int) string {
	fixed := func(n int) string {
		return fmt.Sprintf("{distribution: {type: uniform, min: %d, max: %g}, units: none}", n, float64(n)+0.001)
	}
	return fmt.Sprintf(`
simulation: {name: bench, version: 1.0.0, entrypoint: %s}
monte_carlo: {runs: 1, seed: 1, sampling_method: random}
dispersions:
  samples: %s
  batch: %s
early_termination:
  enabled: true
  conditions:
    - {name: impact, description: two rules are watched, variable: orbit.v0, operator: lt, threshold: -1, units: km}
    - {name: far, description: as in a real study, variable: orbit.v1, operator: gt, threshold: 1.0e9, units: km}
`, entrypoint, fixed(samples), fixed(batch))
}

// indent moves a YAML text two columns to the right.
func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n  ")
}
