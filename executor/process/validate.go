package process

import (
	"fmt"
	"path/filepath"

	"github.com/tetryx/lynx-runner/executor"
)

// maxSocketPath is the room for a unix socket's path: sun_path of unix(7), less
// the final zero.
const maxSocketPath = 107

// validate refuses what can never start.
func (e *Executor) validate(spec executor.Spec) error {
	var problem string
	switch {
	case !attemptName.MatchString(spec.AttemptID):
		problem = fmt.Sprintf("attempt id %q: must be letters, digits, '_', '.' and '-', at most 200", spec.AttemptID)
	case len(spec.Argv) == 0 || spec.Argv[0] == "":
		problem = "the command is empty"
	case spec.Shared != nil || spec.Serve:
		problem = "a process shares no container"
	case spec.Image != "":
		problem = fmt.Sprintf("image %q: a process has no image", spec.Image)
	case spec.User.UID == 0 || spec.User.GID == 0:
		problem = fmt.Sprintf("user %d:%d: a job never runs as user or group 0", spec.User.UID, spec.User.GID)
	case e.uid != 0 && int(spec.User.UID) != e.uid:
		problem = fmt.Sprintf("user %d: only root can start jobs of another user than its own, %d", spec.User.UID, e.uid)
	}
	if problem == "" {
		problem = validatePaths(spec)
	}
	if problem == "" {
		problem = validateSandbox(spec.Sandbox)
	}
	if err := executor.CheckGPUs(spec.GPUs); problem == "" && err != nil {
		problem = err.Error()
	}
	if problem != "" {
		return fmt.Errorf("%w: %s", executor.ErrInvalidSpec, problem)
	}
	return nil
}

func validatePaths(spec executor.Spec) string {
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
		if (p.path != "" || p.required) && !filepath.IsAbs(p.path) {
			return fmt.Sprintf("%s %q: must be an absolute path", p.field, p.path)
		}
	}
	if len(filepath.Join(spec.RuntimeDir, executor.TelemetrySocket)) > maxSocketPath {
		return fmt.Sprintf("runtime directory %s: its sockets' paths are longer than %d bytes; use a shorter one", spec.RuntimeDir, maxSocketPath)
	}
	return ""
}

func validateSandbox(s executor.Sandbox) string {
	r := s.Resources
	switch {
	case r.Memory == nil || r.Memory.Limit == nil || *r.Memory.Limit <= 0:
		return "the memory limit is missing"
	case r.CPU == nil || r.CPU.Quota == nil || r.CPU.Period == nil || *r.CPU.Quota <= 0 || *r.CPU.Period == 0:
		return "the CPU limit (quota and period) is missing"
	case r.Pids == nil || r.Pids.Limit == nil || *r.Pids.Limit <= 0:
		return "the limit on processes is missing"
	case len(s.Capabilities)+len(s.Devices) > 0 || s.Seccomp != nil || s.EngineSeccomp || s.Runtime != "":
		return "a process gets no capabilities, devices, system call filter or runtime"
	}
	if _, err := rlimits(s.Rlimits); err != nil {
		return err.Error()
	}
	return ""
}
