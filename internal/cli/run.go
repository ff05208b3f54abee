package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/study"
)

// defaultConfig is the runner's file that `lynxctl run` takes if it is there.
const defaultConfig = "configs/lynx-runner-basilisk.yaml"

// runOptions are the flags of `lynxctl run`.
type runOptions struct {
	study     string
	config    string
	runs      int
	executor  string
	output    string
	maxFailed string
	metrics   []string
	json      bool
	verbose   bool
}

func runCommand(p *Program) *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run STUDY",
		Short: "Run a whole study on this machine",
		Long: `Run a whole study on this machine: platform, runner and client in one process.
Progress is shown while it runs, then a table with one row a run. Everything that
the runs left is below the output directory; the exit status says whether the
study passed. Ctrl-C cancels the study in order and leaves nothing running.`,
		Example: `  lynxctl run scenarios/aerospace/configs/basic_orbit_tutorial.yaml --runs 10
  lynxctl run study.yaml --max-failed 2% --output results
  lynxctl run study.yaml --json | jq '.runs[] | select(.status != "Completed")'`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.study = args[0]
			return runStudy(cmd.Context(), p, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.config, "config", "", "the runner's configuration file (default "+defaultConfig+", if it is there)")
	f.IntVar(&o.runs, "runs", 0, "number of runs, instead of the study's")
	f.StringVar(&o.executor, "executor", "", "where jobs are launched, instead of the configuration's: docker")
	f.StringVar(&o.output, "output", "lynx-output", "output directory")
	f.StringVar(&o.maxFailed, "max-failed", "", "how many runs may fail, a count or a percentage, instead of the study's")
	f.StringSliceVar(&o.metrics, "metrics", nil, "metrics of summary.json to show in the table")
	f.BoolVar(&o.json, "json", false, "print the results as JSON instead of a table")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "log what platform and runner do")
	return cmd
}

// runStudy is `lynxctl run`.
func runStudy(ctx context.Context, p *Program, o runOptions) error {
	request, err := o.request()
	if err != nil {
		return err
	}
	local, err := o.start(ctx, p)
	if err != nil {
		return err
	}
	err = o.execute(ctx, p, local, request)
	if stopErr := local.Stop(); stopErr != nil {
		err = errors.Join(exit(ExitUnreachable, fmt.Errorf("stopping: %w", stopErr)), err)
	}
	return err
}

// request reads the study and lets the flags override it.
func (o runOptions) request() (*study.Request, error) {
	request, err := readStudy(o.study)
	if err != nil {
		return nil, err
	}
	if err := applyRuns(request, o.runs); err != nil {
		return nil, err
	}
	if o.maxFailed != "" {
		limit, err := study.ParseMaxFailed(o.maxFailed)
		if err != nil {
			return nil, exit(ExitUsage, fmt.Errorf("--max-failed %s: %w", o.maxFailed, err))
		}
		request.Config.MonteCarlo.MaxFailed = limit
	}
	return request, nil
}

// start starts platform and runner.
func (o runOptions) start(ctx context.Context, p *Program) (Local, error) {
	output, err := filepath.Abs(o.output)
	if err != nil {
		return nil, exit(ExitUsage, fmt.Errorf("--output %s: %w", o.output, err))
	}
	config := o.config
	if config == "" {
		if _, err := os.Stat(defaultConfig); err == nil {
			config = defaultConfig
		}
	}
	local, err := p.Start(ctx, LocalOptions{
		Config: config, Executor: o.executor, Output: output, Verbose: o.verbose,
	})
	if err != nil {
		return nil, startError(err)
	}
	return local, nil
}

// startError gives err an exit status, if it has none yet: it is the engine or
// the platform that can't be had.
func startError(err error) error {
	var withStatus *ExitError
	if errors.As(err, &withStatus) {
		return err
	}
	return exit(ExitUnreachable, err)
}

// execute submits the study, follows it to its end and prints the results.
func (o runOptions) execute(ctx context.Context, p *Program, local Local, request *study.Request) error {
	client := local.Client()
	body, err := json.Marshal(request)
	if err != nil {
		return exit(ExitUsage, fmt.Errorf("study %s: %w", o.study, err))
	}
	submission, err := client.Submit(ctx, body, api.JSON)
	if err != nil {
		return clientError(err)
	}
	o.announce(p, request, submission)
	status, err := o.wait(ctx, p, local, submission.BatchID)
	if err != nil {
		return err
	}
	return o.report(context.WithoutCancel(ctx), p, client, request, status)
}

// announce says what runs and where its files will be.
func (o runOptions) announce(p *Program, request *study.Request, s *api.Submission) {
	for _, warning := range s.Warnings {
		fmt.Fprintln(p.Stderr, "warning:", escape(warning))
	}
	fmt.Fprintf(p.Stderr, "%s: %d runs, seed %d\n", escape(request.Name), s.TotalJobs, s.Seed)
	fmt.Fprintf(p.Stderr, "files: %s\n", filepath.Join(o.output, s.BatchID))
	if err := linkLatest(o.output, s.BatchID); err != nil {
		fmt.Fprintln(p.Stderr, "warning:", err)
	}
}

