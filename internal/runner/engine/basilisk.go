package engine

import (
	"errors"
	"io/fs"
	"path"
	"strings"
	"syscall"
)

const basiliskName = "basilisk"

// basilisk launches a Python scenario that uses the Basilisk framework.
type basilisk struct {
	python     string
	preload    []string
	entrypoint string
}

// server is the command of the fork server that the SDK brings.
func (b *basilisk) server() []string {
	return []string{b.python, "-m", "lynx_sdk.forkserver", "--preload=" + strings.Join(b.preload, ","), "--"}
}

// Name implements Engine.
func (b *basilisk) Name() string { return basiliskName }

// Launches implements Engine.
func (b *basilisk) Launches(simulationType string) bool { return simulationType == basiliskName }

// Command is [python, scenario]; the scenario reads the rest from the three
// TETRYX_ variables.
func (b *basilisk) Command(job Job) (Command, error) {
	if len(job.Command) > 0 {
		return Command{}, invalidf("simulation.command is for engine command, and simulations of type %q are run by engine basilisk here; write simulation.type: command, or name a Python file in simulation.entrypoint instead", job.Type)
	}
	rel, origin := job.Entrypoint, "simulation.entrypoint"
	if rel == "" {
		rel, origin = b.entrypoint, "basilisk_entrypoint"
	}
	clean, err := findEntrypoint(job.HostWork, rel, origin)
	if err != nil {
		return Command{}, err
	}
	return Command{
		Argv:       []string{b.python, path.Join(job.Work, clean)},
		Server:     b.server(),
		Env:        basiliskEnv(job),
		Entrypoint: clean, Origin: "python_executable",
	}, nil
}

// basiliskEnv is what Basilisk needs beside the base environment:
//   - its Python modules import pyplot, which wants a backend that needs no
//     display and a configuration directory that can be written;
//   - importing simIncludeGravBody makes an HTTPS request, which on a network
//     that drops packets costs seconds: a proxy that refuses at once avoids
//     that. Upper case only: gRPC in Python also reads the lower-case name, and
//     would send telemetry for 127.0.0.1 to the proxy;
//   - output lines must not stay in a buffer of a process that is killed;
//   - the working directory cannot be written to, so neither can bytecode.
func basiliskEnv(job Job) map[string]string {
	return map[string]string{
		"MPLBACKEND":              "Agg",
		"MPLCONFIGDIR":            path.Join(job.Tmp, "matplotlib"),
		"HTTPS_PROXY":             "http://127.0.0.1:9",
		"PYTHONUNBUFFERED":        "1",
		"PYTHONDONTWRITEBYTECODE": "1",
	}
}

// isNotThere reports whether a path can't be resolved because a part of it does
// not exist or is no directory.
func isNotThere(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}
