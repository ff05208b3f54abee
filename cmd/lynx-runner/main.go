// Command lynx-runner is the worker: it registers with a platform, claims jobs
// and runs each in a container of its own.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/tetryx/lynx-runner/cmd/internal/wire"
	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/runner/config"
)

// version is set by the linker.
var version = "unknown"

func main() {
	gentle, hard, stop := wire.Interrupts()
	defer stop()
	root := &cobra.Command{
		Use:           "lynx-runner",
		Short:         "The Lynx worker: runs each job in a container of its own",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(startCommand(gentle))
	err := root.ExecuteContext(hard)
	if err == nil || errors.Is(err, context.Canceled) {
		return
	}
	fmt.Fprintln(os.Stderr, "lynx-runner:", err)
	if errors.Is(err, executor.ErrUnavailable) {
		os.Exit(3)
	}
	os.Exit(2)
}

// flagNames are the configuration's fields that have a flag of their own.
var flagNames = map[string]string{
	"server":              "the platform's gRPC address, HOST:PORT or unix:///PATH",
	"token-file":          "file with the platform's access token",
	"executor":            "where jobs are launched: docker",
	"runner-id":           "this runner's name at the platform",
	"output-root":         "directory below which every attempt's files lie",
	"working-directory":   "directory with the scenarios",
	"max-concurrent-jobs": "number of jobs at a time",
}

func startCommand(gentle context.Context) *cobra.Command {
	var file string
	values := map[string]*string{}
	cmd := &cobra.Command{
		Use:   "start",
		Short: "Claim and run jobs until stopped",
		Long: `Claim and run jobs until stopped. The first SIGTERM or SIGINT drains the runner: it
takes no new jobs, finishes those that it has and ends. The second kills them; the
platform gives them to another runner.`,
		Example: `  lynx-runner start --server 127.0.0.1:5970 --executor docker
  lynx-runner start --config configs/lynx-runner-basilisk.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			flags := map[string]string{}
			for name, value := range values {
				if cmd.Flags().Changed(name) {
					flags[name] = *value
				}
			}
			cfg, err := config.Load(file, os.Environ(), flags)
			if err != nil {
				return err
			}
			return start(gentle, cmd.Context(), cfg, wire.NewLog(os.Stderr, slog.LevelInfo))
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "configuration file")
	for name, usage := range flagNames {
		values[name] = cmd.Flags().String(name, "", usage)
	}
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
	return errors.Join(r.Run(hard), r.Close())
}
