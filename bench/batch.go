package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/tetryx/lynx-runner/api"
)

const (
	// batchRuns are the runs of the tutorial: enough that the start of a container
	// and its imports count as little as in a study.
	batchRuns = 200
	// batchReps bounds the repetitions: Basilisk's own tool takes two minutes each.
	batchReps = 3
)

// forkModules are what the fork server imports: the default of the runner's preload.
const forkModules = "lynx_sdk lynx_sdk._buffer grpc numpy numpy.random numpy.typing" +
	" PIL.BmpImagePlugin PIL.GifImagePlugin PIL.JpegImagePlugin PIL.PngImagePlugin PIL.PpmImagePlugin" +
	" matplotlib.pyplot matplotlib.figure matplotlib.backends.backend_agg" +
	" Basilisk.simulation.spacecraft Basilisk.utilities.SimulationBaseClass Basilisk.utilities.macros" +
	" Basilisk.utilities.orbitalMotion Basilisk.utilities.simIncludeGravBody"

// batchRow compares the tutorial's runs per second with isolation: batch, all
// telemetry and artifacts kept, with a bare fork server that runs the same scenario
// with the same values, and with Basilisk's own Monte Carlo tool that keeps the
// trajectories, each in one container with as many CPUs. What the first two leave
// must be the same files.
func batchRow(ctx context.Context, w *world, o options) (_ []line, err error) {
	slots, runs := runtime.NumCPU(), min(o.many, batchRuns)
	code := filepath.Join(w.root, "scenarios/aerospace/python")
	r, err := w.runner(ctx, "docker", slots, "working_directory: "+code, "sandbox: {isolation: [job, batch]}")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.stop()) }()
	text, err := os.ReadFile(filepath.Join(w.root, "scenarios/aerospace/configs/basic_orbit_tutorial.yaml"))
	if err != nil {
		return nil, err
	}
	study := strings.Replace(string(text), "\ncompute:\n", "\ncompute:\n  isolation: batch\n", 1)
	peer := batchPeer{w: w, code: code, cpus: strconv.Itoa(slots)}
	var ours, forks, controllers []float64
	for rep := range min(o.reps, batchReps) {
		rows, took, err := w.run(ctx, fmt.Sprintf("config:\n%s\nruns_override: %d\n", indent(study), runs), api.OutcomeCompleted)
		if err != nil {
			return nil, err
		}
		ours = append(ours, float64(runs)/took.Seconds())
		rate, err := peer.fork(ctx, w.path("fork-"+strconv.Itoa(rep)), rows)
		if err != nil {
			return nil, err
		}
		forks = append(forks, rate)
		if rate, err = peer.controller(ctx, w.path("controller-"+strconv.Itoa(rep)), runs); err != nil {
			return nil, err
		}
		controllers = append(controllers, rate)
	}
	what := fmt.Sprintf("tutorial of %d runs, isolation: batch, %d at a time, everything kept, against ", runs, slots)
	result := func(peer, bound string, least float64, theirs []float64) line {
		ratio := ratios(ours, theirs)
		return line{
			what: what + peer, bound: bound,
			ours: spread(ours, "%.2f", "runs/s"), peer: spread(theirs, "%.2f", "runs/s"),
			held: holds(median(ratio) >= least, spread(ratio, "%.2f", "×")),
		}
	}
	return []line{
		result("Basilisk's `MonteCarlo.Controller` with retention", "≥ 5 ×", 5, controllers),
		result("a bare fork server", "≥ 0.7 ×", 0.7, forks),
	}, nil
}

// batchPeer runs the peers that are Python scripts.
type batchPeer struct {
	w          *world
	code, cpus string
}

// fork runs the same runs by the fork server, and compares what they leave.
func (p batchPeer) fork(ctx context.Context, dir string, runs []api.RunRow) (float64, error) {
	if err := writeConfigs(dir, runs); err != nil {
		return 0, err
	}
	args := append([]string{image, p.code, dir, p.cpus, "fork_server.py", "/lynx/runs", p.cpus, "/lynx/work/scenario_basic_orbit_lynx.py"}, strings.Fields(forkModules)...)
	took, err := p.w.script(ctx, "docker-python.sh", args...)
	if err != nil {
		return 0, err
	}
	for _, r := range runs {
		if err := sameFiles(r, filepath.Join(dir, strconv.Itoa(r.RunIndex), "output")); err != nil {
			return 0, fmt.Errorf("run %d: %w", r.RunIndex, err)
		}
	}
	return float64(len(runs)) / took.Seconds(), nil
}

// controller runs as many runs by Basilisk's own tool.
func (p batchPeer) controller(ctx context.Context, dir string, runs int) (float64, error) {
	// The peer's user is another.
	if err := errors.Join(os.Mkdir(dir, 0o755), os.Chmod(dir, 0o777)); err != nil {
		return 0, err
	}
	took, err := p.w.script(ctx, "docker-python.sh", image, p.code, dir, p.cpus, "monte_carlo_controller.py", "/lynx/runs", strconv.Itoa(runs), p.cpus)
	return float64(runs) / took.Seconds(), err
}

// sameFiles compares the artifacts of a run, but for the summary, in which there is
// a time, with files of a directory.
func sameFiles(r api.RunRow, dir string) error {
	compared := 0
	for _, a := range r.Artifacts {
		if a.Name == "summary.json" {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, a.Name))
		if err != nil {
			return err
		}
		if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != a.SHA256 {
			return fmt.Errorf("%s differs", a.Name)
		}
		compared++
	}
	if compared != 2 {
		return fmt.Errorf("there are %d artifacts to compare, not 2", compared)
	}
	return nil
}
