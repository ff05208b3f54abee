package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tetryx/lynx-runner/cmd/internal/wire"
	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/runner/config"
	"github.com/tetryx/lynx-runner/internal/runner/host"
	"github.com/tetryx/lynx-runner/internal/runner/journal"
	"github.com/tetryx/lynx-runner/internal/runner/retention"
)

// cleanOptions are the flags of clean that are no settings.
type cleanOptions struct {
	dryRun, asJSON  bool
	olderThan, keep string
}

func cleanCommand(p *program) *cobra.Command {
	var s settings
	var o cleanOptions
	cmd := &cobra.Command{
		Use:   "clean",
		Short: "Remove old results, and what nobody needs any more",
		Long: `Remove what this runner left and nobody needs any more: sockets and containers of
attempts that are over, images that lost their name to a newer build, and, beyond the
bounds of the section retention or of the flags, results, rejected results and images
that were pulled. Without bounds no result is removed. One that runs, is not
delivered, or whose files are not sent, always stays.

Results may be cleaned while the runner runs; everything but results and rejected
results is then left out. Exit status: 0 done, 1 if something could not be removed, 2 for
an invalid configuration or a state directory that no runner has used, 3 if the engine
can't be reached (results were cleaned).`,
		Example: `  lynx-runner clean --config configs/lynx-runner-basilisk.yaml --older-than 30d --dry-run
  lynx-runner clean --keep 50Gi`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := s.load(cmd, p.environ)
			if err != nil {
				return err
			}
			if err := o.apply(&cfg.Retention); err != nil {
				return err
			}
			return clean(p, cfg, o)
		},
	}
	s.add(cmd)
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "say what would be removed, and remove nothing")
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print JSON")
	cmd.Flags().StringVar(&o.olderThan, "older-than", "", "remove results and rejected results older than that, and pulled images not used for so long (30d, 2w, 36h)")
	cmd.Flags().StringVar(&o.keep, "keep", "", "remove the oldest results until the others take up no more than that (50Gi)")
	return cmd
}

// apply lays the flags over the configuration's bounds.
func (o cleanOptions) apply(r *config.Retention) error {
	if o.olderThan != "" {
		age, err := config.ParseAge(o.olderThan)
		if err != nil {
			return fmt.Errorf("--older-than: %w", err)
		}
		r.OutputAge, r.ImageAge, r.RejectedAge = &age, &age, &age
	}
	if o.keep != "" {
		size, err := config.ParseSize(o.keep)
		if err != nil {
			return fmt.Errorf("--keep: %w", err)
		}
		r.OutputBytes = &size
	}
	return nil
}

func clean(p *program, cfg *config.Config, o cleanOptions) error {
	options := retention.Options{Config: cfg, DryRun: o.dryRun}
	if cfg.Executor == config.ExecutorDocker {
		options.Engine = func(ctx context.Context) (executor.Cleaner, func(), error) { return cleaner(ctx, cfg) }
	}
	report, err := retention.Clean(p.gentle, options)
	if errors.Is(err, journal.ErrNoState) {
		return err
	}
	if err := printReport(p.stdout, p.stderr, report, o); err != nil {
		return err
	}
	switch {
	case err != nil:
		return failure{err}
	case report.Failed() > 0:
		return silent(exitFailed)
	}
	return nil
}

// cleaner connects to the engine.
func cleaner(ctx context.Context, cfg *config.Config) (executor.Cleaner, func(), error) {
	exec, err := wire.NewExecutor(ctx, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, nil, err
	}
	c, ok := exec.(executor.Cleaner)
	if !ok {
		return nil, nil, errors.Join(fmt.Errorf("executor %s has nothing to clean", exec.Name()), exec.Close())
	}
	return c, func() { _ = exec.Close() }, nil
}

// printReport prints a line for each thing, and the total.
func printReport(stdout, stderr io.Writer, report *retention.Report, o cleanOptions) error {
	if o.asJSON {
		encoder := json.NewEncoder(stdout)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		err := encoder.Encode(struct {
			DryRun bool  `json:"dry_run"`
			Bytes  int64 `json:"bytes"`
			*retention.Report
		}{o.dryRun, report.Bytes(), report})
		if err != nil {
			return failure{err}
		}
		return nil
	}
	for _, note := range report.Notes {
		fmt.Fprintln(stderr, "note:", note)
	}
	out := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	if len(report.Items) > 0 {
		fmt.Fprintln(out, "WHAT\tWHERE\tSIZE\tAGE\tWHY")
	}
	for _, i := range report.Items {
		why := i.Why
		if i.Error != "" {
			why = "FAILED: " + oneLine(i.Error)
		}
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\n", i.Kind, printable(i.Where), sizeText(i.Bytes), ageText(time.Since(i.Since)), why)
	}
	if err := out.Flush(); err != nil {
		return failure{err}
	}
	verb := "removed"
	if o.dryRun {
		verb = "would be removed"
	}
	total := fmt.Sprintf("%s: %d, %s", verb, len(report.Items)-report.Failed(), host.Bytes(report.Bytes()))
	if n := report.Failed(); n > 0 {
		total += fmt.Sprintf("; failed: %d", n)
	}
	if _, err := fmt.Fprintln(stdout, total); err != nil {
		return failure{err}
	}
	return nil
}

// printable is a name as it is, or quoted where a terminal could take it for more.
func printable(name string) string {
	for _, r := range name {
		if !strconv.IsPrint(r) {
			return strconv.Quote(name)
		}
	}
	return name
}

// oneLine is an error that may quote names from a disk, safe for a terminal.
func oneLine(text string) string {
	quoted := strconv.Quote(text)
	return quoted[1 : len(quoted)-1]
}

// sizeText is a number of bytes; nothing where it is not known.
func sizeText(n int64) string {
	if n == 0 {
		return "-"
	}
	return host.Bytes(n)
}

// ageText is an age in its largest unit.
func ageText(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%dd", int(d.Hours())/24)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	case d >= 2*time.Minute:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	}
	return fmt.Sprintf("%ds", max(0, int(d.Seconds())))
}
