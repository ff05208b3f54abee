package wire

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"google.golang.org/grpc"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/executor/docker"
	"github.com/tetryx/lynx-runner/executor/process"
	"github.com/tetryx/lynx-runner/internal/runner"
	"github.com/tetryx/lynx-runner/internal/runner/config"
	"github.com/tetryx/lynx-runner/internal/runner/host"
	"github.com/tetryx/lynx-runner/internal/runner/shared"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// RunnerOptions is what a runner is made of.
type RunnerOptions struct {
	Config *config.Config
	// Executor launches the jobs; the runner closes it.
	Executor executor.Executor
	// Token is the platform's; empty where it asks for none.
	Token string
	// Alone says that the platform has no other runner.
	Alone   bool
	Version string
	Log     *slog.Logger
}

// Runner is a runner with the things that it uses.
type Runner struct {
	*runner.Runner

	executor executor.Executor
	conn     *grpc.ClientConn
}

// NewRunner makes a runner and prepares its connection to the platform, which
// need not be there yet. It refuses to where the engine would ignore what the
// configuration promises, and logs what that relaxes. If it fails, the executor is
// the caller's to close.
func NewRunner(o RunnerOptions) (*Runner, error) {
	if err := refuse(o.Config, Describe(o.Executor)); err != nil {
		return nil, err
	}
	for _, r := range o.Config.Relaxations {
		o.Log.Warn("jobs are confined less than by default", "setting", r.Setting, "value", r.Value, "meaning", r.Meaning)
	}
	// Jobs, which are less protected, and the engine's containers inherit neither this
	// nor the precedence.
	protected, err := host.Protect()
	switch {
	case err != nil:
		o.Log.Info("this runner's own oom_score_adj can't be lowered; only its jobs' is raised", "error", err)
	case !protected && os.Geteuid() == 0:
		o.Log.Info("this runner may not lower its own oom_score_adj (CAP_SYS_RESOURCE); only its jobs' is raised")
	}
	preceded, err := host.Precede()
	switch {
	case err != nil:
		o.Log.Info("this runner can't be given precedence on busy cores", "error", err)
	case !preceded && os.Geteuid() == 0:
		o.Log.Info("this runner has no precedence on busy cores (CAP_SYS_NICE, or its niceness was chosen): a kill may take longer there")
	}
	if slices.Contains(o.Config.Sandbox.Isolation, config.IsolationBatch) {
		o.Executor = shared.New(o.Executor, shared.Config{
			Dir: shared.Dir(o.Config.OutputRoot, o.Config.RunnerID), UID: os.Geteuid(), Log: o.Log,
		})
	}
	conn, err := Dial(o.Config.Server, o.Token)
	if err != nil {
		return nil, err
	}
	r, err := runner.New(o.Config, runner.Deps{
		Executor: o.Executor,
		Platform: runnerv1.NewRunnerServiceClient(conn),
		Alone:    o.Alone,
		Version:  o.Version,
		Log:      o.Log,
	})
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &Runner{Runner: r, executor: o.Executor, conn: conn}, nil
}

// Close releases what NewRunner made, after Run has returned.
func (r *Runner) Close() error { return errors.Join(r.conn.Close(), r.executor.Close()) }

// NewExecutor makes the executor that the configuration names; docker's connects
// to the engine. An error that wraps executor.ErrUnavailable means that none
// answers.
func NewExecutor(ctx context.Context, cfg *config.Config, log *slog.Logger) (executor.Executor, error) {
	if cfg.Executor == config.ExecutorProcess {
		return newProcessExecutor(cfg, log)
	}
	exec, err := docker.New(ctx, docker.Config{
		RunnerID:      cfg.RunnerID,
		Shim:          cfg.Shim,
		PullPolicy:    docker.PullPolicy(cfg.PullPolicy),
		AllowedImages: cfg.AllowedImages,
		MaxStarts:     cfg.MaxStarts,
		PullsDir:      filepath.Join(cfg.StateDir, "images"),
		Log:           log,
	})
	if err != nil {
		return nil, err
	}
	return exec, nil
}

func newProcessExecutor(cfg *config.Config, log *slog.Logger) (executor.Executor, error) {
	exec, err := process.New(process.Config{
		Shim: cfg.Shim,
		Dir:  filepath.Join(cfg.StateDir, "process"),
		Log:  log,
	})
	if err != nil {
		return nil, err
	}
	return exec, nil
}
