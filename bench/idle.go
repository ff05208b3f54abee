package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// ticksPerSecond is the unit of the times in proc_pid_stat(5), the same on every
// Linux system that Go runs on.
const ticksPerSecond = 100

// settle is how long a runner that has just started is left alone.
const settle = 2 * time.Second

// idleRow watches a runner that is connected and has nothing to do, and the
// platform.
func idleRow(ctx context.Context, w *world, o options) (_ []line, err error) {
	r, err := w.runner(ctx, "docker", 2, w.benchJobs("docker")...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.stop()) }()
	if err := sleep(ctx, settle); err != nil {
		return nil, err
	}
	var lines []line
	before := []float64{cpuSeconds(r), cpuSeconds(w.server)}
	if err := sleep(ctx, o.idle); err != nil {
		return nil, err
	}
	for i, p := range []*process{r, w.server} {
		name := []string{"runner", "platform"}[i]
		resident, err := residentMegabytes(p)
		if err != nil {
			return nil, err
		}
		percent := 100 * (cpuSeconds(p) - before[i]) / o.idle.Seconds()
		l := line{what: "idle " + name, ours: fmt.Sprintf("%.0f MB resident, %.2f %% of a CPU", resident, percent)}
		if name == "runner" {
			l.bound, l.held = "≤ 40 MB, no CPU", holds(resident <= 40 && percent < 0.5, "")
		}
		lines = append(lines, l)
	}
	return lines, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// cpuSeconds is what a process has used: fields 14 and 15 of proc_pid_stat(5),
// counted from behind the name. A process that is gone has used nothing.
func cpuSeconds(p *process) float64 {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) / ticksPerSecond
}

// residentMegabytes is VmRSS of proc_pid_status(5), in 10^6 bytes.
func residentMegabytes(p *process) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
			return kib * 1024 / 1e6, err
		}
	}
	return 0, errors.New("the process has no memory")
}
