package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/tetryx/lynx-runner/api"
)

// report prints the results of a batch that is over.
type report struct {
	client *api.Client
	status *api.BatchStatus
	// dir is the batch's directory, as the user would write it.
	dir     string
	columns columns
	width   int
	now     time.Time
}

// write prints a table for people: title, a row for each run, how many ended in
// which way, the first failures, and where the files are.
func (r *report) write(ctx context.Context, w io.Writer) error {
	var all results
	if err := eachRow(ctx, r.client, r.status.Batch.BatchID, all.add); err != nil {
		return err
	}
	out := bufio.NewWriter(w)
	b := r.status.Batch
	fmt.Fprintf(out, "%s: %s, %s sampling, seed %d\n\n", escape(b.Name), runs(b.TotalJobs), escape(strings.ReplaceAll(b.SamplingMethod, "_", " ")), b.Seed)
	if err := all.writeRuns(out, r.width, r.columns); err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%s in %s: %s\n", runs(b.TotalJobs), r.elapsed(), all.summary())
	all.writeFailures(out)
	fmt.Fprintf(out, "Files: %s/<run>/attempt-<n>/\n", r.dir)
	return out.Flush()
}

// writeFailures prints why the first runs that did not complete ended, each
// reason once, and where more can be read.
func (r *results) writeFailures(w io.Writer) {
	var first []api.RunRow
	alike := map[string]int{}
	for _, row := range r.bad {
		if row.ErrorMessage == nil || *row.ErrorMessage == "" || row.Status == api.JobCancelled {
			continue
		}
		if alike[*row.ErrorMessage]++; alike[*row.ErrorMessage] == 1 {
			first = append(first, row)
		}
	}
	for _, row := range first[:min(len(first), failureNotes)] {
		more := ""
		if n := alike[*row.ErrorMessage]; n > 1 {
			more = fmt.Sprintf(" (and %d more like it)", n-1)
		}
		fmt.Fprintf(w, "run %d%s: %s\n", row.RunIndex, more, failureOf(row.Outcome, row.ErrorMessage, row.Status))
		if row.StartedAt != nil && row.Directory != "" {
			fmt.Fprintf(w, "    %s\n", escape(filepath.Join(row.Directory, "log")))
		}
	}
	if len(first) > failureNotes || r.badTotal > len(r.bad) {
		fmt.Fprintln(w, "… and more that did not complete")
	}
}

// elapsed is how long the batch took, from its submission.
func (r *report) elapsed() string {
	end := r.now
	if at := r.status.Batch.CompletedAt; at != nil {
		end = *at
	}
	d := end.Sub(r.status.Batch.CreatedAt)
	if d < time.Minute {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return d.Round(time.Second).String()
}

// writeJSON prints everything that the platform has about the batch, each run on
// a line of its own, as it arrives.
func (r *report) writeJSON(ctx context.Context, w io.Writer) error {
	out := bufio.NewWriterSize(w, 64<<10)
	batch, err := json.Marshal(r.status.Batch)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "{\"batch\": %s,\n", harmless(batch))
	separator := ""
	begin := func(units map[string]string) error {
		text, err := json.Marshal(units)
		fmt.Fprintf(out, "\"units\": %s,\n\"runs\": [", harmless(text))
		return err
	}
	err = eachRow(ctx, r.client, r.status.Batch.BatchID, func(units map[string]string, row api.RunRow) error {
		if separator == "" {
			if err := begin(units); err != nil {
				return err
			}
		}
		text, err := json.Marshal(row)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s\n%s", separator, harmless(text))
		separator = ","
		return nil
	})
	if err == nil && separator == "" {
		err = begin(map[string]string{})
	}
	if err != nil {
		return err
	}
	fmt.Fprint(out, "\n]}\n")
	return out.Flush()
}
