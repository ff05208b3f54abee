package main

import (
	"context"
	"errors"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/tetryx/lynx-runner/cmd/internal/wire"
	"github.com/tetryx/lynx-runner/internal/runner/config"
)

func startCommand(p *program) *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   "start",
		Short: "Claim and run jobs until stopped",
		Long: `Claim and run jobs until stopped. The first SIGTERM or SIGINT drains the runner: it
takes no new jobs, finishes those that it has and ends. The second kills them; the
platform gives them to another runner, and the exit status is 130.`,
		Example: `  lynx-runner start --server 127.0.0.1:5970 --executor docker
  lynx-runner start --config configs/lynx-runner-basilisk.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := s.load(cmd, p.environ)
			if err != nil {
				return err
			}
			return start(p.gentle, cmd.Context(), cfg, wire.NewLog(os.Stderr, slog.LevelInfo))
		},
	}
	s.add(cmd)
	return cmd
}

// start runs a runner: gentle's end drains it, hard's end kills its jobs.
func start(gentle, hard context.Context, cfg *config.Config, log *slog.Logger) error {
	token, err := wire.Token(cfg.TokenFile)
	if err != nil {
		return err
	}
	exec, err := wire.NewExecutor(hard, cfg, log)
	if err != nil {
		return err
	}
	r, err := wire.NewRunner(wire.RunnerOptions{Config: cfg, Executor: exec, Token: token, Version: version, Log: log})
	if err != nil {
		return errors.Join(err, exec.Close())
	}
	stop := context.AfterFunc(gentle, func() {
		log.Info("draining: no new jobs; once more kills the running ones")
		r.Drain()
	})
	defer stop()
	if err := errors.Join(r.Run(hard), r.Close()); err != nil {
		return failure{err}
	}
	return nil
}
