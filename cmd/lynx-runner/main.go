// Command lynx-runner is the worker: it registers with a platform, claims jobs
// and runs each in a container of its own.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/tetryx/lynx-runner/cmd/internal/buildinfo"
	"github.com/tetryx/lynx-runner/cmd/internal/wire"
	"github.com/tetryx/lynx-runner/executor"
)

// version is what --version prints, and what the manifests have.
var version = buildinfo.Version()

// The exit statuses.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitUnreachable = 3
	exitInterrupted = 130
)

func main() { os.Exit(run()) }

func run() int {
	gentle, hard, stop := wire.Interrupts()
	defer stop()
	root := command(&program{stdout: os.Stdout, stderr: os.Stderr, gentle: gentle, environ: os.Environ()})
	err := root.ExecuteContext(hard)
	if err != nil && !errors.As(err, new(silent)) && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "lynx-runner:", err)
	}
	return status(err)
}

// program is what the commands work with.
type program struct {
	stdout, stderr io.Writer
	// gentle ends when the user asks to stop.
	gentle  context.Context
	environ []string
}

func command(p *program) *cobra.Command {
	root := &cobra.Command{
		Use:   "lynx-runner",
		Short: "The Lynx worker: runs each job in a container of its own",
		Long: `The Lynx worker: claims jobs from a platform and runs each in a container of its own.

Exit status: 0 success, 1 failure, 2 wrong usage or an invalid file, 3 the engine
can't be reached, 130 interrupted.`,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	root.AddCommand(startCommand(p), checkCommand(p), configCommand(p), cleanCommand(p))
	return root
}

// failure is an error that is not the user's.
type failure struct{ error }

func (f failure) Unwrap() error { return f.error }

// silent is a status about which everything was said.
type silent int

func (s silent) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// status is the exit status that an error deserves.
func status(err error) int {
	var said silent
	switch {
	case err == nil:
		return 0
	case errors.As(err, &said):
		return int(said)
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.Is(err, executor.ErrUnavailable):
		return exitUnreachable
	case errors.As(err, new(failure)):
		return exitFailed
	default:
		return exitUsage
	}
}
