package runner

import (
	"github.com/tetryx/lynx-runner/internal/runner/config"
	"github.com/tetryx/lynx-runner/internal/runner/engine"
)

// newEngines makes the engines that the configuration names. A study's own
// argument list is taken only where each job is isolated, in a container.
func newEngines(cfg *config.Config) ([]engine.Engine, error) {
	entries := make(map[string]engine.Entry, len(cfg.Commands))
	for name, c := range cfg.Commands {
		entries[name] = engine.Entry{Argv: c.Argv, Image: c.Image}
	}
	return engine.New(cfg.Engines, engine.Options{
		Python: cfg.PythonExecutable, Preload: cfg.Preload, BasiliskEntrypoint: cfg.BasiliskEntrypoint,
		Commands: entries, StudyCommands: cfg.Executor == config.ExecutorDocker,
	})
}
