package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tetryx/lynx-runner/api"
)

func cancelCommand(c *connection) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "cancel BATCH|JOB",
		Short: "Cancel a batch or one of its jobs",
		Long: `Cancel a batch or one of its jobs. Jobs that wait are cancelled at once; those that
run are killed by their runners within seconds, and what they wrote is kept. What
is over stays as it is.

` + jobReferences + `
The beginning of an id must be unique among batches and jobs.`,
		Example: `  lynxctl cancel last
  lynxctl cancel last/17`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeBatches,
		RunE: c.run(func(ctx context.Context, s *session, args []string) error {
			t, err := s.find(ctx, args[0])
			switch {
			case err != nil:
				return err
			case t.job != nil:
				return s.cancelJob(ctx, t.job, asJSON)
			default:
				return s.cancelBatch(ctx, t.batch, asJSON)
			}
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the batch or job as JSON")
	return cmd
}

func (s *session) cancelBatch(ctx context.Context, id string, asJSON bool) error {
	status, err := s.client.CancelBatch(ctx, id)
	if err != nil {
		return err
	}
	if asJSON {
		return writeObject(s.Stdout, status)
	}
	b := status.Batch
	running := status.JobsByStatus[api.JobRunning] + status.JobsByStatus[api.JobClaimed]
	text := fmt.Sprintf("batch %s: %s", b.BatchID, b.Status)
	switch {
	case !b.CancelRequested:
		text += "; it was over already"
	case running > 0:
		text = fmt.Sprintf("batch %s: being cancelled; %s still to be stopped", b.BatchID, runs(running))
	}
	_, err = fmt.Fprintln(s.Stdout, escape(text))
	return writeFailed(err)
}

func (s *session) cancelJob(ctx context.Context, job *api.Job, asJSON bool) error {
	job, err := s.client.CancelJob(ctx, job.JobID)
	if err != nil {
		return err
	}
	if asJSON {
		return writeObject(s.Stdout, job)
	}
	text := fmt.Sprintf("run %d, job %s: %s", job.RunConfig.RunIndex, job.JobID, job.Status)
	switch {
	case job.CancelRequested && !job.Status.Terminal():
		text += "; its runner is stopping it"
	case job.Status != api.JobCancelled:
		text += "; it was over already"
	}
	_, err = fmt.Fprintln(s.Stdout, escape(text))
	return writeFailed(err)
}
