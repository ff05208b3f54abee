package cli

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tetryx/lynx-runner/api"
)

// messageWidth is how much of a message a table shows, in characters.
const messageWidth = 60

func jobsCommand(c *connection) *cobra.Command {
	var status string
	var limit int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "jobs BATCH",
		Short: "List the jobs of a batch, by run",
		Long:  "List the jobs of a batch, by run.\n" + references,
		Example: `  lynxctl jobs last --status failed
  lynxctl jobs last --json | jq -r '.[] | select(.retries > 0) | .run_config.run_id'`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeBatches,
		RunE: c.run(func(ctx context.Context, s *session, args []string) error {
			state, err := jobState(status)
			if err != nil {
				return exit(ExitUsage, err)
			}
			if limit < 0 {
				return exit(ExitUsage, errors.New("--limit must be 0 (all) or more"))
			}
			id, err := s.batch(ctx, args[0])
			if err != nil {
				return err
			}
			list := first(limit, s.jobs(ctx, id, state))
			if asJSON {
				return writeList(s.Stdout, list)
			}
			return s.writeJobs(list)
		}),
	}
	f := cmd.Flags()
	f.StringVar(&status, "status", "", "only jobs in this state: "+strings.Join(stateNames(), ", "))
	f.IntVar(&limit, "limit", 0, "how many to list at the most; 0 lists all")
	f.BoolVar(&asJSON, "json", false, "print a JSON array")
	_ = cmd.RegisterFlagCompletionFunc("status", cobra.FixedCompletions(stateNames(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func stateNames() []string {
	var names []string
	for _, s := range api.JobStates() {
		names = append(names, string(s))
	}
	return names
}

// jobState takes a state in any case; none means all.
func jobState(name string) (api.JobState, error) {
	if name == "" {
		return "", nil
	}
	for _, s := range api.JobStates() {
		if strings.EqualFold(name, string(s)) {
			return s, nil
		}
	}
	return "", fmt.Errorf("--status %s: must be one of %s", name, strings.Join(stateNames(), ", "))
}

func (s *session) writeJobs(list iter.Seq2[api.Job, error]) error {
	t := &table{}
	t.column("run", true)
	t.column("job", false)
	t.column("status", false)
	t.column("outcome", false)
	t.column("attempt", true)
	t.column("runner", false)
	t.column("time [s]", true)
	t.column("message", false)
	for j, err := range list {
		if err != nil {
			return err
		}
		attempt := ""
		if j.Attempt > 0 {
			attempt = strconv.Itoa(j.Attempt)
		}
		t.row(strconv.Itoa(j.RunConfig.RunIndex), j.JobID, jobStatus(&j), optional(j.Outcome, func(o api.Outcome) string { return string(o) }),
			attempt, deref(j.AssignedRunner), s.took(j.StartedAt, j.CompletedAt), shorten(messageOf(&j)))
	}
	if len(t.rows) == 0 {
		fmt.Fprintln(s.Stderr, "no such jobs")
		return nil
	}
	return writeFailed(t.write(s.Stdout, s.Width))
}

func jobStatus(j *api.Job) string {
	if j.CancelRequested && !j.Status.Terminal() {
		return string(j.Status) + ", being cancelled"
	}
	return string(j.Status)
}

// messageOf is why a job is not taken or, if it is or only has to wait for a free
// runner, what its last attempt had to say.
func messageOf(j *api.Job) string {
	if why := deref(j.PendingReason); why != "" {
		return "waits: " + why
	}
	return deref(j.ErrorMessage)
}

// shorten keeps the beginning of a message's first line, escaped.
func shorten(message string) string {
	line, _, more := strings.Cut(message, "\n")
	line = escape(line)
	if text := []rune(line); len(text) > messageWidth {
		line, more = string(text[:messageWidth-1]), true
	}
	if more {
		line += "…"
	}
	return line
}

func deref(s *string) string { return optional(s, func(s string) string { return s }) }
