package main

import (
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tetryx/lynx-runner/internal/runner/config"
)

// settingFlags are the settings that have a flag of their own, beside their key
// in the file and their variable.
var settingFlags = map[string]string{
	"server":              "the platform's gRPC address, HOST:PORT or unix:///PATH",
	"token-file":          "file with the platform's access token",
	"executor":            "where jobs are launched: docker or process",
	"runner-id":           "this runner's name at the platform",
	"image":               "the container image of jobs that ask for none",
	"python-executable":   "the interpreter, as a path in the image, or on this host with executor process",
	"basilisk-entrypoint": "the scenario of studies that name none, relative to the working directory",
	"working-directory":   "directory with the scenarios",
	"output-root":         "directory below which every attempt's files lie",
	"state-dir":           "directory with what the runner has to remember",
	"max-concurrent-jobs": "number of jobs at a time",
}

// settings are the flags of a command that loads a configuration.
type settings struct {
	file   string
	values map[string]*string
}

func (s *settings) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.file, "config", "", "configuration file (default $"+config.EnvConfig+")")
	s.values = map[string]*string{}
	for _, name := range slices.Sorted(maps.Keys(settingFlags)) {
		s.values[name] = cmd.Flags().String(name, "", settingFlags[name])
	}
}

// load reads the file, the environment and the flags that were given.
func (s *settings) load(cmd *cobra.Command, environ []string) (*config.Config, error) {
	flags := map[string]string{}
	for name, value := range s.values {
		if cmd.Flags().Changed(name) {
			flags[name] = *value
		}
	}
	file := s.file
	for _, entry := range environ {
		if value, ok := strings.CutPrefix(entry, config.EnvConfig+"="); ok && !cmd.Flags().Changed("config") {
			file = value
		}
	}
	return config.Load(file, environ, flags)
}
