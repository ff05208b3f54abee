package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tetryx/lynx-runner/cmd/internal/wire"
	"github.com/tetryx/lynx-runner/internal/runner"
	"github.com/tetryx/lynx-runner/internal/runner/config"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

func checkCommand(p *program) *cobra.Command {
	var s settings
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Prove that a job could run here, and say what to do if not",
		Long: `Prove that a job could run with this configuration: directories, user ids, the shim,
the engine and what it says of itself, the image, and two small jobs in containers
of their own: one uses its files, sends telemetry and looks at its sandbox, the
other goes against its limits and tells which hold. Nothing of them stays. What the
configuration relaxes is named; so is a platform that does not answer, which is only
a warning.

Exit status: 0 if jobs can run, 1 if not, 2 for an invalid configuration, 3 if the
engine can't be reached.`,
		Example: `  lynx-runner check --config configs/lynx-runner-basilisk.yaml
  lynx-runner check --image my-image:latest --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := s.load(cmd, p.environ)
			if err != nil {
				return err
			}
			found, err := check(p.gentle, cfg)
			if err != nil {
				return err
			}
			return printFindings(p.stdout, found, asJSON)
		},
	}
	s.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func check(ctx context.Context, cfg *config.Config) (*runner.Checked, error) {
	token, err := wire.Token(cfg.TokenFile)
	if err != nil {
		return nil, err
	}
	conn, err := wire.Dial(cfg.Server, token)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	found := runner.Check(ctx, cfg, runner.CheckDeps{
		Platform: runnerv1.NewRunnerServiceClient(conn),
		Connect: func(ctx context.Context) (*runner.Engine, error) {
			exec, err := wire.NewExecutor(ctx, cfg, slog.New(slog.DiscardHandler))
			if err != nil {
				return nil, err
			}
			engine := wire.Describe(exec)
			return &engine, nil
		},
	})
	return found, ctx.Err()
}

// printFindings prints a line for each finding and returns the exit status.
func printFindings(w io.Writer, found *runner.Checked, asJSON bool) error {
	if asJSON {
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(struct {
			OK bool `json:"ok"`
			*runner.Checked
		}{found.OK(), found}); err != nil {
			return failure{err}
		}
	} else {
		out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, f := range found.Findings {
			fmt.Fprintf(out, "%s\t%s\t%s\n", f.Level, f.Subject, f.Detail)
		}
		if err := out.Flush(); err != nil {
			return failure{err}
		}
	}
	switch {
	case found.Unreachable:
		return silent(exitUnreachable)
	case !found.OK():
		return silent(exitFailed)
	}
	return nil
}
