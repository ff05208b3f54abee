package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/tetryx/lynx-runner/api"
)

// pollWait is how long one question about a batch waits at the platform for
// news: long enough to cost nothing, short enough for every proxy.
const pollWait = 20 * time.Second

// failureNotes bounds the failures that are told one by one while a batch runs;
// the table at the end has the others.
const failureNotes = 10

// follower watches one batch until it is over.
type follower struct {
	client *api.Client
	batch  string
	show   progress

	told   map[string]bool
	failed int
}

// follow returns the batch's last status once it is terminal, or ctx's error.
func (f *follower) follow(ctx context.Context) (*api.BatchStatus, error) {
	status, err := f.client.Batch(ctx, f.batch)
	for {
		if err != nil {
			return nil, err
		}
		f.show.update(status)
		f.tellFailures(ctx, status)
		if status.Batch.Status.Terminal() {
			return status, nil
		}
		status, err = f.client.WaitBatch(ctx, f.batch, status.Revision, pollWait)
	}
}

// tellFailures prints a line for each run that failed since the last call. It is
// a courtesy: what goes wrong here shows again in the next status.
func (f *follower) tellFailures(ctx context.Context, status *api.BatchStatus) {
	if status.Batch.FailedJobs == f.failed || len(f.told) >= failureNotes {
		return
	}
	f.failed = status.Batch.FailedJobs
	for _, state := range []api.JobState{api.JobFailed, api.JobTimeout} {
		filter := api.JobFilter{BatchID: f.batch, Status: state}
		for job, err := range f.client.AllJobs(ctx, filter) {
			if err != nil {
				return
			}
			if f.told[job.JobID] {
				continue
			}
			if len(f.told) >= failureNotes {
				f.show.note("… further failures are in the table at the end")
				return
			}
			f.told[job.JobID] = true
			f.show.note(fmt.Sprintf("run %s: %s", job.RunConfig.RunID, escape(failureOf(job.Outcome, job.ErrorMessage, job.Status))))
		}
	}
}

// failureOf says why a run ended badly, in one line.
func failureOf(outcome *api.Outcome, message *string, state api.JobState) string {
	word := string(state)
	if outcome != nil {
		word = string(*outcome)
	}
	if message == nil || *message == "" {
		return word
	}
	return word + ": " + *message
}
