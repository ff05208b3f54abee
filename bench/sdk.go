package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// sdkRow measures what telemetry at each step adds to the tutorial's stepping, in the
// Python SDK: CPU time of all threads, pair by pair in one process, without and with.
// Import and connection are told apart from it.
func sdkRow(ctx context.Context, w *world, o options) ([]line, error) {
	dir := w.path("sdk")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(w.root, "bench/peers/docker-python.sh"),
		image, filepath.Join(w.root, "scenarios/aerospace/python"), dir, "1", "telemetry_cost.py", strconv.Itoa(3*o.reps))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("telemetry_cost.py: %w", err)
	}
	var seconds struct {
		Import              float64
		Open, Without, With []float64
	}
	if err := json.Unmarshal(out, &seconds); err != nil {
		return nil, err
	}
	if len(seconds.With) != 3*o.reps || len(seconds.Open) != 3*o.reps {
		return nil, fmt.Errorf("telemetry_cost.py printed %s", out)
	}
	millis := func(xs []float64) []float64 {
		scaled := make([]float64, len(xs))
		for i, x := range xs {
			scaled[i] = 1000 * x
		}
		return scaled
	}
	ratio := ratios(seconds.With, seconds.Without)
	return []line{{
		what:  "tutorial's stepping with telemetry at each step, against without",
		bound: "≤ 1.10 ×",
		ours: fmt.Sprintf("%s; before it %.0f ms for imports, %s for the connection",
			spread(millis(seconds.With), "%.1f", "ms"), 1000*seconds.Import, spread(millis(seconds.Open), "%.0f", "ms")),
		peer: spread(millis(seconds.Without), "%.1f", "ms"),
		held: holds(median(ratio) <= 1.1, spread(ratio, "%.2f", "×")),
	}}, nil
}
