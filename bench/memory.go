package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/tetryx/lynx-runner/api"
)

// flat is how much more than after a tenth of the jobs a runner may have after all
// of them: what a garbage collector leaves to chance.
const flat = 1.15

// memoryRow lets a runner work through thousands of empty jobs and looks, after a
// tenth, half and all of them, at what it and the platform have in memory and open.
// The jobs are programs of the host, which is quick and goes through everything that
// a runner does for a job but the calls of the engine's API: those are the figures
// of the other rows, over hundreds.
func memoryRow(ctx context.Context, w *world, o options) (_ []line, err error) {
	// A job waits for the kernel longer than it computes: with a job to a CPU the CPUs
	// would be idle half of the time.
	slots := 4 * runtime.NumCPU()
	r, err := w.runner(ctx, "process", slots, append(w.benchJobs("process"), "sandbox: {memory: 64Mi}",
		fmt.Sprintf("capabilities: {cpu_cores: %d, supported_simulation_types: [basilisk]}", slots))...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.stop()) }()
	before, err := cpuTimes(r, w.server)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	batch, err := w.client.Submit(ctx, []byte(emptyStudy(o.many)), api.YAML)
	if err != nil {
		return nil, err
	}
	marks := []int{max(1, o.many/10), max(1, o.many/2), o.many}
	var runner, platform footprints
	for _, mark := range marks {
		if err := w.done(ctx, batch.BatchID, mark); err != nil {
			return nil, err
		}
		if err := errors.Join(runner.look(r), platform.look(w.server)); err != nil {
			return nil, err
		}
	}
	took := time.Since(began)
	after, err := cpuTimes(r, w.server)
	if err != nil {
		return nil, err
	}
	if _, err := w.results(ctx, batch.BatchID, api.OutcomeCompleted); err != nil {
		return nil, err
	}
	each := func(i int) float64 { return (after[i] - before[i]).Seconds() * 1000 / float64(o.many) }
	at := fmt.Sprintf("after %d, %d and %d empty jobs", marks[0], marks[1], marks[2])
	return []line{
		{
			what: "runner " + at, bound: "flat", ours: runner.text(),
			held: holds(runner.growth() <= flat, fmt.Sprintf("%.2f ×", runner.growth())),
		},
		{what: "platform " + at, bound: "flat", ours: platform.text(), held: holds(platform.growth() <= flat, fmt.Sprintf("%.2f ×", platform.growth()))},
		{
			what: "own CPU time for an empty job, executor process: runner; platform",
			ours: fmt.Sprintf("%.1f ms; %.1f ms, at %.0f jobs/s", each(0), each(1), float64(o.many)/took.Seconds()),
		},
	}, nil
}

// done waits until that many jobs of a batch have been completed.
func (w *world) done(ctx context.Context, batch string, jobs int) error {
	for {
		s, err := w.client.Batch(ctx, batch)
		switch {
		case err != nil:
			return err
		case s.Batch.FailedJobs > 0:
			return fmt.Errorf("%d jobs failed", s.Batch.FailedJobs)
		case s.Batch.CompletedJobs >= jobs:
			return nil
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

// footprints are what a process had at one time after another.
type footprints struct {
	megabytes            []float64
	descriptors, threads []int
}

func (f *footprints) look(p *process) error {
	resident, err := residentMegabytes(p)
	descriptors, err2 := count(p, "fd")
	threads, err3 := count(p, "task")
	f.megabytes = append(f.megabytes, resident)
	f.descriptors, f.threads = append(f.descriptors, descriptors), append(f.threads, threads)
	return errors.Join(err, err2, err3)
}

// growth is the last memory by the first.
func (f *footprints) growth() float64 { return f.megabytes[len(f.megabytes)-1] / f.megabytes[0] }

func (f *footprints) text() string {
	list := func(format string, n func(i int) any) string {
		var each []string
		for i := range f.megabytes {
			each = append(each, fmt.Sprintf(format, n(i)))
		}
		return strings.Join(each, ", ")
	}
	return fmt.Sprintf("%s MB resident; %s open files; %s threads",
		list("%.1f", func(i int) any { return f.megabytes[i] }),
		list("%d", func(i int) any { return f.descriptors[i] }), list("%d", func(i int) any { return f.threads[i] }))
}
