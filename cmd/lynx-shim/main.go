// Command lynx-shim runs one job: the entrypoint of its container, or its parent
// process. It is started by an executor and has one argument, the path of its
// configuration; package shim says what it does.
package main

import (
	"fmt"
	"os"
	"runtime"

	"github.com/tetryx/lynx-runner/cmd/internal/buildinfo"
	"github.com/tetryx/lynx-runner/internal/shim"
)

// The job is to be started by the main thread: see shim.Main.
func init() { runtime.LockOSThread() }

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: lynx-shim CONFIG | lynx-shim --version")
		os.Exit(2)
	}
	if os.Args[1] == "--version" {
		fmt.Println("lynx-shim version", buildinfo.Version())
		return
	}
	os.Exit(shim.Main(os.Args[1]))
}
