package cli

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/tetryx/lynx-runner/api"
)

func batchesCommand(c *connection) *cobra.Command {
	var limit int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "batches",
		Short: "List the batches, the newest first",
		Example: `  lynxctl batches
  lynxctl batches --limit 0 --json | jq -r '.[] | select(.status == "Failed") | .batch_id'`,
		Args: cobra.NoArgs,
		RunE: c.run(func(ctx context.Context, s *session, _ []string) error {
			if limit < 0 {
				return exit(ExitUsage, errors.New("--limit must be 0 (all) or more"))
			}
			list := first(limit, s.batches(ctx))
			if asJSON {
				return writeList(s.Stdout, list)
			}
			return s.writeBatches(list)
		}),
	}
	cmd.Flags().IntVar(&limit, "limit", 20, "how many to list at the most; 0 lists all")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

func (s *session) writeBatches(list iter.Seq2[api.Batch, error]) error {
	t := &table{}
	t.column("batch", false)
	t.column("name", false)
	t.column("status", false)
	t.column("runs", true)
	t.column("completed", true)
	t.column("failed", true)
	t.column("cancelled", true)
	t.column("submitted", false)
	t.column("time [s]", true)
	for b, err := range list {
		if err != nil {
			return err
		}
		status := string(b.Status)
		if b.CancelRequested && !b.Status.Terminal() {
			status += ", being cancelled"
		}
		t.row(b.BatchID, b.Name, status, strconv.Itoa(b.TotalJobs), strconv.Itoa(b.CompletedJobs),
			strconv.Itoa(b.FailedJobs), strconv.Itoa(b.CancelledJobs), s.moment(&b.CreatedAt), s.took(b.StartedAt, b.CompletedAt))
	}
	if len(t.rows) == 0 {
		fmt.Fprintln(s.Stderr, "no batches yet; `lynxctl submit STUDY` makes one")
		return nil
	}
	return writeFailed(t.write(s.Stdout, s.Width))
}
