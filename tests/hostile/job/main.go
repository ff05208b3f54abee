// Command job is a job that means harm: one static program with an attack for
// each name. It is the interpreter of a test image, and the name of the attack
// is the file name of the scenario that it is given to run, so that a runner
// launches it like any other scenario.
//
// An attack reports each thing that it tried on its standard output, a line
// each: "done WHAT" for what it managed, "refused WHAT: WHY" for what it was
// kept from. What it must not manage is for the test to say.
package main

import (
	"fmt"
	"os"
	"path"
	"runtime"
	"sync"
)

// attacks are the attacks by name. A function that returns ends the job with
// status 0.
var attacks = map[string]func(){}

// register adds attacks; each file has those of one kind.
func register(more map[string]func()) struct{} {
	for name, f := range more {
		if attacks[name] != nil {
			panic("two attacks named " + name)
		}
		attacks[name] = f
	}
	return struct{}{}
}

func main() {
	runtime.LockOSThread()
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: job ATTACK")
		os.Exit(64)
	}
	attack := attacks[path.Base(os.Args[1])]
	if attack == nil {
		fmt.Fprintf(os.Stderr, "no attack is named %q\n", os.Args[1])
		os.Exit(64)
	}
	attack()
}

var reporting sync.Mutex

// done reports something that the job managed to do.
func done(what string) { report("done " + what) }

// refused reports something that the job was kept from.
func refused(what string, why any) { report(fmt.Sprintf("refused %s: %v", what, why)) }

// report writes one line with one write, so that processes don't mix theirs.
func report(line string) {
	reporting.Lock()
	defer reporting.Unlock()
	_, _ = os.Stdout.WriteString(line + "\n")
}

// try reports what came of something.
func try(what string, err error) {
	if err != nil {
		refused(what, err)
		return
	}
	done(what)
}

// holds reports a thing as done if it is so.
func holds(what string, so bool) {
	if so {
		done(what)
		return
	}
	refused(what, "it is not so")
}

// must ends the attack where the test itself is broken.
func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "broken attack:", err)
		os.Exit(70)
	}
}

// The paths that the attacks know of.
const (
	outputDir = "/lynx/output"
	logDir    = "/lynx/log"
	workDir   = "/lynx/work"
)
