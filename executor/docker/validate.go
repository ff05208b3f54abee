package docker

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/tetryx/lynx-runner/executor"
)

// maxSocketPath is the room for a unix socket's path: sun_path of unix(7), less
// the final zero.
const maxSocketPath = 107

// attemptName is what the engine takes in a container's name.
var attemptName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,199}$`)

// validate refuses what can never start, and what would weaken a container: the
// caller has checked what came from a study, and this is the last gate.
func (e *Executor) validate(spec executor.Spec) error {
	invalid := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", executor.ErrInvalidSpec, fmt.Sprintf(format, args...))
	}
	if !attemptName.MatchString(spec.AttemptID) {
		return invalid("attempt id %q: must be letters, digits, '_', '.' and '-', at most 200", spec.AttemptID)
	}
	if len(spec.Argv) == 0 || spec.Argv[0] == "" {
		return invalid("the command is empty")
	}
	if spec.Image == "" {
		return invalid("no image")
	}
	if spec.Shared != nil {
		return invalid("it wants to share a container, and this executor gives each attempt one of its own")
	}
	if err := validateUser(spec, e.info.Remapped()); err != nil {
		return invalid("%v", err)
	}
	if err := validatePaths(spec); err != nil {
		return invalid("%v", err)
	}
	if err := validateSandbox(spec.Sandbox); err != nil {
		return invalid("%v", err)
	}
	if err := executor.CheckGPUs(spec.GPUs); err != nil {
		return invalid("%v", err)
	}
	return nil
}

func validateUser(spec executor.Spec, remapped bool) error {
	if (spec.User.UID == 0 || spec.User.GID == 0) && !remapped {
		return fmt.Errorf("user %d:%d: a job never runs as user or group 0 of the host", spec.User.UID, spec.User.GID)
	}
	return nil
}

func validatePaths(spec executor.Spec) error {
	for _, p := range []struct {
		field, path string
		required    bool
	}{
		{"work directory", spec.WorkDir, false},
		{"output directory", spec.OutputDir, true},
		{"log directory", spec.LogDir, true},
		{"run configuration", spec.RunConfig, false},
		{"runtime directory", spec.RuntimeDir, true},
	} {
		if p.path == "" && !p.required {
			continue
		}
		if !filepath.IsAbs(p.path) {
			return fmt.Errorf("%s %q: must be an absolute path", p.field, p.path)
		}
	}
	if socket := filepath.Join(spec.RuntimeDir, executor.TelemetrySocket); len(socket) > maxSocketPath {
		return fmt.Errorf("runtime directory %s: its sockets' paths are longer than %d bytes; use a shorter one", spec.RuntimeDir, maxSocketPath)
	}
	for _, m := range spec.DataMounts {
		if err := validateDataMount(m); err != nil {
			return err
		}
	}
	return nil
}

// reserved are the places that a data mount may neither hide nor lie in.
var reserved = []string{
	executor.ContainerWork, executor.ContainerOutput, executor.ContainerLog, executor.ContainerRunConfig,
	executor.ContainerRuntime, executor.ContainerHome, executor.ContainerShim, "/proc", "/sys", "/dev",
}

func validateDataMount(m executor.Mount) error {
	if !filepath.IsAbs(m.Source) {
		return fmt.Errorf("data mount source %q: must be an absolute path", m.Source)
	}
	if !filepath.IsAbs(m.Target) || filepath.Clean(m.Target) != m.Target || m.Target == "/" || m.Target == "/tmp" {
		return fmt.Errorf("data mount target %q: must be an absolute path without '..' or a final '/', and not / or /tmp", m.Target)
	}
	for _, r := range reserved {
		if within(m.Target, r) || within(r, m.Target) {
			return fmt.Errorf("data mount target %q: overlaps %s, which the runner uses", m.Target, r)
		}
	}
	return nil
}

// within says whether a path is a directory or lies below it.
func within(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

func validateSandbox(s executor.Sandbox) error {
	r := s.Resources
	switch {
	case r.Memory == nil || r.Memory.Limit == nil || *r.Memory.Limit <= 0:
		return fmt.Errorf("the memory limit is missing")
	case r.CPU == nil || r.CPU.Quota == nil || r.CPU.Period == nil || *r.CPU.Quota <= 0 || *r.CPU.Period == 0:
		return fmt.Errorf("the CPU limit (quota and period) is missing")
	case r.Pids == nil || r.Pids.Limit == nil || *r.Pids.Limit <= 0:
		return fmt.Errorf("the limit on processes is missing")
	case s.TmpBytes <= 0 || s.HomeBytes <= 0 || s.ShmBytes <= 0:
		return fmt.Errorf("the sizes of /tmp, HOME and /dev/shm must be above 0, not %d, %d and %d", s.TmpBytes, s.HomeBytes, s.ShmBytes)
	case len(r.Devices)+len(r.HugepageLimits)+len(r.Rdma)+len(r.Unified) > 0 || r.BlockIO != nil || r.Network != nil:
		return fmt.Errorf("only memory, CPU and process limits can be given")
	}
	if s.EngineSeccomp && s.Seccomp != nil {
		return fmt.Errorf("the system call filter is both the engine's and another")
	}
	for _, name := range s.Capabilities {
		if err := executor.CheckCapability(name); err != nil {
			return err
		}
	}
	for _, d := range s.Devices {
		if err := validateDevice(d.Path); err != nil {
			return err
		}
	}
	return executor.CheckNetwork(s.Network)
}

// validateDevice takes character devices alone: a block device is a disk of the
// host.
func validateDevice(path string) error {
	if err := executor.CheckDevice(path); err != nil {
		return err
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return fmt.Errorf("device: %w", err)
	case info.Mode()&os.ModeCharDevice == 0:
		return fmt.Errorf("device %s is %v; only character devices can be given to jobs", path, info.Mode())
	}
	return nil
}
