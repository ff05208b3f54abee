package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/tetryx/lynx-runner/api"
)

const (
	// pollWait is how long one question about a batch waits at the platform for
	// news: long enough to cost nothing, short enough for every proxy.
	pollWait = 20 * time.Second
	// firstWait is the wait of the questions until nothing is new for the first time.
	firstWait = 3 * time.Second
	// pollPause is the least time between two questions: a batch with many short
	// runs has news all the time, and nobody reads faster.
	pollPause = 100 * time.Millisecond
	// failureNotes bounds the failures that are told one by one.
	failureNotes = 10
)

// follower watches one batch until it is over.
type follower struct {
	client *api.Client
	batch  string
	show   progress
	pause  time.Duration

	// told are the runs whose failure was told, failed is how many had failed
	// then.
	told   map[string]bool
	failed int
	// enough says that no further failure is told.
	enough bool
	// waiting is why no run is taken, as it was told.
	waiting string
}

// follow returns the batch's last status once it is terminal, or ctx's error.
func (f *follower) follow(ctx context.Context) (*api.BatchStatus, error) {
	status, err := f.client.Batch(ctx, f.batch)
	wait, news := firstWait, true
	for {
		if err != nil {
			return nil, err
		}
		f.show.update(status)
		if !news {
			wait = pollWait
			f.tellWaiting(ctx, status)
		}
		f.tellFailures(ctx, status)
		if status.Batch.Status.Terminal() {
			return status, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(f.pause):
		}
		before := status.Revision
		status, err = f.client.WaitBatch(ctx, f.batch, before, wait)
		news = err != nil || status.Revision != before
	}
}

// tellWaiting says why nobody takes the runs of a batch of which none is running.
func (f *follower) tellWaiting(ctx context.Context, status *api.BatchStatus) {
	if n := status.JobsByStatus; n[api.JobPending] == 0 || n[api.JobClaimed]+n[api.JobRunning] > 0 {
		return
	}
	page, err := f.client.Jobs(ctx, api.JobFilter{BatchID: f.batch, Status: api.JobPending, List: api.List{Limit: 1}})
	if err != nil || len(page.Items) == 0 {
		return
	}
	if why := deref(page.Items[0].PendingReason); why != f.waiting {
		f.waiting = why
		if why != "" {
			f.show.note("run " + escape(page.Items[0].RunConfig.RunID) + " waits: " + escape(why))
		}
	}
}

// tellFailures prints a line for each of the first runs that fail. It is a
// courtesy: what goes wrong here goes better at the next status.
func (f *follower) tellFailures(ctx context.Context, status *api.BatchStatus) {
	if f.enough || status.Batch.FailedJobs == f.failed {
		return
	}
	for _, state := range []api.JobState{api.JobFailed, api.JobTimeout} {
		// Of one more than are told altogether, one is new, if there is one.
		filter := api.JobFilter{BatchID: f.batch, Status: state, List: api.List{Limit: failureNotes + 1}}
		page, err := f.client.Jobs(ctx, filter)
		if err != nil {
			return
		}
		for _, job := range page.Items {
			f.tell(job)
		}
	}
	f.failed = status.Batch.FailedJobs
}

func (f *follower) tell(job api.Job) {
	switch {
	case f.enough || f.told[job.JobID]:
	case len(f.told) == failureNotes:
		f.enough = true
		f.show.note("… further failures are not told here, but in the results")
	default:
		if f.told == nil {
			f.told = map[string]bool{}
		}
		f.told[job.JobID] = true
		f.show.note(fmt.Sprintf("run %s: %s", escape(job.RunConfig.RunID), failureOf(job.Outcome, job.ErrorMessage, job.Status)))
	}
}

// failureOf says why a run ended badly, in one line.
func failureOf(outcome *api.Outcome, message *string, state api.JobState) string {
	word := string(state)
	if outcome != nil {
		word = string(*outcome)
	}
	if message != nil && *message != "" {
		word += ": " + *message
	}
	return escape(word)
}
