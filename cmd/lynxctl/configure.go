package main

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tetryx/lynx-runner/internal/cli"
	"github.com/tetryx/lynx-runner/internal/runner/config"
)

// configure makes the runner's configuration for one study. Where nobody names a
// working directory and the study needs one, it is a copy of the study's.
func (l *local) configure(o cli.LocalOptions, state string) (*config.Config, error) {
	code := filepath.Join(l.private, "work")
	if err := commandFor(o.Executor, o); err != nil {
		return nil, err
	}
	cfg, err := l.load(o, code, state)
	if err != nil {
		return nil, err
	}
	if err := commandFor(cfg.Executor, o); err != nil {
		return nil, err
	}
	s := o.Simulation
	switch types := cfg.Capabilities.SimulationTypes; {
	case !slices.Contains(types, s.Type):
		return nil, fmt.Errorf("simulation.type is %q in %s, and %s accepts %s: change one of them (capabilities and commands in the runner's file)", s.Type, o.Study, cmp.Or(o.Config, "the runner"), strings.Join(types, ", "))
	case cfg.WorkingDirectory != code:
		return cfg, nil
	}
	return cfg, l.copyCode(cfg, o, code)
}

// commandFor says what to do about a study's own command where jobs are processes.
func commandFor(executor string, o cli.LocalOptions) error {
	if executor != config.ExecutorProcess || len(o.Simulation.Command) == 0 {
		return nil
	}
	return fmt.Errorf("%s has a simulation.command, which runs in containers only: with executor process add the command to `commands` in the runner's file (commands: {my-sim: %s}), and write simulation.type: my-sim in the study instead", o.Study, quoted(o.Simulation.Command))
}

// load reads the configuration over what suits this study. A file that was only
// found, and is for other simulations, is passed by.
func (l *local) load(o cli.LocalOptions, code, state string) (*config.Config, error) {
	named := map[string]string{"working-directory": code, "on-runner-loss": config.RunnerLossKill}
	if o.Config != "" {
		cfg, err := config.LoadOver(named, o.Config, os.Environ(), l.overrides(o, state))
		if err != nil || !o.ConfigFound || slices.Contains(cfg.Capabilities.SimulationTypes, o.Simulation.Type) {
			return cfg, err
		}
	}
	// Who runs a study on a machine of their own, with no file that says
	// otherwise, allows what it asks for.
	named["capabilities"] = o.Simulation.Type
	if len(o.Simulation.Command) > 0 {
		named["engines"] = config.EngineCommand
	}
	if o.Image != "" && os.Getenv("LYNX_RUNNER_SANDBOX_ALLOWED_IMAGES") == "" {
		named["image"] = o.Image
	}
	return config.LoadOver(named, "", os.Environ(), l.overrides(o, state))
}

// copyCode copies the directory of the study for the jobs, if they need it: a
// program that lies in an image does so only if it is given a file from there.
func (l *local) copyCode(cfg *config.Config, o cli.LocalOptions, code string) error {
	from, err := filepath.Abs(filepath.Dir(o.Study))
	if err != nil {
		return fmt.Errorf("the study's directory: %w", err)
	}
	argv := o.Simulation.Command
	if len(argv) == 0 {
		argv = cfg.Commands[o.Simulation.Type].Argv
	}
	switch {
	case len(argv) == 0:
		if err := checkEntrypoint(cmp.Or(o.Simulation.Entrypoint, cfg.BasiliskEntrypoint), from, o.Study); err != nil {
			return err
		}
	case !namesFile(argv, from):
		cfg.WorkingDirectory = ""
		return nil
	}
	if cfg.Executor == config.ExecutorProcess {
		// Processes of other users have to get there; the sockets stay closed.
		if err := os.Chmod(l.private, 0o711); err != nil {
			return err
		}
	}
	return cli.CopyCode(from, code, o.Output)
}

func checkEntrypoint(entrypoint, dir, study string) error {
	if entrypoint == "" {
		return fmt.Errorf("%s names no scenario: add below `simulation:` either `entrypoint: my_simulation.py`, a Python file in the directory of the study, or `command: [PROGRAM, ARGUMENT, …]`, a program in the image", study)
	}
	if info, err := os.Stat(filepath.Join(dir, entrypoint)); err != nil || !info.Mode().IsRegular() {
		return fmt.Errorf("simulation.entrypoint %q is no file in the study's directory %s; put it there, or name its directory with --working-directory", entrypoint, dir)
	}
	return nil
}

// namesFile reports whether an item of argv is the relative path of a file in
// dir. A program's name without a slash is one from PATH.
func namesFile(argv []string, dir string) bool {
	for i, arg := range argv {
		if !filepath.IsLocal(arg) || i == 0 && !strings.Contains(arg, "/") {
			continue
		}
		if info, err := os.Stat(filepath.Join(dir, arg)); err == nil && info.Mode().IsRegular() {
			return true
		}
	}
	return false
}

// quoted is an argument list as YAML has it.
func quoted(argv []string) string {
	items := make([]string, len(argv))
	for i, arg := range argv {
		items[i] = fmt.Sprintf("%q", arg)
	}
	return "[" + strings.Join(items, ", ") + "]"
}

// overrides are the settings that `lynxctl run` takes from nobody else.
func (l *local) overrides(o cli.LocalOptions, state string) map[string]string {
	flags := map[string]string{
		"runner-id":   fmt.Sprintf("local-%x", sha256.Sum256([]byte(o.Output)))[:18],
		"server":      "unix://" + l.socket("grpc"),
		"output-root": o.Output,
		"state-dir":   filepath.Join(state, "runner"),
		"runtime-dir": filepath.Join(l.private, "run"),
	}
	if o.Executor != "" {
		flags["executor"] = o.Executor
	}
	if o.WorkingDirectory != "" {
		flags["working-directory"] = o.WorkingDirectory
	}
	return flags
}
