package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// loadFile is the configuration of a file and nothing else.
func loadFile(t *testing.T, text string) (*Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "runner.yaml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return load(nil, path, nil, nil, testHost)
}

// TestCommands: what named commands make of a configuration.
func TestCommands(t *testing.T) {
	cwd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		file    string
		want    map[string]Command
		engines []string
		types   []string
		images  []string
		work    string
	}{
		"none": {
			file: "working_directory: /w\n", engines: []string{"basilisk"}, types: []string{"basilisk"}, images: []string{"lynx-basilisk"}, work: "/w",
		},
		"studies bring their own": {
			file: "engines: [command]\nimage: i\n", engines: []string{"command"}, types: []string{"command"}, images: []string{"i"},
		},
		"named ones mean their engine": {
			file: "commands: {b: {argv: [./sim, -v]}, a: [sim]}\n",
			want: map[string]Command{"a": {Argv: []string{"sim"}}, "b": {Argv: []string{"./sim", "-v"}}}, engines: []string{"command"},
			types: []string{"command", "a", "b"}, images: []string{"lynx-basilisk"},
		},
		"beside basilisk": {
			file: "engines: [basilisk, command]\nworking_directory: /w\ncommands: {a: [sim]}\n",
			want: map[string]Command{"a": {Argv: []string{"sim"}}}, engines: []string{"basilisk", "command"},
			types: []string{"basilisk", "command", "a"}, images: []string{"lynx-basilisk"}, work: "/w",
		},
		"a working directory of their own": {
			file: "working_directory: /w\ncommands: {a: [sim]}\n",
			want: map[string]Command{"a": {Argv: []string{"sim"}}}, engines: []string{"command"},
			types: []string{"command", "a"}, images: []string{"lynx-basilisk"}, work: "/w",
		},
		"images": {
			file: "sandbox: {allowed_images: [x, y]}\ncommands: {a: {argv: [sim], image: y}, b: {argv: [sim], image: z}, c: {argv: [sim], image: z}}\n",
			want: map[string]Command{"a": {[]string{"sim"}, "y"}, "b": {[]string{"sim"}, "z"}, "c": {[]string{"sim"}, "z"}}, engines: []string{"command"},
			types: []string{"command", "a", "b", "c"}, images: []string{"lynx-basilisk", "x", "y", "z"},
		},
		"processes take no study's": {
			file:    "executor: process\ncommands: {a: [bin/sim, bin/x], b: [sim], c: [/opt/sim]}\n",
			want:    map[string]Command{"a": {Argv: []string{filepath.Join(cwd, "bin/sim"), "bin/x"}}, "b": {Argv: []string{"sim"}}, "c": {Argv: []string{"/opt/sim"}}},
			engines: []string{"command"}, types: []string{"a", "b", "c"}, images: []string{"lynx-basilisk"},
		},
		"processes with a command of that name": {
			file: "executor: process\ncommands: {command: [sim]}\n",
			want: map[string]Command{"command": {Argv: []string{"sim"}}}, engines: []string{"command"}, types: []string{"command"}, images: []string{"lynx-basilisk"},
		},
		"declared types stay": {
			file: "capabilities: [a]\ncommands: {a: [sim], b: [sim]}\n",
			want: map[string]Command{"a": {Argv: []string{"sim"}}, "b": {Argv: []string{"sim"}}}, engines: []string{"command"}, types: []string{"a"}, images: []string{"lynx-basilisk"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := loadFile(t, c.file)
			if err != nil {
				t.Fatal(err)
			}
			for what, diff := range map[string]string{
				"commands": cmp.Diff(c.want, got.Commands), "engines": cmp.Diff(c.engines, got.Engines), "types": cmp.Diff(c.types, got.Capabilities.SimulationTypes),
				"images": cmp.Diff(c.images, got.AllowedImages), "working directory": cmp.Diff(c.work, got.WorkingDirectory),
			} {
				if diff != "" {
					t.Errorf("%s (-want +got):\n%s", what, diff)
				}
			}
		})
	}
}

// TestBadCommands: each trouble is named where it stands.
func TestBadCommands(t *testing.T) {
	for name, c := range map[string]struct{ file, says string }{
		"no engine":        {"engines: [basilisk]\nworking_directory: /w\ncommands: {a: [sim]}\n", "commands: has no effect without engine command; add it to engines"},
		"nothing to run":   {"executor: process\nengines: [command]\n", "there are none; add commands: {my-sim: [/path/of/program, argument]}"},
		"a name":           {"commands: {A: [sim]}\n", "commands: A: is no simulation type"},
		"an engine's name": {"commands: {basilisk: [sim]}\n", "commands: basilisk: is the name of an engine"},
		"no program":       {"commands: {a: []}\n", "commands: a: has no program"},
		"no argv":          {"commands: {a: {image: x}}\n", "commands.a.argv: is missing"},
		"a text":           {"commands: {a: sim -v}\n", "commands.a"},
		"an empty item":    {"commands: {a: [sim, '']}\n", "argv has an empty item"},
		"a NUL":            {"commands: {a: [\"s\\0\"]}\n", "NUL"},
		"an unknown key":   {"commands: {a: {argv: [sim], shell: true}}\n", `unknown key "shell"`},
		"an option":        {"commands: {a: {argv: [sim], image: --privileged}}\n", "is not an image reference"},
		"a process image":  {"executor: process\ncommands: {a: {argv: [sim], image: x}}\n", "image has no meaning with executor process"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := loadFile(t, c.file)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v\nwant %q", err, c.says)
			}
		})
	}
}
