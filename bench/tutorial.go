package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"github.com/tetryx/lynx-runner/api"
)

// tutorialRow compares the tutorial's runs per second, all telemetry and artifacts
// kept, with a shell loop that starts the same scenario with the same values by
// docker run, as many at a time, and keeps the artifacts.
func tutorialRow(ctx context.Context, w *world, o options) (_ []line, err error) {
	slots := runtime.NumCPU()
	code := filepath.Join(w.root, "scenarios/aerospace/python")
	r, err := w.runner(ctx, "docker", slots, "working_directory: "+code)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.stop()) }()
	study, err := os.ReadFile(filepath.Join(w.root, "scenarios/aerospace/configs/basic_orbit_tutorial.yaml"))
	if err != nil {
		return nil, err
	}
	var ours, peers []float64
	for rep := range o.reps {
		runs, took, err := w.run(ctx, fmt.Sprintf("config:\n%s\nruns_override: %d\n", indent(string(study)), o.jobs), api.OutcomeCompleted)
		if err != nil {
			return nil, err
		}
		ours = append(ours, float64(o.jobs)/took.Seconds())
		dir := w.path("loop-" + strconv.Itoa(rep))
		if err := writeConfigs(dir, runs); err != nil {
			return nil, err
		}
		took, err = w.script(ctx, "docker-loop.sh", image, code, dir, strconv.Itoa(slots))
		if err != nil {
			return nil, err
		}
		if kept, _ := filepath.Glob(filepath.Join(dir, "*/output/trajectory.csv")); len(kept) != o.jobs {
			return nil, fmt.Errorf("the loop kept %d trajectories of %d", len(kept), o.jobs)
		}
		peers = append(peers, float64(o.jobs)/took.Seconds())
	}
	ratio := ratios(ours, peers)
	return []line{{
		what:  fmt.Sprintf("tutorial, %d at a time, everything kept, against a shell loop of `docker run`", slots),
		bound: "≥ 1.0 ×", ours: spread(ours, "%.2f", "runs/s"), peer: spread(peers, "%.2f", "runs/s"),
		held: holds(median(ratio) >= 1, spread(ratio, "%.2f", "×")),
	}}, nil
}

// writeConfigs gives each run of the loop the values of one of ours.
func writeConfigs(dir string, runs []api.RunRow) error {
	for _, r := range runs {
		output := filepath.Join(dir, strconv.Itoa(r.RunIndex), "output")
		if err := os.MkdirAll(output, 0o755); err != nil {
			return err
		}
		if err := os.Chmod(output, 0o777); err != nil { // the peer's user is another
			return err
		}
		config, err := json.Marshal(map[string]any{"run_index": r.RunIndex, "seed": 1, "parameters": r.Parameters})
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(r.RunIndex), "run_config.json"), config, 0o644); err != nil {
			return err
		}
	}
	return nil
}
