package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tetryx/lynx-runner/internal/cli"
	"github.com/tetryx/lynx-runner/internal/study"
)

// short is a fresh directory with a path that is short enough for sockets.
func short(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "lx")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// configureCase is a study, what there is beside it, and what comes of it.
type configureCase struct {
	simulation study.Simulation
	image      string
	file       string // the runner's
	found      bool   // nobody named it
	executor   string
	env        string // NAME=value

	images []string
	types  []string
	work   string // "copy", "none" or "file's"
	fails  string
}

// named is a runner's file.
const named = "engines: [basilisk, command]\nbasilisk_entrypoint: sim.py\nimage: theirs\ncommands: {orbital: {argv: [orbit, -v], image: other}}\n"

func ofType(name string) study.Simulation { return study.Simulation{Type: name} }

func argv(name string, argv ...string) study.Simulation {
	return study.Simulation{Type: name, Command: argv}
}

var configureCases = map[string]configureCase{
	"a Python file": {
		simulation: study.Simulation{Type: "basilisk", Entrypoint: "sim.py"}, images: []string{"lynx-basilisk"}, types: []string{"basilisk"}, work: "copy",
	},
	"a Python file with another tag, in an image": {
		simulation: study.Simulation{Type: "orbital", Entrypoint: "sim.py"}, image: "mine", images: []string{"mine"}, types: []string{"orbital"}, work: "copy",
	},
	"a program in an image": {
		simulation: argv("command", "sim", "--fast"), image: "mine", images: []string{"mine"}, types: []string{"command"}, work: "none",
	},
	"a program of the name of a file in the directory": {
		simulation: argv("command", "sim.py"), image: "mine", images: []string{"mine"}, types: []string{"command"}, work: "none",
	},
	"a program beside the study": {
		simulation: argv("command", "./sim.py"), images: []string{"lynx-basilisk"}, types: []string{"command"}, work: "copy",
	},
	"a program with a file beside the study": {
		simulation: argv("orbital", "python3", "sim.py"), images: []string{"lynx-basilisk"}, types: []string{"orbital"}, work: "copy",
	},
	"a file that does not lie beside the study": {
		simulation: argv("command", "cat", "/etc/passwd", "../my_study.yaml", "."), images: []string{"lynx-basilisk"}, types: []string{"command"}, work: "none",
	},
	"allowed images": {
		simulation: argv("command", "sim"), image: "mine", env: "LYNX_RUNNER_SANDBOX_ALLOWED_IMAGES=a,b", images: []string{"lynx-basilisk", "a", "b"}, types: []string{"command"}, work: "none",
	},
	"an image of the owner's": {
		simulation: argv("command", "sim"), image: "mine", env: "LYNX_RUNNER_IMAGE=a", images: []string{"a"}, types: []string{"command"}, work: "none",
	},
	"a file that allows no such image": {
		simulation: argv("command", "sim"), image: "mine", file: named, images: []string{"theirs", "other"}, types: []string{"basilisk", "command", "orbital"}, work: "none",
	},
	"a named command": {
		simulation: ofType("orbital"), file: named, images: []string{"theirs", "other"}, types: []string{"basilisk", "command", "orbital"}, work: "none",
	},
	"a file's working directory": {
		simulation: argv("command", "sim"), file: named + "working_directory: /srv\n", images: []string{"theirs", "other"}, types: []string{"basilisk", "command", "orbital"}, work: "file's",
	},
	"a found file for other simulations": {
		simulation: argv("command", "sim"), image: "mine", file: "image: theirs\n", found: true, images: []string{"mine"}, types: []string{"command"}, work: "none",
	},
	"a found file for these": {
		simulation: study.Simulation{Type: "basilisk", Entrypoint: "sim.py"}, image: "mine", file: "image: theirs\n", found: true, images: []string{"theirs"}, types: []string{"basilisk"}, work: "copy",
	},
	"a named file for other simulations": {
		simulation: argv("command", "sim"), file: "image: theirs\n", fails: `simulation.type is "command"`,
	},
	"a command in a process": {
		simulation: argv("command", "./sim.py"), executor: "process", fails: `(commands: {my-sim: ["./sim.py"]})`,
	},
	"a command in a process, with a file": {
		simulation: argv("command", "./sim.py", "-v"), executor: "process", file: "commands: {command: [/bin/true]}\n", fails: `(commands: {my-sim: ["./sim.py", "-v"]})`,
	},
	"no program": {simulation: ofType("px4_sitl"), fails: "command: [PROGRAM, ARGUMENT, …]"},
}

// TestConfigure: what a study gets that is run on a machine of one's own, with and
// without a runner's file.
func TestConfigure(t *testing.T) {
	for name, c := range configureCases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, text := range map[string]string{"sim.py": "pass\n", "runner.yaml": c.file} {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if name, value, ok := strings.Cut(c.env, "="); ok {
				t.Setenv(name, value)
			}
			o := cli.LocalOptions{
				Study: filepath.Join(dir, "my_study.yaml"), Simulation: c.simulation, Image: c.image, Executor: c.executor, ConfigFound: c.found,
				Output: filepath.Join(t.TempDir(), "out"),
			}
			if c.file != "" {
				o.Config = filepath.Join(dir, "runner.yaml")
			}
			l := &local{private: short(t)}
			cfg, err := l.configure(o, filepath.Join(o.Output, ".lynx"))
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Fatalf("error %v, want %q", err, c.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(cfg.AllowedImages, c.images) || !slices.Equal(cfg.Capabilities.SimulationTypes, c.types) {
				t.Errorf("allows %q and accepts %q, want %q and %q", cfg.AllowedImages, cfg.Capabilities.SimulationTypes, c.images, c.types)
			}
			work := map[string]string{"copy": filepath.Join(l.private, "work"), "none": "", "file's": "/srv"}[c.work]
			_, statErr := os.Stat(filepath.Join(l.private, "work", "sim.py"))
			if cfg.WorkingDirectory != work || (statErr == nil) != (c.work == "copy") {
				t.Errorf("working directory %q, want %q; copied: %v", cfg.WorkingDirectory, work, statErr == nil)
			}
		})
	}
}
