package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/spf13/cobra"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/study"
)

// defaultConfig is the runner's file that `lynxctl run` takes if it is there.
const defaultConfig = "configs/lynx-runner-basilisk.yaml"

// runOptions are the flags of `lynxctl run`.
type runOptions struct {
	study  string
	resume string
	config string
	// configFound says that nobody named config.
	configFound bool

	work      string
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
		Use:   "run STUDY | run --resume DIR",
		Short: "Run a whole study on this machine",
		Long: `Run a whole study on this machine: platform, runner and client in one process.
Progress is shown while it runs, then a table with one row a run. Everything that
the runs left is below the output directory.

The scenario is what the study names as simulation.entrypoint. It is looked for in
the working directory: that of --working-directory or of the runner's file or,
where neither names one, a copy of the directory that STUDY is in, made when the
study starts, without hidden files and without earlier outputs. Every job can read
all of it, and nothing else of this machine.

Ctrl-C cancels the study in order and leaves nothing running; a second one kills
it. --resume continues a study that was interrupted, by Ctrl-C or otherwise, where
it was: runs that have ended stay as they are, the rest is run. DIR is the output
directory, of which it takes the newest study, or <output>/<batch>.
 The exit status is 0 if the study passed, 1 if runs failed (more of them than
--max-failed allows), 2 for wrong usage or an invalid file, 3 where the engine
can't be reached, and 130 when interrupted.`,
		Example: `  lynxctl run my_study.yaml
  lynxctl run scenarios/aerospace/configs/basic_orbit_tutorial.yaml --runs 10
  lynxctl run study.yaml --working-directory ~/sims --max-failed 2% --output results
  lynxctl run --resume lynx-output
  lynxctl run study.yaml --json | jq '.runs[] | select(.status != "Completed")'`,
		Args: func(cmd *cobra.Command, args []string) error { return o.arguments(cmd, args) },
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.study = args[0]
			}
			return runStudy(cmd.Context(), p, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.config, "config", "", "the runner's configuration file (default "+defaultConfig+", if it is there)")
	f.StringVar(&o.work, "working-directory", "", "directory with the scenarios, instead of the configuration's")
	f.IntVar(&o.runs, "runs", 0, "number of runs, instead of the study's")
	f.StringVar(&o.executor, "executor", "", "where jobs are launched, instead of the configuration's: docker or process")
	f.StringVar(&o.output, "output", "lynx-output", "output directory")
	f.StringVar(&o.resume, "resume", "", "continue the study that was interrupted in this `directory`")
	_ = cmd.MarkFlagDirname("resume")
	f.StringVar(&o.maxFailed, "max-failed", "", "how many runs may fail, a count or a percentage, instead of the study's")
	f.StringSliceVar(&o.metrics, "metrics", nil, "metrics of summary.json to show in the table")
	f.BoolVar(&o.json, "json", false, "print the results as JSON instead of a table")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "log what platform and runner do")
	return cmd
}

// arguments checks what is named: a study, or a directory to resume, in which
// everything about the study is settled.
func (o *runOptions) arguments(cmd *cobra.Command, args []string) error {
	if o.resume == "" {
		return cobra.ExactArgs(1)(cmd, args)
	}
	if len(args) > 0 {
		return fmt.Errorf("%s: --resume takes the study from its directory", args[0])
	}
	for _, name := range []string{"runs", "max-failed", "output"} {
		if cmd.Flags().Changed(name) {
			return fmt.Errorf("--%s: a study that is resumed keeps what it began with", name)
		}
	}
	return nil
}

// runStudy is `lynxctl run`.
func runStudy(ctx context.Context, p *Program, o runOptions) error {
	file, batch, err := o.request()
	if err != nil {
		return err
	}
	if o.config == "" {
		if _, err := os.Stat(defaultConfig); err == nil {
			o.config, o.configFound = defaultConfig, true
		}
	}
	local, err := o.start(ctx, p, file.Request)
	if err != nil {
		return err
	}
	err = o.execute(ctx, p, local, file, batch)
	stopErr := local.Stop()
	switch {
	case stopErr == nil:
		return err
	case errors.Is(err, errLocalFailed): // here is why
		return exit(ExitUnreachable, fmt.Errorf("%w: %w", errLocalFailed, stopErr))
	default:
		return exit(max(ExitStatus(err), ExitFailed), errors.Join(spoken(err), fmt.Errorf("stopping: %w", stopErr)))
	}
}

// request reads the study and lets the flags override it. Of one that is resumed
// it also returns the batch.
func (o *runOptions) request() (file *studyFile, batch string, err error) {
	if o.resume != "" {
		batch, file, err = o.recall()
		return file, batch, err
	}
	if file, err = readStudy(o.study); err != nil {
		return nil, "", err
	}
	if err := applyRuns(file.Request, o.runs); err != nil {
		return nil, "", err
	}
	if o.maxFailed != "" {
		limit, err := study.ParseMaxFailed(o.maxFailed)
		if err != nil {
			return nil, "", exit(ExitUsage, fmt.Errorf("--max-failed %s: %w", o.maxFailed, err))
		}
		file.Config.MonteCarlo.MaxFailed = limit
	}
	return file, "", nil
}

