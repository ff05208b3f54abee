package runner

import (
	"context"
	"log/slog"
	"time"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/runner/config"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// Deps is what a Runner works with.
type Deps struct {
	Executor executor.Executor
	// Platform is the platform's client; the connection's credentials are its own.
	Platform runnerv1.RunnerServiceClient
	// Version is the program's version, for the platform and the manifests.
	Version string
	Log     *slog.Logger
	// Now is the clock; time.Now if nil.
	Now func() time.Time
}

// Runner is a worker.
type Runner struct {
	cfg  *config.Config
	deps Deps
}

// New makes a runner and takes its state directory, which no other process may
// use until Run has returned.
func New(cfg *config.Config, deps Deps) (*Runner, error) {
	return &Runner{cfg: cfg, deps: deps}, nil
}

// Run works until it is idle after Drain (nil), or ctx ends: a hard stop, upon
// which jobs are killed and reported as infrastructure (runner_shutdown) within
// about ten seconds. It is called once.
func (r *Runner) Run(ctx context.Context) error { return nil }

// Drain makes the runner take no new jobs; Run returns when the running ones
// have ended and their results are delivered. It may be called at any time, more
// than once.
func (r *Runner) Drain() {}
