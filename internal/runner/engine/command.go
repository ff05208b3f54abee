package engine

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

const commandName = "command"

// Entry is a command that the runner's owner has given a name, which is a type of
// simulation.
type Entry struct {
	// Argv is the argument list.
	Argv []string
	// Image is the image of jobs that ask for none; empty for the runner's.
	Image string
}

// command launches any program: the study's argument list in a container, or an
// entry of the runner's configuration. Nothing in an argument list is replaced
// and no shell sees it; a run's values are in its run configuration.
type command struct {
	entries map[string]Entry
	// fromStudy says that a study's own argument list is taken.
	fromStudy bool
}

// Name implements Engine.
func (c *command) Name() string { return commandName }

// Launches implements Engine: the entries are types of their own.
func (c *command) Launches(simulationType string) bool {
	_, named := c.entries[simulationType]
	return named || simulationType == commandName
}

// Command is the study's argument list, else the entry of the simulation type.
func (c *command) Command(job Job) (Command, error) {
	entry, named := c.entries[job.Type]
	switch {
	case job.Entrypoint != "":
		return Command{}, invalidf("simulation.entrypoint names a file for engine basilisk, and simulations of type %q are run by engine command; write simulation.command: [PROGRAM, ARGUMENT, …] instead", job.Type)
	case len(job.Command) > 0 && !c.fromStudy:
		return Command{}, invalidf("a study's own simulation.command is not taken where jobs are programs of the runner's host (executor process); leave it out, and %s", c.choose())
	case len(job.Command) > 0:
		return Command{Argv: slices.Clone(job.Command), Image: entry.Image, Origin: "simulation.command"}, nil
	case named:
		return Command{Argv: slices.Clone(entry.Argv), Image: entry.Image, Origin: "commands." + job.Type}, nil
	case c.fromStudy:
		return Command{}, invalidf("nothing says which program simulates type %q (an image's own command is never used); write simulation.command: [PROGRAM, ARGUMENT, …] in the study, or let the runner's owner add %[1]q to commands in the runner's file", job.Type)
	}
	return Command{}, invalidf("the runner's file names no command for simulation type %q; %s", job.Type, c.choose())
}

// choose tells a study's author how to get at a named command.
func (c *command) choose() string {
	if len(c.entries) == 0 {
		return "ask the runner's owner for an entry in commands of the runner's file"
	}
	return fmt.Sprintf("name one of the runner's own in simulation.type (it has %s), or ask its owner for another entry in commands of the runner's file", strings.Join(slices.Sorted(maps.Keys(c.entries)), ", "))
}

func invalidf(format string, args ...any) error {
	return &InvalidError{Message: fmt.Sprintf(format, args...)}
}
