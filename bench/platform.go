package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
)

// platformRow runs the benchmarks of the platform's own package, on the embedded
// store: the submission of 100,000 runs, and jobs from claim to durable result
// while 1,000 runners wait.
func platformRow(ctx context.Context, w *world, o options) ([]line, error) {
	submit, err := w.goBench(ctx, "BenchmarkSubmit/^100000$", "1x", o.reps)
	if err != nil {
		return nil, err
	}
	claim, err := w.goBench(ctx, "BenchmarkClaim/^1000$", "5000x", o.reps)
	if err != nil {
		return nil, err
	}
	var seconds, rates []float64
	for _, ns := range submit {
		seconds = append(seconds, ns/1e9)
	}
	for _, ns := range claim {
		rates = append(rates, 1e9/ns)
	}
	return []line{
		{what: "submission of 100,000 runs", bound: "≤ 5 s", ours: spread(seconds, "%.2f", "s"), held: holds(median(seconds) <= 5, "")},
		{
			what: "claims with durable results, 1,000 runners waiting", bound: "≥ 1,000/s",
			ours: spread(rates, "%.0f", "/s"), held: holds(median(rates) >= 1000, ""),
		},
	}, nil
}

var benchLine = regexp.MustCompile(`(?m)^Benchmark\S+\s+\d+\s+([0-9.]+) ns/op`)

// goBench runs a benchmark of the package and returns nanoseconds per operation.
func (w *world) goBench(ctx context.Context, name, times string, count int) ([]float64, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", name, "-benchtime", times,
		"-count", strconv.Itoa(count), "./internal/platform")
	cmd.Dir = w.root
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", name, err, out)
	}
	found := nanoseconds(string(out))
	if len(found) != count {
		return nil, fmt.Errorf("%s: %d figures, not %d, in %s", name, len(found), count, out)
	}
	return found, nil
}

// nanoseconds are the figures in what `go test -bench` prints.
func nanoseconds(out string) []float64 {
	var found []float64
	for _, m := range benchLine.FindAllStringSubmatch(out, -1) {
		ns, err := strconv.ParseFloat(m[1], 64)
		if err == nil {
			found = append(found, ns)
		}
	}
	return found
}
