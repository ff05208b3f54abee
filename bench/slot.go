package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/tetryx/lynx-runner/api"
)

// slotRow compares the time that an empty job occupies a slot with docker run.
//
// One slot works through a batch of empty jobs. From one claim to the next is
// everything that a slot does for a job: prepare, create, start, wait, collect,
// write the result down, remove, and ask for the next.
func slotRow(ctx context.Context, w *world, o options) (_ []line, err error) {
	r, err := w.runner(ctx, "docker", 1, w.benchJobs("docker")...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.stop()) }()
	if err := os.MkdirAll(w.path("peer"), 0o777); err != nil {
		return nil, err
	}
	if err := os.Chmod(w.path("peer"), 0o777); err != nil {
		return nil, err
	}
	var ours, peers []float64
	for range o.reps {
		times, err := w.slotTimes(ctx, o.jobs)
		if err != nil {
			return nil, err
		}
		ours = append(ours, median(times))
		times = nil
		for range o.jobs {
			took, err := w.script(ctx, "docker-run.sh", image, w.path("work"), w.path("peer"), "/lynx/work/job", "empty")
			if err != nil {
				return nil, err
			}
			times = append(times, took.Seconds()*1000)
		}
		peers = append(peers, median(times))
	}
	ratio := ratios(ours, peers)
	return []line{{
		what: "slot time of an empty job, against `docker run --rm`", bound: "≤ 1.0 ×",
		ours: spread(ours, "%.0f", "ms"), peer: spread(peers, "%.0f", "ms"),
		held: holds(median(ratio) <= 1, spread(ratio, "%.2f", "×")),
	}}, nil
}

// slotTimes are the milliseconds from each claim to the next.
func (w *world) slotTimes(ctx context.Context, jobs int) ([]float64, error) {
	runs, _, err := w.run(ctx, emptyStudy(jobs+1), api.OutcomeCompleted)
	if err != nil {
		return nil, err
	}
	var claimed []float64
	for _, r := range runs {
		job, err := w.client.Job(ctx, r.JobID)
		if err != nil {
			return nil, err
		}
		if job.ClaimedAt == nil {
			return nil, fmt.Errorf("job %s was never claimed", r.JobID)
		}
		claimed = append(claimed, float64(job.ClaimedAt.UnixMicro())/1000)
	}
	slices.Sort(claimed)
	var times []float64
	for i := range jobs {
		times = append(times, claimed[i+1]-claimed[i])
	}
	return times, nil
}