// linkLatest makes <output>/latest point to the newest batch.
func linkLatest(output, batch string) error {
	link := filepath.Join(output, "latest")
	if info, err := os.Lstat(link); err == nil && info.Mode()&os.ModeSymlink == 0 {
		return fmt.Errorf("%s is not a link; it stays as it is", link)
	}
	fresh := filepath.Join(output, ".latest-"+batch)
	if err := os.Symlink(batch, fresh); err != nil {
		return fmt.Errorf("link to the newest batch: %w", err)
	}
	if err := os.Rename(fresh, link); err != nil {
		return errors.Join(fmt.Errorf("link to the newest batch: %w", err), os.Remove(fresh))
	}
	return nil
}

// wait follows the batch to its end. When the user interrupts, it cancels the
// batch and waits for that end. A batch without its platform or runner would
// never end, so their failure ends the waiting.
func (o runOptions) wait(ctx context.Context, p *Program, local Local, batch string) (*api.BatchStatus, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	show := newProgress(p.Stderr, p.Terminal, p.Now)
	defer show.done()
	go func() {
		select {
		case <-local.Failed():
			cancel(errLocalFailed)
		case <-ctx.Done():
		}
	}()
	stop := context.AfterFunc(p.Interrupt, func() {
		show.note("interrupted: cancelling the study (once more kills it)")
		if _, err := local.Client().CancelBatch(ctx, batch); err != nil {
			show.note("cancel: " + err.Error())
		}
	})
	defer stop()
	f := &follower{client: local.Client(), batch: batch, show: show, told: map[string]bool{}}
	status, err := f.follow(ctx)
	switch {
	case errors.Is(context.Cause(ctx), errLocalFailed):
		return nil, exit(ExitUnreachable, errLocalFailed)
	case ctx.Err() != nil:
		return nil, exit(ExitInterrupted, errors.New("interrupted; what ran was killed"))
	}
	return status, clientError(err)
}

var errLocalFailed = errors.New("platform or runner ended before the study did")

// clientError gives an error of a call its exit status.
func clientError(err error) error {
	var problem *api.Problem
	switch {
	case err == nil:
		return nil
	case errors.As(err, &problem) && problem.Status < 500:
		return exit(ExitUsage, err)
	default:
		return exit(ExitUnreachable, err)
	}
}

// report prints the results and returns the study's verdict.
func (o runOptions) report(ctx context.Context, p *Program, client *api.Client, request *study.Request, status *api.BatchStatus) error {
	rows, units, err := collect(ctx, client, status.Batch.BatchID)
	if err != nil {
		return clientError(err)
	}
	if o.json {
		if err := writeRunsJSON(p.Stdout, status, rows, units); err != nil {
			return exit(ExitFailed, err)
		}
	} else if err := o.writeReport(p, request, status, rows, units); err != nil {
		return exit(ExitFailed, err)
	}
	return verdict(p, status)
}

func (o runOptions) writeReport(p *Program, request *study.Request, status *api.BatchStatus, rows []api.RunRow, units map[string]string) error {
	shown := defaultColumns(request)
	if len(o.metrics) > 0 {
		shown = columns{metrics: o.metrics}
	}
	if err := writeRuns(p.Stdout, rows, units, shown); err != nil {
		return err
	}
	writeOutcomes(p.Stdout, rows, elapsed(status, p.Now()).Seconds())
	for _, row := range firstFailures(rows) {
		fmt.Fprintf(p.Stdout, "run %d: %s\n", row.RunIndex, escape(failureOf(row.Outcome, row.ErrorMessage, row.Status)))
	}
	fmt.Fprintf(p.Stdout, "Files: %s/<run>/attempt-<n>/: output/, log/, run_config.json, telemetry.parquet, manifest.json\n",
		filepath.Join(o.output, status.Batch.BatchID))
	return nil
}

// firstFailures are the first runs that did not complete, for their messages.
func firstFailures(rows []api.RunRow) []api.RunRow {
	bad := slices.DeleteFunc(slices.Clone(rows), func(r api.RunRow) bool {
		return r.Status == api.JobCompleted || r.ErrorMessage == nil || *r.ErrorMessage == ""
	})
	return bad[:min(len(bad), failureNotes)]
}

// elapsed is how long the batch took, from its submission.
func elapsed(status *api.BatchStatus, now time.Time) time.Duration {
	if end := status.Batch.CompletedAt; end != nil {
		return end.Sub(status.Batch.CreatedAt)
	}
	return now.Sub(status.Batch.CreatedAt)
}

// writeRunsJSON prints everything that the platform has about the batch.
func writeRunsJSON(w interface{ Write([]byte) (int, error) }, status *api.BatchStatus, rows []api.RunRow, units map[string]string) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(struct {
		Batch api.Batch         `json:"batch"`
		Units map[string]string `json:"units"`
		Runs  []api.RunRow      `json:"runs"`
	}{status.Batch, units, rows})
}

// verdict is the exit status of a study that has ended.
func verdict(p *Program, status *api.BatchStatus) error {
	switch {
	case p.Interrupt.Err() != nil:
		return &ExitError{Status: ExitInterrupted}
	case status.Batch.Status == api.BatchCompleted:
		return nil
	default:
		return exit(ExitFailed, fmt.Errorf("the study %s: %s", map[api.BatchState]string{
			api.BatchFailed: "failed", api.BatchCancelled: "was cancelled",
		}[status.Batch.Status], describe(status)))
	}
}
