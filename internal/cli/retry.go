package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tetryx/lynx-runner/api"
)

// retryOptions are the flags of `lynxctl retry`.
type retryOptions struct {
	failed, cancelled, watch, json bool
}

func retryCommand(c *connection) *cobra.Command {
	var o retryOptions
	cmd := &cobra.Command{
		Use:   "retry BATCH|JOB",
		Short: "Run again what did not succeed",
		Long: `Run again what did not succeed: the same runs with the same parameters and seeds, as
new attempts. What completed stays as it is, and so does what earlier attempts left.
Of a batch, --failed takes the jobs that failed or timed out, --cancelled those that
were cancelled.

` + jobReferences,
		Example: `  lynxctl retry last --failed --watch
  lynxctl retry last --failed --cancelled
  lynxctl retry last/17`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeBatches,
		RunE: c.run(func(ctx context.Context, s *session, args []string) error {
			t, err := s.find(ctx, args[0])
			switch {
			case err != nil:
				return err
			case t.job != nil:
				return s.retryJob(ctx, t.job, o)
			default:
				return s.retryBatch(ctx, t.batch, o)
			}
		}),
	}
	f := cmd.Flags()
	f.BoolVar(&o.failed, "failed", false, "the batch's jobs that are Failed or Timeout")
	f.BoolVar(&o.cancelled, "cancelled", false, "the batch's jobs that are Cancelled")
	f.BoolVar(&o.watch, "watch", false, "follow the batch to its end; the exit status says whether it passed")
	f.BoolVar(&o.json, "json", false, "print the batch or job as JSON")
	return cmd
}

func (s *session) retryBatch(ctx context.Context, id string, o retryOptions) error {
	var states []api.JobState
	if o.failed {
		states = append(states, api.JobFailed, api.JobTimeout)
	}
	if o.cancelled {
		states = append(states, api.JobCancelled)
	}
	if len(states) == 0 {
		return exit(ExitUsage, errors.New("say which of the batch's jobs: --failed, --cancelled, or both"))
	}
	retry, err := s.client.RetryBatch(ctx, id, states...)
	if err != nil {
		return err
	}
	if o.json {
		if err := writeObject(s.Stdout, retry); err != nil {
			return err
		}
	} else {
		text := fmt.Sprintf("batch %s: %s to be run again", id, runs(retry.Jobs))
		if retry.Jobs == 0 {
			text = fmt.Sprintf("batch %s: no such jobs; it is %s", id, retry.Batch.Status)
		}
		if _, err := fmt.Fprintln(s.Stdout, escape(text)); err != nil {
			return writeFailed(err)
		}
	}
	if !o.watch {
		return nil
	}
	_, err = s.watch(ctx, id)
	return err
}

func (s *session) retryJob(ctx context.Context, job *api.Job, o retryOptions) error {
	if o.failed || o.cancelled {
		return exit(ExitUsage, errors.New("--failed and --cancelled choose jobs of a batch; a job is run again whichever way it ended"))
	}
	job, err := s.client.RetryJob(ctx, job.JobID)
	if err != nil {
		return err
	}
	if o.json {
		err = writeObject(s.Stdout, job)
	} else {
		_, err = fmt.Fprintf(s.Stdout, "run %d, job %s: %s again\n", job.RunConfig.RunIndex, escape(job.JobID), escape(string(job.Status)))
		err = writeFailed(err)
	}
	if err != nil || !o.watch {
		return err
	}
	_, err = s.watch(ctx, job.BatchID)
	return err
}
