package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/tetryx/lynx-runner/api"
)

// completionWait bounds how long a shell waits for names to complete with.
const completionWait = 2 * time.Second

// completeBatches offers the newest batches' ids.
func (c *connection) completeBatches(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return c.complete(cmd, args, func(ctx context.Context, s *session) ([]cobra.Completion, error) {
		page, err := s.client.Batches(ctx, api.List{Limit: 20})
		if err != nil {
			return nil, err
		}
		names := []cobra.Completion{cobra.CompletionWithDesc(newest, "the newest batch")}
		for _, b := range page.Items {
			names = append(names, cobra.CompletionWithDesc(b.BatchID, escape(b.Name+", "+string(b.Status))))
		}
		return names, nil
	})
}

// completeRunners offers the runners' ids.
func (c *connection) completeRunners(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return c.complete(cmd, args, func(ctx context.Context, s *session) (names []cobra.Completion, err error) {
		for r, err := range s.runners(ctx) {
			if err != nil {
				return nil, err
			}
			names = append(names, cobra.CompletionWithDesc(r.RunnerID, string(r.Status)))
		}
		return names, nil
	})
}

// complete asks the platform for the names that a first argument may have.
func (c *connection) complete(cmd *cobra.Command, args []string, ask func(context.Context, *session) ([]cobra.Completion, error)) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	s, err := c.open()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	defer s.client.Close()
	ctx, cancel := context.WithTimeout(cmd.Context(), completionWait)
	defer cancel()
	names, err := ask(ctx, s)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
