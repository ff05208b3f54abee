package cli

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/strictyaml"
)

func runnersCommand(c *connection) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "runners",
		Short: "List the runners and what they do",
		Long: `List the runners and what they do: Idle, Busy, Offline (not heard of for 30 s) or
Maintenance (drained).`,
		Example: `  lynxctl runners
  lynxctl runners --json | jq -r '.[] | select(.status == "Offline") | .runner_id'`,
		Args: cobra.NoArgs,
		RunE: c.run(func(ctx context.Context, s *session, _ []string) error {
			if asJSON {
				return writeList(s.Stdout, s.runners(ctx))
			}
			return s.writeRunners(ctx)
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

func drainCommand(c *connection) *cobra.Command {
	return runnerCommand(c, &cobra.Command{
		Use:   "drain RUNNER",
		Short: "Give a runner no new jobs; those that it has go on",
		Long: `Give a runner no new jobs; those that it has go on. The runner stays connected, in
state Maintenance, until ` + "`lynxctl resume`" + `; a restart of it changes nothing.`,
		Example: `  lynxctl drain lab-1
  lynxctl runners        # active jobs: how many it still has`,
	}, (*api.Client).Drain)
}

func resumeCommand(c *connection) *cobra.Command {
	return runnerCommand(c, &cobra.Command{
		Use:     "resume RUNNER",
		Short:   "Give a drained runner jobs again",
		Example: `  lynxctl resume lab-1`,
	}, (*api.Client).Resume)
}

// runnerCommand completes a command that does something with one runner.
func runnerCommand(c *connection, cmd *cobra.Command, call func(*api.Client, context.Context, string) (*api.Runner, error)) *cobra.Command {
	var asJSON bool
	cmd.Args = cobra.ExactArgs(1)
	cmd.ValidArgsFunction = c.completeRunners
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the runner as JSON")
	cmd.RunE = c.run(func(ctx context.Context, s *session, args []string) error {
		if err := checkReference(args[0]); err != nil {
			return err
		}
		runner, err := call(s.client, ctx, args[0])
		switch {
		case isNotFound(err):
			return s.noRunner(ctx, args[0])
		case err != nil:
			return err
		case asJSON:
			return writeObject(s.Stdout, runner)
		}
		_, err = fmt.Fprintf(s.Stdout, "%s: %s, active jobs: %d\n", escape(runner.RunnerID), escape(string(runner.Status)), runner.ActiveJobs)
		return writeFailed(err)
	})
	return cmd
}

// noRunner names the runners that there are.
func (s *session) noRunner(ctx context.Context, id string) error {
	var known []string
	for r, err := range s.runners(ctx) {
		if err != nil {
			return err
		}
		known = append(known, r.RunnerID)
	}
	if near := strictyaml.Nearest(id, known); near != "" {
		return noSuch("no runner %q; did you mean %s? (`lynxctl runners` lists them)", id, escape(near))
	}
	return noSuch("no runner %q; `lynxctl runners` lists them", id)
}

// runners yields every runner, by id.
func (s *session) runners(ctx context.Context) iter.Seq2[api.Runner, error] {
	return walk(func(l api.List) (*api.Page[api.Runner], error) { return s.client.Runners(ctx, l) })
}

func (s *session) writeRunners(ctx context.Context) error {
	t := &table{}
	var paused []string
	t.column("runner", false)
	t.column("status", false)
	t.column("active jobs", true)
	t.column("slots", true)
	t.column("executor", false)
	t.column("CPUs", true)
	t.column("memory [GB]", true)
	t.column("GPUs", true)
	t.column("simulations", false)
	t.column("host", false)
	t.column("version", false)
	t.column("heard of", true)
	for r, err := range s.runners(ctx) {
		if err != nil {
			return err
		}
		c := r.Capabilities
		if r.Paused != "" {
			paused = append(paused, fmt.Sprintf("%s takes no new jobs for now: %s", escape(r.RunnerID), escape(r.Paused)))
		}
		t.row(r.RunnerID, runnerStatus(&r), strconv.Itoa(r.ActiveJobs), strconv.Itoa(c.MaxConcurrentJobs), r.Executor,
			strconv.FormatFloat(c.CPUCores, 'f', -1, 64), strconv.FormatFloat(c.MemoryGB, 'f', 1, 64), gpuText(&c),
			strings.Join(c.SupportedSimulationTypes, ","), r.Hostname, r.Version, roughly(max(s.Now().Sub(r.LastHeartbeatAt), 0))+" ago")
	}
	if len(t.rows) == 0 {
		fmt.Fprintln(s.Stderr, "no runners yet; `lynx-runner start --server HOST:5970` starts one")
		return nil
	}
	if err := t.write(s.Stdout, s.Width); err != nil {
		return writeFailed(err)
	}
	for _, line := range paused {
		fmt.Fprintln(s.Stderr, line)
	}
	return nil
}

// gpuText is how many GPUs a runner has, as far as it says.
func gpuText(c *api.Capabilities) string {
	if c.GPUs == 0 && c.GPUAvailable {
		return "yes"
	}
	return strconv.Itoa(c.GPUs)
}

func runnerStatus(r *api.Runner) string {
	if r.Paused != "" {
		return string(r.Status) + ", paused"
	}
	return string(r.Status)
}
