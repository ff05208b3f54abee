package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/tetryx/lynx-runner/api"
)

// ratePairs bounds the pairs for each number of slots, of which there are several.
const ratePairs = 5

// rateRow measures how many empty jobs a second so many slots get done: with a
// container each, against a program that only calls the engine's API; and with
// containers that runs of a batch share. Beside that it looks at what the runner and
// the platform themselves use for a job.
func rateRow(ctx context.Context, w *world, o options) ([]line, error) {
	var lines []line
	job, batch := &own{mode: "a container each"}, &own{mode: "shared containers"}
	for _, slots := range o.slots {
		more, err := w.rates(ctx, slots, o, job, batch)
		if err != nil {
			return nil, fmt.Errorf("%d slots: %w", slots, err)
		}
		lines = append(lines, more...)
	}
	return append(lines, job.line(), batch.line()), nil
}

// rates are the lines for that many slots.
func (w *world) rates(ctx context.Context, slots int, o options, job, batch *own) (_ []line, err error) {
	output, err := w.outputForPeers()
	if err != nil {
		return nil, err
	}
	r, err := w.runner(ctx, "docker", slots, w.bothModes(slots)...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.stop()) }()
	plain := &bare{engine: w.engine, work: w.path("work"), output: output}
	alone := new(*plain)
	alone.alone = true
	jobs := o.jobs * min(slots, runtime.NumCPU())
	var ours, shared []float64
	peers := map[*bare][]float64{}
	for range min(o.reps, ratePairs) {
		rate, err := w.rate(ctx, r, emptyCommand(jobs), jobs, job)
		if err != nil {
			return nil, err
		}
		ours = append(ours, rate)
		for _, peer := range []*bare{plain, alone} {
			if rate, err = peer.rate(ctx, jobs, slots); err != nil {
				return nil, fmt.Errorf("the bare client: %w", err)
			}
			peers[peer] = append(peers[peer], rate)
		}
		if rate, err = w.rate(ctx, r, emptyShared(4*jobs), 4*jobs, batch); err != nil {
			return nil, err
		}
		shared = append(shared, rate)
	}
	ratio, closest := ratios(ours, peers[plain]), ratios(ours, peers[alone])
	return []line{
		{
			what:  fmt.Sprintf("empty jobs, %d at a time, a container each, against a bare client of the engine's API", slots),
			bound: "≥ 0.85 ×", ours: spread(ours, "%.1f", "jobs/s"), peer: spread(peers[plain], "%.1f", "jobs/s"),
			held: holds(median(ratio) >= 0.85, spread(ratio, "%.2f", "×")),
		},
		{
			what: "the same, against one that has the engine leave the network alone, as Lynx does",
			ours: spread(ours, "%.1f", "jobs/s"), peer: spread(peers[alone], "%.1f", "jobs/s"), held: spread(closest, "%.2f", "×"),
		},
		{
			what: fmt.Sprintf("empty Python jobs, %d at a time, `isolation: batch`, %d to a batch", slots, 4*jobs),
			ours: spread(shared, "%.1f", "jobs/s"),
		},
	}, nil
}

// bothModes are the settings of a runner that runs the benchmarks' program in
// containers of its own, and Python in shared ones. Each slot counts as a CPU, also
// where the host has fewer.
func (w *world) bothModes(slots int) []string {
	return []string{
		"working_directory: " + w.path("work"), "preload: [lynx_sdk]", "sandbox: {isolation: [job, batch]}",
		"engines: [basilisk, command]", "commands: {empty: [/lynx/work/job, empty]}",
		fmt.Sprintf("capabilities: {cpu_cores: %d, supported_simulation_types: [basilisk, empty]}", max(slots, runtime.NumCPU())),
	}
}

// own is what runner and platform used themselves, for each of the batches of a
// mode, in milliseconds a job.
type own struct {
	mode             string
	runner, platform []float64
}

func (o *own) line() line {
	return line{
		what: "own CPU time for an empty job, " + o.mode + ": runner; platform",
		ours: spread(o.runner, "%.1f", "ms") + "; " + spread(o.platform, "%.1f", "ms"),
	}
}

// rate is the jobs per second of a study, from its submission to the last durable
// result.
func (w *world) rate(ctx context.Context, r *process, study string, jobs int, used *own) (float64, error) {
	before, err := cpuTimes(r, w.server)
	if err != nil {
		return 0, err
	}
	_, took, err := w.run(ctx, study, api.OutcomeCompleted)
	if err != nil {
		return 0, err
	}
	after, err := cpuTimes(r, w.server)
	if err != nil {
		return 0, err
	}
	each := func(i int) float64 { return (after[i] - before[i]).Seconds() * 1000 / float64(jobs) }
	used.runner, used.platform = append(used.runner, each(0)), append(used.platform, each(1))
	return float64(jobs) / took.Seconds(), nil
}
