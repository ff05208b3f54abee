package runner

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tetryx/lynx-runner/internal/runner/config"
)

// commands checks what engine command would launch. In an image only a job can
// tell; on this host each program is looked for.
func (c *checker) commands() {
	if !slices.Contains(c.cfg.Engines, config.EngineCommand) {
		return
	}
	names := slices.Sorted(maps.Keys(c.cfg.Commands))
	if c.cfg.Executor == config.ExecutorDocker {
		if len(names) == 0 {
			c.add("commands", LevelOK, "each study brings its own (simulation.command), in an image that this runner allows")
			return
		}
		c.add("commands", LevelOK, "%s; and studies bring their own (simulation.command), in an image that this runner allows", strings.Join(names, ", "))
		return
	}
	for _, name := range names {
		program := c.cfg.Commands[name].Argv[0]
		if err := findProgram(program); err != nil {
			c.add("commands", LevelFailed, "%s: %v; commands.%[1]s in the runner's file must name a program of this host that every user may execute", name, err)
			continue
		}
		c.add("commands", LevelOK, "%s is %s", name, program)
	}
}

// findProgram looks for a program as a job does that has the runner's own PATH
// for jobs: a path as it is, a name in each directory.
func findProgram(program string) error {
	candidates := []string{program}
	if !strings.Contains(program, "/") {
		candidates = nil
		for _, dir := range filepath.SplitList(jobPath) {
			candidates = append(candidates, filepath.Join(dir, program))
		}
	}
	var first error
	for _, path := range candidates {
		info, err := os.Stat(path)
		switch {
		case err != nil:
		case info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0:
			return nil
		default:
			err = fmt.Errorf("%s cannot be executed (its mode is %v)", path, info.Mode())
		}
		if first == nil {
			first = err
		}
	}
	if len(candidates) > 1 {
		return fmt.Errorf("%s is in none of %s", program, jobPath)
	}
	return first
}
