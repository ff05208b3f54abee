package process

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/shim"
)

// The descriptors that the shim is started with, beside the standard three.
const (
	runtimeFD = 3 // the runtime directory
	reportFD  = 4 // the file for the report
)

// The names of what the shim makes and uses.
const (
	controlSocket = "control.sock"
	stdoutLog     = "stdout.log"
	stderrLog     = "stderr.log"
)

// inRuntime is a path in the runtime directory as the shim, which may not be able
// to enter its parents, reaches it.
func inRuntime(name string) string { return fmt.Sprintf("/proc/self/fd/%d/%s", runtimeFD, name) }

// shimConfig is what the shim is told.
func shimConfig(spec executor.Spec, s scratch, memoryGroup, pidsGroup bool) (shim.Config, error) {
	limits, err := rlimits(spec.Sandbox.Rlimits)
	if err != nil {
		return shim.Config{}, err
	}
	paths := hostPaths(spec, s)
	c := shim.Config{
		Argv: paths.all(spec.Argv), Env: gpuEnvironment(paths.environment(spec.Env), spec.GPUs), Dir: spec.OutputDir,
		ControlSocket: inRuntime(controlSocket),
		Stdout:        filepath.Join(spec.LogDir, stdoutLog),
		Stderr:        filepath.Join(spec.LogDir, stderrLog),
		LogHead:       spec.LogHead, LogTail: spec.LogTail,
		Rlimits:  append(limits, stopgaps(spec, memoryGroup, pidsGroup)...),
		ReportFD: reportFD,
	}
	if spec.WorkDir != "" {
		c.Dir = spec.WorkDir
	}
	if spec.Telemetry {
		c.TelemetrySocket = inRuntime(executor.TelemetrySocket)
		c.TelemetryListen, c.CheckPeers = "127.0.0.1:0", true
	}
	c.KillAfterMillis, c.RunnerLossMillis = killAfter(spec).Milliseconds(), spec.RunnerLoss.Milliseconds()
	return c, nil
}

// stopgaps stand in for the cgroups that there are not. RLIMIT_DATA, which counts
// what a process can write to, and not RLIMIT_AS: programs reserve far more
// addresses than they ever use. RLIMIT_NPROC counts the processes of a user, which
// are one job's only where that user is the slot's.
func stopgaps(spec executor.Spec, memoryGroup, pidsGroup bool) []shim.Rlimit {
	var list []shim.Rlimit
	if !memoryGroup {
		n := uint64(*spec.Sandbox.Resources.Memory.Limit)
		list = append(list, shim.Rlimit{Resource: unix.RLIMIT_DATA, Soft: n, Hard: n})
	}
	if !pidsGroup && unix.Geteuid() == 0 {
		n := uint64(*spec.Sandbox.Resources.Pids.Limit)
		list = append(list, shim.Rlimit{Resource: unix.RLIMIT_NPROC, Soft: n, Hard: n})
	}
	return list
}

// rlimitNumbers are the kernel's numbers of the POSIX names (setrlimit(2)).
var rlimitNumbers = map[string]int{
	"RLIMIT_AS": unix.RLIMIT_AS, "RLIMIT_CORE": unix.RLIMIT_CORE, "RLIMIT_CPU": unix.RLIMIT_CPU,
	"RLIMIT_DATA": unix.RLIMIT_DATA, "RLIMIT_FSIZE": unix.RLIMIT_FSIZE, "RLIMIT_LOCKS": unix.RLIMIT_LOCKS,
	"RLIMIT_MEMLOCK": unix.RLIMIT_MEMLOCK, "RLIMIT_MSGQUEUE": unix.RLIMIT_MSGQUEUE, "RLIMIT_NICE": unix.RLIMIT_NICE,
	"RLIMIT_NOFILE": unix.RLIMIT_NOFILE, "RLIMIT_NPROC": unix.RLIMIT_NPROC, "RLIMIT_RSS": unix.RLIMIT_RSS,
	"RLIMIT_RTPRIO": unix.RLIMIT_RTPRIO, "RLIMIT_RTTIME": unix.RLIMIT_RTTIME, "RLIMIT_SIGPENDING": unix.RLIMIT_SIGPENDING,
	"RLIMIT_STACK": unix.RLIMIT_STACK,
}

func rlimits(list []specs.POSIXRlimit) ([]shim.Rlimit, error) {
	out := make([]shim.Rlimit, 0, len(list)+2)
	for _, l := range list {
		n, ok := rlimitNumbers[l.Type]
		switch {
		case !ok:
			return nil, fmt.Errorf("resource limit %q is not known", l.Type)
		case l.Soft > l.Hard:
			return nil, fmt.Errorf("resource limit %s: the soft limit %d is above the hard one, %d", l.Type, l.Soft, l.Hard)
		}
		out = append(out, shim.Rlimit{Resource: n, Soft: l.Soft, Hard: l.Hard})
	}
	return out, nil
}

// pathMap puts the host's paths in the place of a container's.
type pathMap []struct{ container, host string }

func hostPaths(spec executor.Spec, s scratch) pathMap {
	m := pathMap{
		{executor.ContainerWork, spec.WorkDir},
		{executor.ContainerOutput, spec.OutputDir},
		{executor.ContainerLog, spec.LogDir},
		{executor.ContainerRunConfig, spec.RunConfig},
		{executor.ContainerHome, s.home()},
		{executor.HostTmp, s.tmp()},
	}
	for _, d := range spec.DataMounts {
		m = append(m, struct{ container, host string }{d.Target, d.Source})
	}
	// Of a directory and one below it, the latter's.
	slices.SortStableFunc(m, func(a, b struct{ container, host string }) int {
		return len(b.container) - len(a.container)
	})
	return m
}

// one maps a text that is such a path, or one below it, and leaves any other.
func (m pathMap) one(text string) string {
	for _, p := range m {
		if rest, ok := strings.CutPrefix(text, p.container); ok && p.host != "" && (rest == "" || rest[0] == '/') {
			return p.host + rest
		}
	}
	return text
}

func (m pathMap) all(list []string) []string {
	out := make([]string, len(list))
	for i, text := range list {
		out[i] = m.one(text)
	}
	return out
}

// environment maps the values of variables, which may be lists of paths.
func (m pathMap) environment(env []string) []string {
	out := make([]string, len(env))
	for i, kv := range env {
		name, value, _ := strings.Cut(kv, "=")
		out[i] = name + "=" + strings.Join(m.all(strings.Split(value, ":")), ":")
	}
	return out
}

// reportLimit bounds what is read of a report file.
const reportLimit = math.MaxUint16
