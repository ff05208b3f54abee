package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"slices"
	"syscall"

	"github.com/tetryx/lynx-runner/api"
)

// breaches is one way to run jobs that break a rule.
type breaches struct {
	name, executor string
	study          func(runs int) string
	settings       func(*world) []string
}

var (
	ownContainers = breaches{"docker", "docker", breachStudy, func(w *world) []string { return w.benchJobs("docker") }}
	rashOnes      = breaches{"docker, at once", "docker", rashStudy, func(w *world) []string { return w.benchJobs("docker") }}
	sharedOnes    = breaches{"docker, shared container", "docker", breachShared, func(w *world) []string { return w.bothModes(1) }}
	processes     = breaches{"process", "process", breachStudy, func(w *world) []string { return w.benchJobs("process") }}
)

// row measures, on an idle host and on one whose cores are all busy, how long after the
// arrival of a breaching sample every process of the job is dead: the figure that each
// such result records. Beside it is how long the sample took from the job to the runner.
func (m breaches) row(ctx context.Context, w *world, o options) (_ []line, err error) {
	jobs := max(1, o.reps*o.jobs/2)
	r, err := w.runner(ctx, m.executor, 1, m.settings(w)...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.stop()) }()
	var lines []line
	for _, busy := range []int{0, runtime.NumCPU()} {
		kills, ways, err := w.kills(ctx, m.study(jobs), busy)
		if err != nil {
			return nil, err
		}
		host := "idle host"
		if busy > 0 {
			host = fmt.Sprintf("%d busy cores", busy)
		}
		p99 := quantile(kills, 0.99)
		lines = append(lines, line{
			what: fmt.Sprintf("breach to dead, %s, %s, %d breaches", m.name, host, jobs), bound: "p99 ≤ 50 ms",
			ours: fmt.Sprintf("p50 %.1f ms, p99 %.1f ms, slowest %.1f ms; %.1f ms from the job to the runner before",
				quantile(kills, 0.5), p99, slices.Max(kills), median(ways)),
			held: holds(p99 <= 50, ""),
		})
	}
	return lines, nil
}

// kills are the milliseconds of each breach of a study, from the job to the runner
// (ways) and from there to the death of the last process (kills), while so many
// processes do nothing but use the CPU. Each of those has a session of its own, as the
// programs of other people have.
func (w *world) kills(ctx context.Context, study string, busy int) (kills, ways []float64, err error) {
	for range busy {
		spin := exec.Command(w.path("work/job"), "spin")
		spin.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := spin.Start(); err != nil {
			return nil, nil, err
		}
		defer func() {
			_ = spin.Process.Kill()
			_ = spin.Wait()
		}()
	}
	runs, _, err := w.run(ctx, study, api.OutcomeEarlyTermination)
	if err != nil {
		return nil, nil, err
	}
	for _, r := range runs {
		if r.Breach == nil || r.Breach.KillMilliseconds == nil || r.Breach.ReceivedAt == nil {
			return nil, nil, fmt.Errorf("run %d has no time of its kill", r.RunIndex)
		}
		kills = append(kills, *r.Breach.KillMilliseconds)
		// The sample's time is when it was taken.
		ways = append(ways, (float64(r.Breach.ReceivedAt.UnixMicro())-r.Breach.TimeSeconds*1e6)/1e3)
	}
	return kills, ways, nil
}
