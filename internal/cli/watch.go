package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/tetryx/lynx-runner/api"
)

const (
	// patience is how long a platform that was there may be away, as one that is
	// restarted is, before a watch of a batch gives up.
	patience = 2 * time.Minute
	// retryPause is the time between two attempts to reach it.
	retryPause = time.Second
)

func watchCommand(c *connection) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "watch BATCH",
		Short: "Follow a batch to its end",
		Long: `Follow a batch to its end.
` + references + `
Progress goes to standard error: drawn in place for a person at a terminal, as
plain lines into a pipe. Ctrl-C ends the watching only; the batch goes on.

The exit status is 0 if the batch completed, 1 if it failed or was cancelled, 3
where the platform can't be reached (any more), and 130 when interrupted.`,
		Example: `  lynxctl watch last
  lynxctl watch last && lynxctl results last --format csv -o results.csv`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeBatches,
		RunE: c.run(func(ctx context.Context, s *session, args []string) error {
			id, err := s.batch(ctx, args[0])
			if err != nil {
				return err
			}
			status, err := s.watch(ctx, id)
			if asJSON && status != nil {
				err = errors.Join(writeObject(s.Stdout, status), err)
			}
			return err
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the batch as JSON when it is over")
	return cmd
}

// watch follows a batch to its end, shows its progress, and returns its last
// status, and an error unless it completed.
func (s *session) watch(ctx context.Context, id string) (*api.BatchStatus, error) {
	show := newProgress(s.Stderr, s.Terminal, s.Now)
	f := &follower{client: s.client, batch: id, show: show, pause: pollPause}
	status, err := s.follow(ctx, f)
	show.done()
	switch {
	case s.Interrupt.Err() != nil && err != nil:
		return nil, exit(ExitInterrupted, fmt.Errorf("interrupted; the batch goes on:\n"+
			"`lynxctl watch %s` follows it again, `lynxctl cancel %s` stops it", id, id))
	case away(err):
		return nil, exit(ExitUnreachable, fmt.Errorf("the platform at %s is gone: %w\n"+
			"once it is back, the batch goes on; `lynxctl watch %s` follows it again", s.server, cause(escaped(err)), id))
	case err != nil:
		return nil, err
	}
	return status, s.conclude(status)
}

// follow is the follower's, but outlasts a platform that is away for a while.
func (s *session) follow(ctx context.Context, f *follower) (*api.BatchStatus, error) {
	for {
		status, err := f.follow(ctx)
		if !away(err) || ctx.Err() != nil {
			return status, err
		}
		f.show.note("the platform does not answer; trying again")
		if err := s.reach(ctx, f.batch); err != nil {
			return nil, err
		}
	}
}

// reach asks for the batch until the platform answers, or until patience has
// passed.
func (s *session) reach(ctx context.Context, id string) error {
	deadline := s.Now().Add(patience)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(retryPause):
		}
		_, err := s.client.Batch(ctx, id)
		if !away(err) || s.Now().After(deadline) {
			return err
		}
	}
}

// away reports whether an error means that the platform is not there or stops.
func away(err error) bool {
	problem, ok := errors.AsType[*api.Problem](err)
	return errors.Is(err, api.ErrUnreachable) || ok && problem.Status >= 500
}

// conclude says how a batch ended and what to look at.
func (s *session) conclude(status *api.BatchStatus) error {
	b := status.Batch
	results := fmt.Sprintf("`lynxctl results %s` shows its runs", b.BatchID)
	switch b.Status {
	case api.BatchCompleted:
		fmt.Fprintf(s.Stderr, "completed in %s s; %s\n", s.took(&b.CreatedAt, b.CompletedAt), results)
		return nil
	case api.BatchCancelled:
		return exit(ExitFailed, fmt.Errorf("the batch was cancelled; %s", results))
	default:
		return exit(ExitFailed, fmt.Errorf("the batch failed: %d of %s failed, and %d may (monte_carlo.max_failed); %s",
			b.FailedJobs, runs(b.TotalJobs), b.MaxFailed, results))
	}
}
