package main

import (
	"fmt"
	"strings"
)

// emptyStudy has jobs that do nothing.
func emptyStudy(runs int) string {
	return fmt.Sprintf(`
simulation: {name: empty, version: 1.0.0, entrypoint: empty}
monte_carlo: {runs: %d, seed: 1, sampling_method: random}
dispersions:
  x: {distribution: {type: uniform, min: 0, max: 1}, units: none}
`, runs)
}

// sendStudy has one job that sends samples, in batches of that many.
func sendStudy(samples, batch int) string {
	fixed := func(n int) string {
		return fmt.Sprintf("{distribution: {type: uniform, min: %d, max: %g}, units: none}", n, float64(n)+0.001)
	}
	return fmt.Sprintf(`
simulation: {name: send, version: 1.0.0, entrypoint: send}
monte_carlo: {runs: 1, seed: 1, sampling_method: random}
dispersions:
  samples: %s
  batch: %s
early_termination:
  enabled: true
  conditions:
    - {name: impact, description: two rules are watched, variable: orbit.v0, operator: lt, threshold: -1, units: km}
    - {name: far, description: as in a real study, variable: orbit.v1, operator: gt, threshold: 1.0e9, units: km}
`, fixed(samples), fixed(batch))
}

// breachStudy has jobs that break a rule and stay.
func breachStudy(runs int) string {
	return fmt.Sprintf(`
simulation: {name: breach, version: 1.0.0, entrypoint: breach}
monte_carlo: {runs: %d, seed: 1, sampling_method: random}
dispersions:
  y: {distribution: {type: uniform, min: 0, max: 1}, units: none}
early_termination:
  enabled: true
  conditions:
    - {name: high, description: more than one, variable: x, operator: gt, threshold: 1, units: none}
`, runs)
}

// indent moves a YAML text two columns to the right.
func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n  ")
}
