package runner

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tetryx/lynx-runner/internal/runner/config"
)

// TestCheckCommands: programs of this host are looked for; what lies in an image
// is said, not guessed.
func TestCheckCommands(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"sim": 0o755, "data": 0o644} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		executor string
		argv     []string
		level    Level
		says     string
	}{
		"a program":         {config.ExecutorProcess, []string{filepath.Join(dir, "sim")}, LevelOK, "lander is " + dir},
		"one of PATH":       {config.ExecutorProcess, []string{"sh", "-c", "true"}, LevelOK, "lander is sh"},
		"not there":         {config.ExecutorProcess, []string{filepath.Join(dir, "no")}, LevelFailed, "commands.lander in the runner's file must name a program"},
		"not executable":    {config.ExecutorProcess, []string{filepath.Join(dir, "data")}, LevelFailed, "cannot be executed"},
		"a directory":       {config.ExecutorProcess, []string{dir}, LevelFailed, "cannot be executed"},
		"not in PATH":       {config.ExecutorProcess, []string{"no-such-program"}, LevelFailed, "is in none of /usr/local/sbin:"},
		"in an image":       {config.ExecutorDocker, []string{"/nowhere"}, LevelOK, "lander; and studies bring their own"},
		"nothing but study": {config.ExecutorDocker, nil, LevelOK, "each study brings its own"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := &config.Config{Executor: c.executor, Engines: []string{config.EngineCommand}}
			if c.argv != nil {
				cfg.Commands = map[string]config.Command{"lander": {Argv: c.argv}}
			}
			k := &checker{cfg: cfg, out: &Checked{}}
			if got := k.scenario(); len(got.Argv) != 0 {
				t.Errorf("a scenario %q without engine basilisk", got.Argv)
			}
			if f := k.out.Findings; len(f) != 1 || f[0].Subject != "commands" || f[0].Level != c.level || !strings.Contains(f[0].Detail, c.says) {
				t.Errorf("found %+v, want %v: …%s…", f, c.level, c.says)
			}
		})
	}
}
