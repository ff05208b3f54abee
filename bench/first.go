package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tetryx/lynx-runner/api"
)

// few is the size of the small batch of firstRow.
const few = 10

// firstRow compares how soon after the platform has answered a submission the first
// run has started, for a small batch and for a very large one, which should be the
// same. What the submission itself takes beside it grows with the number of runs.
func firstRow(ctx context.Context, w *world, o options) (_ []line, err error) {
	r, err := w.runner(ctx, "docker", 1, w.benchJobs("docker")...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.stop()) }()
	var small, large, submissions []float64
	for range o.reps {
		for _, n := range []int{few, o.large} {
			submission, first, err := w.first(ctx, n)
			if err != nil {
				return nil, err
			}
			if n == few {
				small = append(small, first)
			} else {
				large, submissions = append(large, first), append(submissions, submission)
			}
		}
	}
	ratio := ratios(large, small)
	return []line{{
		what:  fmt.Sprintf("submission of %s runs answered → first one started, against the same of %d", thousands(o.large), few),
		bound: "flat", ours: spread(large, "%.0f", "ms"), peer: spread(small, "%.0f", "ms"),
		held: holds(median(ratio) <= 1.2, spread(ratio, "%.2f", "×")+", behind a submission of "+spread(submissions, "%.2f", "s")),
	}}, nil
}

// first submits a batch, and says how many seconds the submission took and how many
// milliseconds after it the first run had started. The batch is cancelled and over
// when it returns.
func (w *world) first(ctx context.Context, runs int) (submission, first float64, err error) {
	began := time.Now()
	batch, err := w.client.Submit(ctx, []byte(emptyStudy(runs)), api.YAML)
	if err != nil {
		return 0, 0, err
	}
	answered := time.Now()
	started, err := w.firstStart(ctx, batch.BatchID)
	if err != nil {
		return 0, 0, err
	}
	if _, err := w.client.CancelBatch(ctx, batch.BatchID); err != nil {
		return 0, 0, err
	}
	_, err = w.wait(ctx, batch.BatchID)
	return answered.Sub(began).Seconds(), started.Sub(answered).Seconds() * 1000, err
}

// firstStart waits until the first run of a batch has started, and says when.
func (w *world) firstStart(ctx context.Context, batch string) (time.Time, error) {
	status := &api.BatchStatus{}
	for {
		jobs, err := w.client.Jobs(ctx, api.JobFilter{BatchID: batch, List: api.List{Limit: 1}})
		if err != nil {
			return time.Time{}, err
		}
		if len(jobs.Items) == 1 && jobs.Items[0].StartedAt != nil {
			return *jobs.Items[0].StartedAt, nil
		}
		if status, err = w.client.WaitBatch(ctx, batch, status.Revision, time.Minute); err != nil {
			return time.Time{}, err
		}
	}
}
