package wire

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/executor/docker"
	"github.com/tetryx/lynx-runner/internal/platform/auth"
	"github.com/tetryx/lynx-runner/internal/runner"
	"github.com/tetryx/lynx-runner/internal/runner/config"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// RunnerOptions is what a runner is made of.
type RunnerOptions struct {
	Config *config.Config
	// Token is the platform's; empty where it asks for none.
	Token   string
	Version string
	Log     *slog.Logger
}

// Runner is a runner with the things that it uses.
type Runner struct {
	*runner.Runner

	executor executor.Executor
	conn     *grpc.ClientConn
}

// NewRunner connects a runner to its engine, which must answer, and prepares its
// connection to the platform, which need not be there yet.
func NewRunner(ctx context.Context, o RunnerOptions) (*Runner, error) {
	exec, err := newExecutor(ctx, o.Config, o.Log)
	if err != nil {
		return nil, err
	}
	conn, err := dial(o.Config.Server, o.Token)
	if err != nil {
		return nil, errors.Join(err, exec.Close())
	}
	r, err := runner.New(o.Config, runner.Deps{
		Executor: exec,
		Platform: runnerv1.NewRunnerServiceClient(conn),
		Version:  o.Version,
		Log:      o.Log,
	})
	if err != nil {
		return nil, errors.Join(err, conn.Close(), exec.Close())
	}
	return &Runner{Runner: r, executor: exec, conn: conn}, nil
}

// Close releases what NewRunner made, after Run has returned.
func (r *Runner) Close() error { return errors.Join(r.conn.Close(), r.executor.Close()) }

func newExecutor(ctx context.Context, cfg *config.Config, log *slog.Logger) (executor.Executor, error) {
	return docker.New(ctx, docker.Config{
		RunnerID:      cfg.RunnerID,
		Shim:          cfg.Shim,
		PullPolicy:    docker.PullPolicy(cfg.PullPolicy),
		AllowedImages: cfg.AllowedImages,
		Log:           log,
	})
}

// dial prepares a connection to the platform's gRPC interface. The token goes
// over it in the clear, so over a network it belongs inside a tunnel.
func dial(server, token string) (*grpc.ClientConn, error) {
	target := server
	if !strings.HasPrefix(server, "unix:") {
		// Not the dns resolver, which looks up more than the address.
		target = "passthrough:///" + server
	}
	options := []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
	if token != "" {
		options = append(options, grpc.WithPerRPCCredentials(auth.Credentials(token)))
	}
	conn, err := grpc.NewClient(target, options...)
	if err != nil {
		return nil, fmt.Errorf("server %q: %w", server, err)
	}
	return conn, nil
}
