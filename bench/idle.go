package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

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
	before, err := cpuTimes(r, w.server)
	if err != nil {
		return nil, err
	}
	if err := sleep(ctx, o.idle); err != nil {
		return nil, err
	}
	after, err := cpuTimes(r, w.server)
	if err != nil {
		return nil, err
	}
	for i, p := range []*process{r, w.server} {
		name := []string{"runner", "platform"}[i]
		resident, err := residentMegabytes(p)
		if err != nil {
			return nil, err
		}
		percent := 100 * (after[i] - before[i]).Seconds() / o.idle.Seconds()
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
