package config

import (
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/tetryx/lynx-runner/internal/strictyaml"
)

// The names of the engines, as in Config.Engines.
const (
	EngineBasilisk = "basilisk"
	EngineCommand  = "command"
)

// Command is what engine command launches for one type of simulation, which is
// its name in the file. Nothing in it is replaced, and no shell reads it.
type Command struct {
	// Argv is the argument list. Argv[0] is looked up in the job's PATH if it has
	// no slash. With executor process a path is absolute.
	Argv []string
	// Image, with executor docker, is the image of jobs that ask for none; empty
	// for Config.Image.
	Image string
}

// commandDocument is a Command in a file: a mapping, or the argument list alone.
type commandDocument struct {
	Argv  []string `yaml:"argv" strict:"required"`
	Image string   `yaml:"image"`
}

// DecodeStrict implements strictyaml.Decoder.
func (c *commandDocument) DecodeStrict(v strictyaml.Value) bool {
	if v.Kind() == strictyaml.List {
		return v.Decode(&c.Argv)
	}
	type plain commandDocument
	return v.Decode((*plain)(c))
}

// commandName is a simulation type, as studies write them.
var commandName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,63}$`)

// commands reads the named commands. Where the file has some and names no
// engine, engine command is meant.
func (r *resolver) commands() {
	c := r.cfg
	if r.doc.Commands != nil && r.doc.Engines == nil {
		c.Engines = []string{EngineCommand}
	}
	offered := slices.Contains(c.Engines, EngineCommand)
	switch {
	case len(r.doc.Commands) > 0 && !offered:
		r.errorf("commands", "has no effect without engine command; add it to engines")
	case len(r.doc.Commands) == 0 && offered && c.Executor == ExecutorProcess:
		r.errorf("engines", "command with executor process runs nothing but named commands, and there are none; add commands: {my-sim: [/path/of/program, argument]}")
	}
	for _, name := range slices.Sorted(maps.Keys(r.doc.Commands)) {
		if problem := r.command(name, r.doc.Commands[name]); problem != "" {
			r.errorf("commands", "%s: %s", name, problem)
		}
	}
}

// command checks one entry and keeps it; it says what is wrong, or "".
func (r *resolver) command(name string, d commandDocument) string {
	c := Command{Argv: slices.Clone(d.Argv), Image: d.Image}
	switch {
	case !commandName.MatchString(name):
		return "is no simulation type; want lower-case letters, digits, _ and -, a letter first, at most 64"
	case name == EngineBasilisk:
		return "is the name of an engine; choose another one"
	case len(c.Argv) == 0:
		return "has no program; want argv: [PROGRAM, ARGUMENT, …]"
	case slices.Contains(c.Argv, ""):
		return "argv has an empty item; leave it out"
	case strings.ContainsRune(strings.Join(c.Argv, ""), 0):
		return "argv contains a NUL character, which no argument of a program can"
	case c.Image != "" && r.cfg.Executor == ExecutorProcess:
		return "image has no meaning with executor process; leave it out"
	case strings.HasPrefix(c.Image, "-"):
		return fmt.Sprintf("%q is not an image reference", c.Image)
	}
	if r.cfg.Executor == ExecutorProcess && strings.Contains(c.Argv[0], "/") {
		abs, err := filepath.Abs(c.Argv[0]) // the job has another current directory
		if err != nil {
			return fmt.Sprintf("%q cannot be made absolute: %v", c.Argv[0], err)
		}
		c.Argv[0] = abs
	}
	if r.cfg.Commands == nil {
		r.cfg.Commands = map[string]Command{}
	}
	r.cfg.Commands[name] = c
	return ""
}

// simulationTypes are what the runner accepts where it does not say: its engines'
// names and its commands'. A runner of processes takes no command from a study,
// which is what type `command` is for.
func (c *Config) simulationTypes() []string {
	types := slices.DeleteFunc(slices.Clone(c.Engines), func(name string) bool {
		return name == EngineCommand && c.Executor == ExecutorProcess
	})
	for _, name := range slices.Sorted(maps.Keys(c.Commands)) {
		if !slices.Contains(types, name) {
			types = append(types, name)
		}
	}
	return types
}

// commandImages are the images that the named commands ask for.
func (c *Config) commandImages() []string {
	var images []string
	for _, name := range slices.Sorted(maps.Keys(c.Commands)) {
		if image := c.Commands[name].Image; image != "" && !slices.Contains(images, image) {
			images = append(images, image)
		}
	}
	return images
}

// commandValues are the named commands as a file has them; nil if there are none.
func (c *Config) commandValues() any {
	if len(c.Commands) == 0 {
		return nil
	}
	values := map[string]any{}
	for name, command := range c.Commands {
		entry := map[string]any{"argv": command.Argv}
		if command.Image != "" {
			entry["image"] = command.Image
		}
		values[name] = entry
	}
	return values
}
