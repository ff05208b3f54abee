package cli

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tetryx/lynx-runner/api"
)

// tableMetrics is how many metrics a table shows where none are chosen.
const tableMetrics = 6

// resultFormats are the forms in which results are printed; also the endings of
// files that ask for them.
var resultFormats = []string{"table", "json", "csv", "parquet"}

// resultOptions are the flags of `lynxctl results`.
type resultOptions struct {
	format  string
	json    bool
	output  string
	metrics []string
	// download is the directory that the artifacts go to; empty for none.
	download string
}

func resultsCommand(c *connection) *cobra.Command {
	var o resultOptions
	cmd := &cobra.Command{
		Use:   "results BATCH",
		Short: "Print the results of a batch, one row a run",
		Long: `Print the results of a batch, one row a run: parameters, outcome, metrics.
` + references + `

The formats:
  table    for people. Of a batch of more than 60 runs it shows those that did not
           complete.
  json     everything that the platform has: {"batch": …, "units": …, "runs": […]}
  csv      every run, with the columns parameters.NAME and metrics.NAME. Text that
           a spreadsheet would take for a formula begins with an apostrophe.
  parquet  the same columns with their types; the parameters' units are in the
           file's metadata, as lynx.units.
A batch that is not over yet has rows without outcome.

--download DIR also fetches the files that the runs left, to DIR/<run>/<name>, from
a platform that keeps them. What is there already is not fetched again.`,
		Example: `  lynxctl results last
  lynxctl results last -o results.csv
  lynxctl results last --format csv | head
  lynxctl results last -o results.parquet
  lynxctl results last --download results/ -o results/runs.csv
  lynxctl results last --json | jq '.runs[] | select(.metrics.final_radius_km < 6500)'`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeBatches,
		RunE: c.run(func(ctx context.Context, s *session, args []string) error {
			if err := o.check(); err != nil {
				return exit(ExitUsage, err)
			}
			if o.format == "parquet" && o.output == "-" && s.Width > 0 {
				return exit(ExitUsage, errors.New("parquet is not for terminals; write it to a file with -o FILE"))
			}
			id, err := s.batch(ctx, args[0])
			if err != nil {
				return err
			}
			if o.download == "" {
				return s.results(ctx, id, o)
			}
			// First, because the output may be meant to lie in it.
			if err := os.MkdirAll(o.download, 0o777); err != nil {
				return exit(ExitUsage, fmt.Errorf("--download: %w", err))
			}
			if err := s.results(ctx, id, o); err != nil {
				return err
			}
			return s.download(ctx, id, o.download)
		}),
	}
	f := cmd.Flags()
	f.StringVar(&o.format, "format", "", "table, json, csv or parquet (default: the output file's ending, or table)")
	f.BoolVar(&o.json, "json", false, "the same as --format json")
	f.StringVarP(&o.output, "output", "o", "-", "file to write; - is standard output")
	f.StringSliceVar(&o.metrics, "metrics", nil, "metrics to show in the table")
	f.StringVar(&o.download, "download", "", "also download every run's files to this `directory`")
	_ = cmd.MarkFlagDirname("download")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(resultFormats, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// check settles the format.
func (o *resultOptions) check() error {
	if o.json {
		if o.format != "" && o.format != "json" {
			return fmt.Errorf("--json and --format %s: choose one", o.format)
		}
		o.format = "json"
	}
	if ending := strings.TrimPrefix(filepath.Ext(o.output), "."); o.format == "" && slices.Contains(resultFormats, ending) {
		o.format = ending
	}
	o.format = cmp.Or(o.format, "table")
	switch {
	case !slices.Contains(resultFormats, o.format):
		return fmt.Errorf("--format %s: must be one of %s", o.format, strings.Join(resultFormats, ", "))
	case len(o.metrics) > 0 && o.format != "table":
		return fmt.Errorf("--metrics is for tables; %s has all", o.format)
	}
	return nil
}

// results prints the results of a batch.
func (s *session) results(ctx context.Context, id string, o resultOptions) error {
	status, err := s.client.Batch(ctx, id)
	if err != nil {
		return err
	}
	if !status.Batch.Status.Terminal() {
		fmt.Fprintf(s.Stderr, "the batch is not over: %s\n", strings.Join(describe(status), ", "))
	}
	r := &report{client: s.client, status: status, width: s.Width, now: s.Now()}
	write := map[string]func(io.Writer) error{
		"table":   func(w io.Writer) error { return writeResultTable(ctx, w, r, o.metrics, s.Stderr) },
		"json":    func(w io.Writer) error { return orWriteFailed(r.writeJSON(ctx, w)) },
		"csv":     func(w io.Writer) error { return writeExport(ctx, w, r, writeCSV) },
		"parquet": func(w io.Writer) error { return writeExport(ctx, w, r, writeParquet) },
	}
	return writeFile(s.Stdout, o.output, write[o.format])
}

// writeResultTable prints a table of runs, how many ended in which way, and the
// first failures.
func writeResultTable(ctx context.Context, w io.Writer, r *report, metrics []string, notes io.Writer) error {
	var all results
	if err := eachRow(ctx, r.client, r.status.Batch.BatchID, all.add); err != nil {
		return err
	}
	rows, _ := all.shown()
	if len(metrics) == 0 {
		metrics = metricNames(rows)
		if n := len(metrics); n > tableMetrics {
			metrics = metrics[:tableMetrics]
			fmt.Fprintf(notes, "%d of %d metrics shown; --metrics NAME,… chooses, the other formats have all\n", tableMetrics, n)
		}
	}
	out := bufio.NewWriter(w)
	b := r.status.Batch
	fmt.Fprintf(out, "%s: %s, %s sampling, seed %d\n\n", escape(b.Name), runs(b.TotalJobs), escape(strings.ReplaceAll(b.SamplingMethod, "_", " ")), b.Seed)
	if err := all.writeRuns(out, r.width, columns{metrics: metrics}); err != nil {
		return writeFailed(err)
	}
	fmt.Fprintf(out, "\n%s in %s: %s\n", runs(b.TotalJobs), r.elapsed(), all.summary())
	all.writeFailures(out)
	return writeFailed(out.Flush())
}

// metricNames are the metrics that any of the rows has, sorted.
func metricNames(rows []api.RunRow) []string {
	names := map[string]bool{}
	for _, row := range rows {
		for name := range row.Metrics {
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}
