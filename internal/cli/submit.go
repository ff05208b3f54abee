package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tetryx/lynx-runner/api"
)

func submitCommand(c *connection) *cobra.Command {
	var count int
	var watch, asJSON bool
	cmd := &cobra.Command{
		Use:   "submit STUDY",
		Short: "Hand a study to a platform, whose runners run it",
		Long: `Hand a study to a platform, whose runners run it. The new batch's id is printed to
standard output. With --watch, the command follows the batch to its end as
` + "`lynxctl watch`" + ` does; its exit status then tells whether the study passed.`,
		Example: `  lynxctl submit study.yaml --watch
  batch=$(lynxctl submit study.yaml --runs 1000)
  lynxctl submit study.yaml --json | jq -r .batch_id`,
		Args: cobra.ExactArgs(1),
		RunE: c.run(func(ctx context.Context, s *session, args []string) error {
			submission, err := s.submit(ctx, args[0], count)
			if err != nil {
				return err
			}
			if asJSON {
				err = writeObject(s.Stdout, submission)
			} else {
				_, err = fmt.Fprintln(s.Stdout, submission.BatchID)
				err = writeFailed(err)
			}
			if err != nil || !watch {
				return err
			}
			_, err = s.watch(ctx, submission.BatchID)
			return err
		}),
	}
	f := cmd.Flags()
	f.IntVar(&count, "runs", 0, "number of runs, instead of the study's")
	f.BoolVar(&watch, "watch", false, "follow the batch to its end")
	f.BoolVar(&asJSON, "json", false, "print the platform's answer as JSON instead of the id")
	return cmd
}

// submit checks a study file and hands it in.
func (s *session) submit(ctx context.Context, path string, count int) (*api.Submission, error) {
	file, err := readStudy(path)
	if err != nil {
		return nil, err
	}
	if err := applyRuns(file.Request, count); err != nil {
		return nil, err
	}
	body, err := json.Marshal(file.Request)
	if err != nil {
		return nil, exit(ExitUsage, fmt.Errorf("study %s: %w", path, err))
	}
	submission, err := s.client.Submit(ctx, body, api.JSON)
	if s.Interrupt.Err() != nil && err != nil {
		return nil, exit(ExitInterrupted, errors.New("interrupted; the platform may have the study already: see `lynxctl batches`"))
	}
	if err != nil {
		return nil, withoutPlaces(err)
	}
	for _, warning := range submission.Warnings {
		fmt.Fprintln(s.Stderr, "warning:", escape(warning))
	}
	fmt.Fprintf(s.Stderr, "%s: %s, seed %d\n", escape(file.Name), runs(submission.TotalJobs), submission.Seed)
	return submission, nil
}

// withoutPlaces leaves lines and columns out of a refusal: they are of the
// document as it was sent, which nobody sees.
func withoutPlaces(err error) error {
	problem, ok := errors.AsType[*api.Problem](err)
	if !ok {
		return err
	}
	for i := range problem.Errors {
		problem.Errors[i].Line = 0
	}
	return err
}
