// Package cli is lynxctl: its commands, tables and progress.
//
// A command talks to a platform through the typed client of package api and to
// nothing else. `lynxctl run` needs a platform and a runner in its own process;
// who starts them is handed in as [Program.Start], so that this package knows
// neither.
//
// Results go to standard output, everything else to standard error. A person at
// a terminal sees progress drawn in place; a pipe gets plain lines. Text that
// comes from a job is escaped before it is printed. A command's error carries the
// exit status ([ExitStatus]).
package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/study"
)

// Program is what lynxctl works with.
type Program struct {
	Stdout, Stderr io.Writer
	// Terminal says that a person watches Stderr.
	Terminal bool
	// Width is the number of columns of the terminal that Stdout is; 0 if it is
	// none.
	Width int
	// Interrupt ends when the user asks to stop (Ctrl-C): a study under way is
	// then cancelled in order. The context that a command runs under ends when the
	// user insists.
	Interrupt context.Context
	// Start starts a platform and a runner in this process. The context bounds the
	// starting only.
	Start func(context.Context, LocalOptions) (Local, error)
	// Getenv reads a variable of the environment; empty if there is none.
	Getenv func(string) string
	// Token reads an access token from a file or, for an empty name, finds the one
	// of this user's own platform; empty if there is none.
	Token func(file string) (string, error)
	// Now is the clock.
	Now func() time.Time
	// Version is the program's version.
	Version string
}

// LocalOptions says what platform and runner `lynxctl run` wants.
type LocalOptions struct {
	// Config is the path of the runner's file; empty means the built-in defaults.
	Config string
	// ConfigFound says that nobody named Config: it counts only if it is for
	// simulations of the study's type.
	ConfigFound bool
	// Executor overrides the configuration's; empty leaves it.
	Executor string
	// Study is the path of the study's file. Where the configuration names no
	// working directory, it is a copy of the directory of that file.
	Study string
	// Simulation is the study's simulation, with its type.
	Simulation study.Simulation
	// Image is the study's compute.container.image; empty if it has none.
	Image string
	// WorkingDirectory overrides the configuration's; empty leaves it.
	WorkingDirectory string
	// Output is the output root, absolute; the platform's store is below it.
	Output string
	// Verbose lets platform and runner log to Program.Stderr.
	Verbose bool
}

// Local is a platform and a runner in this process.
type Local interface {
	Client() *api.Client
	// Failed is closed when a part has ended by itself; then Stop tells why.
	Failed() <-chan struct{}
	// Stop ends both in order: the runner first, killing what still runs, then the
	// platform. It leaves nothing behind.
	Stop() error
}

// Root makes the command lynxctl.
func Root(p *Program) *cobra.Command {
	root := &cobra.Command{
		Use:           "lynxctl",
		Short:         "Monte Carlo studies of real simulations",
		Version:       p.Version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetOut(p.Stdout)
	root.SetErr(p.Stderr)
	root.AddCommand(runCommand(p), validateCommand(p), sampleCommand(p))
	addClientCommands(root, p)
	explainUsage(root)
	return root
}

// explainUsage lets each command that is called with the wrong arguments or flags
// say how it is meant.
func explainUsage(root *cobra.Command) {
	explain := func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w\nusage: %s; `%s --help` explains it", err, c.UseLine(), c.CommandPath())
	}
	root.SetFlagErrorFunc(explain)
	for _, c := range root.Commands() {
		check := c.Args
		if check == nil {
			continue
		}
		c.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return explain(c, err)
			}
			return nil
		}
	}
}
