// Command lynxctl is the client of a Lynx platform. `lynxctl run` is a whole
// platform with a runner in one process.
package main

import (
	"fmt"
	"os"
	"time"

	"github.com/tetryx/lynx-runner/cmd/internal/buildinfo"
	"github.com/tetryx/lynx-runner/cmd/internal/wire"
	"github.com/tetryx/lynx-runner/internal/cli"
)

// version is what --version prints.
var version = buildinfo.Version()

func main() { os.Exit(run()) }

func run() int {
	gentle, hard, stop := wire.Interrupts()
	defer stop()
	root := cli.Root(&cli.Program{
		Stdout:    os.Stdout,
		Stderr:    os.Stderr,
		Terminal:  wire.IsTerminal(os.Stderr),
		Width:     wire.Width(os.Stdout),
		Interrupt: gentle,
		Start:     startLocal,
		Getenv:    os.Getenv,
		Token:     wire.Token,
		Now:       time.Now,
		Version:   version,
	})
	err := root.ExecuteContext(hard)
	if message := cli.Message(err); message != "" {
		fmt.Fprintln(os.Stderr, "lynxctl:", message)
	}
	return cli.ExitStatus(err)
}