// start starts platform and runner. Ctrl-C ends that.
func (o runOptions) start(ctx context.Context, p *Program, request *study.Request) (Local, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.Interrupt, cancel)()
	output, err := filepath.Abs(o.output)
	if err != nil {
		return nil, exit(ExitUsage, fmt.Errorf("--output %s: %w", o.output, err))
	}
	local, err := p.Start(ctx, LocalOptions{
		Config: o.config, ConfigFound: o.configFound, Executor: o.executor, WorkingDirectory: o.work, Output: output, Verbose: o.verbose,
		Study: o.study, Simulation: request.Config.Simulation, Image: request.Config.Compute.Container.Image,
	})
	switch {
	case err == nil:
		return local, nil
	case ctx.Err() != nil:
		return nil, exit(ExitInterrupted, errors.New("interrupted before the study began"))
	}
	return nil, startError(err)
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

// execute submits the study, or resumes a batch, follows it to its end and prints
// the results.
func (o runOptions) execute(ctx context.Context, p *Program, local Local, file *studyFile, batch string) error {
	client := local.Client()
	var err error
	if batch == "" {
		batch, err = o.submit(ctx, p, client, file)
	} else {
		err = o.resumeBatch(ctx, p, client, batch)
	}
	if err != nil {
		return err
	}
	status, err := o.wait(ctx, p, local, batch)
	if err != nil {
		return err
	}
	return o.report(context.WithoutCancel(ctx), p, client, file, status)
}

// submit hands in the study.
func (o runOptions) submit(ctx context.Context, p *Program, client *api.Client, file *studyFile) (batch string, err error) {
	if err := setAside(ctx, p, client, o.output, ""); err != nil {
		return "", err
	}
	body, err := json.Marshal(file.Request)
	if err != nil {
		return "", exit(ExitUsage, fmt.Errorf("study %s: %w", o.study, err))
	}
	submission, err := client.Submit(ctx, body, api.JSON)
	if err != nil {
		return "", clientError(err)
	}
	o.announce(p, file.Request, submission)
	if err := o.remember(file, submission.BatchID); err != nil {
		fmt.Fprintln(p.Stderr, "warning: this study could not be resumed after an interruption:", err)
	}
	return submission.BatchID, nil
}

// announce says what runs and where its files will be.
func (o runOptions) announce(p *Program, request *study.Request, s *api.Submission) {
	for _, warning := range s.Warnings {
		fmt.Fprintln(p.Stderr, "warning:", escape(warning))
	}
	fmt.Fprintf(p.Stderr, "%s: %s, seed %d\n", escape(request.Name), runs(s.TotalJobs), s.Seed)
	o.showFiles(p, s.BatchID)
}

// showFiles says where the batch's files are, and links to them.
func (o runOptions) showFiles(p *Program, batch string) {
	fmt.Fprintf(p.Stderr, "files: %s\n", filepath.Join(o.output, batch))
	if err := linkLatest(o.output, batch); err != nil {
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
	// A log in between would tear a bar apart.
	show := newProgress(p.Stderr, p.Terminal && !o.verbose, p.Now)
	var watchers sync.WaitGroup
	defer func() {
		cancel(nil)
		watchers.Wait()
		show.done()
	}()
	watchers.Go(func() {
		select {
		case <-local.Failed():
			cancel(errLocalFailed)
		case <-ctx.Done():
		}
	})
	watchers.Go(func() {
		select {
		case <-p.Interrupt.Done():
			show.note("interrupted: cancelling the study (once more kills it)")
			if _, err := local.Client().CancelBatch(ctx, batch); err != nil && ctx.Err() == nil {
				show.note("the study can't be cancelled: " + err.Error())
			}
		case <-ctx.Done():
		}
	})
	f := &follower{client: local.Client(), batch: batch, show: show, pause: pollPause}
	status, err := f.follow(ctx)
	switch {
	case err == nil:
		return status, nil
	case errors.Is(context.Cause(ctx), errLocalFailed):
		return nil, exit(ExitUnreachable, errLocalFailed)
	case ctx.Err() != nil:
		return nil, exit(ExitInterrupted, errors.New("interrupted; what ran was killed"))
	}
	return nil, clientError(err)
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
func (o runOptions) report(ctx context.Context, p *Program, client *api.Client, file *studyFile, status *api.BatchStatus) error {
	r := &report{
		client: client, status: status, dir: filepath.Join(o.output, status.Batch.BatchID), width: p.Width, now: p.Now(),
		columns: columns{parameters: file.order, telemetry: watched(file.Request), metrics: o.metrics},
	}
	write := r.write
	if o.json {
		write = r.writeJSON
	}
	if err := write(ctx, p.Stdout); err != nil {
		var withStatus *ExitError
		if errors.As(err, &withStatus) {
			return err
		}
		return exit(ExitFailed, fmt.Errorf("results: %w", err))
	}
	return verdict(p, status)
}

// verdict is the exit status of a study that has ended.
func verdict(p *Program, status *api.BatchStatus) error {
	b := status.Batch
	switch {
	case p.Interrupt.Err() != nil:
		return &ExitError{Status: ExitInterrupted}
	case b.Status == api.BatchCompleted:
		return nil
	case b.Status == api.BatchCancelled:
		return exit(ExitFailed, errors.New("the study was cancelled"))
	default:
		return exit(ExitFailed, fmt.Errorf("the study failed: %d of %s failed, more than the %d that may (--max-failed)",
			b.FailedJobs, runs(b.TotalJobs), b.MaxFailed))
	}
}
