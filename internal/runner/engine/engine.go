// Package engine knows what to launch for a type of simulation. An Engine turns
// a job into a command and the few variables that this kind of simulation needs;
// where the command runs, and under which limits, is the executor's business.
//
// Engines touch nothing but the working directory, which they read to tell a
// person at once that a file is missing, rather than let a container fail.
package engine

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Engine makes commands for one kind of simulation. Its methods may be called
// concurrently.
type Engine interface {
	// Name is the engine's name in configuration and manifests.
	Name() string
	// Launches reports whether simulations of this type are the engine's own.
	Launches(simulationType string) bool
	// Command returns what to launch for job. An error that is an *InvalidError
	// is the job's fault, and its text tells the job's author what to do.
	Command(job Job) (Command, error)
}

// Job is what an engine needs to know of an attempt.
type Job struct {
	// Type is simulation.type of the study.
	Type string
	// Command is simulation.command of the study; nil if it has none.
	Command []string
	// Entrypoint is simulation.entrypoint of the study; empty for the engine's
	// own.
	Entrypoint string
	// HostWork is the working directory on this host; empty if there is none.
	HostWork string
	// Work and Tmp are the working directory and a writable, empty directory as
	// the job sees them.
	Work, Tmp string
}

// Command is what to launch.
type Command struct {
	// Argv is the argument list; never a shell line.
	Argv []string
	// Env is the engine's own variables, by name.
	Env map[string]string
	// Server is the command of a fork server for Argv, without its interpreter, whose
	// jobs can share a container; empty for engines that have none.
	Server []string
	// Entrypoint is the scenario's file relative to the working directory; empty
	// for engines whose programs are no files there.
	Entrypoint string
	// Image is the image of a job that asks for none; empty for the runner's.
	Image string
	// Origin is the setting that Argv[0] comes from, in words that a person finds
	// it by.
	Origin string
}

// InvalidError says that a job cannot run as it was submitted.
type InvalidError struct{ Message string }

func (e *InvalidError) Error() string { return e.Message }

// Options is what the engines are made from.
type Options struct {
	// Python is the interpreter of Python engines, as the job sees it.
	Python string
	// Preload are the modules that a fork server of engine basilisk loads once; one
	// with a ? behind its name may be missing.
	Preload []string
	// BasiliskEntrypoint is the default scenario of engine basilisk.
	BasiliskEntrypoint string
	// Commands are the named commands of engine command, by simulation type.
	Commands map[string]Entry
	// StudyCommands says that engine command takes a study's own argument list.
	// Only where jobs are isolated: such a list is any program at all.
	StudyCommands bool
}

// Names returns the names of every engine that there is.
func Names() []string { return []string{basiliskName, commandName} }

// New makes the engines of the given names, in that order.
func New(names []string, opts Options) ([]Engine, error) {
	engines := make([]Engine, 0, len(names))
	for _, name := range names {
		switch name {
		case basiliskName:
			engines = append(engines, &basilisk{python: opts.Python, preload: opts.Preload, entrypoint: opts.BasiliskEntrypoint})
		case commandName:
			engines = append(engines, &command{entries: opts.Commands, fromStudy: opts.StudyCommands})
		default:
			return nil, fmt.Errorf("engine %q is not known; there are %s", name, strings.Join(Names(), ", "))
		}
	}
	return engines, nil
}

// For returns the engine for a simulation type: the first that launches it, else
// the first of all, for which any other type is but a tag. Which types a runner
// accepts is decided by its capabilities.
func For(engines []Engine, simulationType string) Engine {
	i := slices.IndexFunc(engines, func(e Engine) bool { return e.Launches(simulationType) })
	return engines[max(i, 0)]
}

// findEntrypoint checks that rel names a regular file below hostWork, links that
// lead out of it not counting, and returns rel cleaned, with slashes. origin
// says in which words a person finds the setting.
func findEntrypoint(hostWork, rel, origin string) (string, error) {
	if rel == "" {
		return "", &InvalidError{fmt.Sprintf("no scenario to run: %s is empty; set it to a file below the working directory %s", origin, hostWork)}
	}
	clean := path.Clean(filepath.ToSlash(rel))
	if !filepath.IsLocal(clean) || strings.ContainsRune(clean, 0) {
		return "", &InvalidError{fmt.Sprintf("%s %q does not lie below the runner's working directory; give a relative path without \"..\"", origin, rel)}
	}
	root, err := os.OpenRoot(hostWork)
	if err != nil {
		return "", fmt.Errorf("open the working directory: %w", err)
	}
	defer func() { _ = root.Close() }()
	info, err := root.Stat(clean)
	switch {
	case isNotThere(err):
		return "", &InvalidError{fmt.Sprintf("%s %q is not there: no such file in the runner's working directory %s; check the path, or copy the file there", origin, rel, hostWork)}
	case err != nil:
		return "", &InvalidError{fmt.Sprintf("%s %q cannot be used: %v", origin, rel, err)}
	case !info.Mode().IsRegular():
		return "", &InvalidError{fmt.Sprintf("%s %q is not a regular file but %s; name the scenario's file", origin, rel, kind(info.Mode()))}
	}
	return clean, nil
}

func kind(mode fs.FileMode) string {
	if mode.IsDir() {
		return "a directory"
	}
	return "of type " + mode.Type().String()
}
