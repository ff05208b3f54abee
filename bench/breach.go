package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"

	"github.com/tetryx/lynx-runner/api"
)

// breachRow measures, with both executors, on an idle host and on one whose cores
// are all busy, how long after the arrival of a breaching sample every process of
// the job is dead: the figure that each such result records.
func breachRow(ctx context.Context, w *world, o options) ([]line, error) {
	var lines []line
	for _, executor := range []string{"docker", "process"} {
		more, err := w.breaches(ctx, executor, o.reps*o.jobs/2)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", executor, err)
		}
		lines = append(lines, more...)
	}
	return lines, nil
}

func (w *world) breaches(ctx context.Context, executor string, jobs int) (_ []line, err error) {
	r, err := w.runner(ctx, executor, 1, w.benchJobs(executor)...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.stop()) }()
	var lines []line
	for _, busy := range []int{0, runtime.NumCPU()} {
		times, err := w.kills(ctx, jobs, busy)
		if err != nil {
			return nil, err
		}
		host := "idle host"
		if busy > 0 {
			host = fmt.Sprintf("%d busy cores", busy)
		}
		p99 := quantile(times, 0.99)
		lines = append(lines, line{
			what: fmt.Sprintf("breach to dead, %s, %s, %d breaches", executor, host, jobs), bound: "p99 ≤ 50 ms",
			ours: fmt.Sprintf("p50 %.1f ms, p99 %.1f ms", quantile(times, 0.5), p99), held: holds(p99 <= 50, ""),
		})
	}
	return lines, nil
}

// kills are the milliseconds of that many breaches, while so many processes do
// nothing but use the CPU.
func (w *world) kills(ctx context.Context, jobs, busy int) ([]float64, error) {
	for range busy {
		spin := exec.Command(w.path("work/job"), "spin")
		if err := spin.Start(); err != nil {
			return nil, err
		}
		defer func() {
			_ = spin.Process.Kill()
			_ = spin.Wait()
		}()
	}
	runs, _, err := w.run(ctx, breachStudy(jobs), api.OutcomeEarlyTermination)
	if err != nil {
		return nil, err
	}
	var times []float64
	for _, r := range runs {
		if r.Breach == nil || r.Breach.KillMilliseconds == nil {
			return nil, fmt.Errorf("run %d has no time of its kill", r.RunIndex)
		}
		times = append(times, *r.Breach.KillMilliseconds)
	}
	return times, nil
}
