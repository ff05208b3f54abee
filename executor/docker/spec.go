package docker

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client/pkg/versions"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/shim"
)

// The labels of a container: all that another process of the same runner needs
// to take it up.
const (
	labelPrefix     = "io.tetryx.lynx."
	labelRunner     = labelPrefix + "runner"
	labelBatch      = labelPrefix + "batch"
	labelJob        = labelPrefix + "job"
	labelAttempt    = labelPrefix + "attempt"
	labelRuntimeDir = labelPrefix + "runtime-dir"
	// labelKillAfter is the shim's own deadline, in milliseconds.
	labelKillAfter = labelPrefix + "kill-after-ms"
	labelLogHead   = labelPrefix + "log-head"
	labelLogTail   = labelPrefix + "log-tail"
)

// Names of files in the runtime directory.
const (
	shimConfigFile = "shim.json"
	controlSocket  = "control.sock"
)

// Names of files in the log directory.
const (
	stdoutLog = "stdout.log"
	stderrLog = "stderr.log"
)

// containerName is an attempt's container: a name can be given once, so a second
// start of the same attempt finds the first.
func containerName(attemptID string) string { return "lynx-" + attemptID }

// createBody is what a container is created from.
type createBody struct {
	container.Config
	container.HostConfig
}

// translate makes the create request of an attempt. It is a pure function of
// the specification, the image's volumes and what New found out.
func (e *Executor) translate(spec executor.Spec, volumes, mountpoints []string) (createBody, error) {
	security, err := e.security(spec.Sandbox)
	if err != nil {
		return createBody{}, err
	}
	mounts := binds(spec, e.cfg.Shim)
	if err := recursiveReadOnly(mounts, mountpoints, !versions.LessThan(e.info.APIVersion, "1.44")); err != nil {
		return createBody{}, err
	}
	if err := validateVolumes(volumes, mounts); err != nil {
		return createBody{}, err
	}
	mounts = append(mounts, covers(volumes, spec, mounts)...)
	if e.offline(spec.Sandbox) {
		mounts = append(mounts, hostsMount(spec, mounts)...)
	}
	init := false
	host := container.HostConfig{
		NetworkMode:    container.NetworkMode(spec.Sandbox.Network),
		IpcMode:        container.IPCModePrivate,
		CgroupnsMode:   container.CgroupnsModePrivate,
		ReadonlyRootfs: true,
		CapDrop:        []string{"ALL"},
		CapAdd:         spec.Sandbox.Capabilities,
		SecurityOpt:    security,
		LogConfig:      container.LogConfig{Type: "none"},
		RestartPolicy:  container.RestartPolicy{Name: container.RestartPolicyDisabled},
		Runtime:        spec.Sandbox.Runtime,
		Init:           &init, // the shim reaps
		GroupAdd:       groups(spec.User),
		Mounts:         mounts,
		Tmpfs:          tmpfses(spec),
		ShmSize:        spec.Sandbox.ShmBytes,
		OomScoreAdj:    spec.Sandbox.OOMScoreAdj,
		Resources:      resources(spec),
	}
	return createBody{Config: e.containerConfig(spec), HostConfig: host}, nil
}

// security are the security options.
func (e *Executor) security(s executor.Sandbox) ([]string, error) {
	options := []string{"no-new-privileges"}
	switch {
	case s.EngineSeccomp:
		return options, nil
	case s.Seccomp == nil:
		return append(options, e.seccomp), nil
	}
	profile, err := marshalSeccomp(s.Seccomp)
	return append(options, profile), err
}

func (e *Executor) containerConfig(spec executor.Spec) container.Config {
	return container.Config{
		Image:       spec.Image,
		Hostname:    "lynx",
		User:        fmt.Sprintf("%d:%d", spec.User.UID, spec.User.GID),
		Entrypoint:  []string{executor.ContainerShim},
		Cmd:         []string{executor.ContainerRuntime + "/" + shimConfigFile},
		Env:         shimEnv(spec.GPUs),
		WorkingDir:  "/",
		StopSignal:  "SIGTERM",
		Healthcheck: &container.HealthConfig{Test: []string{"NONE"}},
		// The network none is named all the same: it is what to look for.
		NetworkDisabled: e.offline(spec.Sandbox),
		Labels: map[string]string{
			labelRunner: e.cfg.RunnerID, labelBatch: spec.BatchID, labelJob: spec.JobID,
			labelAttempt: spec.AttemptID, labelRuntimeDir: spec.RuntimeDir,
			labelKillAfter: strconv.FormatInt(shimConfig(spec).KillAfterMillis, 10),
			labelLogHead:   strconv.FormatInt(spec.LogHead, 10),
			labelLogTail:   strconv.FormatInt(spec.LogTail, 10),
		},
	}
}

// shimEnv is the environment of the shim. The engine merges the image's own into
// it, so every variable that the Go runtime reads is set here, to its default;
// the shim passes none of them on to the job. The same holds for what the
// vendors' runtimes read: where one is the engine's default, an image asks for
// every GPU of the host by its environment alone ("void" is NVIDIA's word for
// none, also to an image that is older than the variable). What else a GPU's
// runtime would mount is no image's choice either: compute and utility are its
// own default.
func shimEnv(gpus []string) []string {
	return []string{
		"NVIDIA_VISIBLE_DEVICES=" + cmp.Or(strings.Join(gpus, ","), "void"),
		"NVIDIA_DRIVER_CAPABILITIES=compute,utility", "AMD_VISIBLE_DEVICES=",
		"GODEBUG=", "GOGC=", "GOMAXPROCS=", "GOMEMLIMIT=", "GOTRACEBACK=none", "GOCOVERDIR=",
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"TZ=", "ZONEINFO=",
	}
}

func groups(u specs.User) []string {
	var g []string
	for _, id := range u.AdditionalGids {
		g = append(g, strconv.FormatUint(uint64(id), 10))
	}
	return g
}

// resources are the limits. Swap equals memory, which means none.
func resources(spec executor.Spec) container.Resources {
	s := spec.Sandbox
	r := container.Resources{
		Memory:         *s.Resources.Memory.Limit,
		MemorySwap:     *s.Resources.Memory.Limit,
		NanoCPUs:       *s.Resources.CPU.Quota * 1_000_000_000 / int64(*s.Resources.CPU.Period),
		PidsLimit:      s.Resources.Pids.Limit,
		Ulimits:        ulimits(s.Rlimits),
		Devices:        devices(s.Devices),
		DeviceRequests: deviceRequests(spec.GPUs),
	}
	if shares := s.Resources.CPU.Shares; shares != nil {
		r.CPUShares = int64(*shares)
	}
	return r
}

// devices gives devices for reading and writing, and for nothing else.
func devices(list []specs.LinuxDevice) []container.DeviceMapping {
	var ds []container.DeviceMapping
	for _, d := range list {
		ds = append(ds, container.DeviceMapping{PathOnHost: d.Path, PathInContainer: d.Path, CgroupPermissions: "rw"})
	}
	return ds
}

// deviceRequests asks for GPUs by their ids, as `docker run --gpus` does: which
// driver serves "gpu" is the engine's business.
func deviceRequests(gpus []string) []container.DeviceRequest {
	if len(gpus) == 0 {
		return nil
	}
	return []container.DeviceRequest{{DeviceIDs: gpus, Capabilities: [][]string{{"gpu", "compute", "utility"}}}}
}

func ulimits(limits []specs.POSIXRlimit) []*container.Ulimit {
	var us []*container.Ulimit
	for _, l := range limits {
		us = append(us, &units.Ulimit{
			Name: strings.ToLower(strings.TrimPrefix(l.Type, "RLIMIT_")),
			Soft: int64(l.Soft), Hard: int64(l.Hard),
		})
	}
	return us
}

// shimConfig is what the shim is told, in its terms: the container's paths.
func shimConfig(spec executor.Spec) shim.Config {
	c := shim.Config{
		Argv: spec.Argv, Env: spec.Env, Dir: executor.ContainerOutput,
		ControlSocket: executor.ContainerRuntime + "/" + controlSocket,
		Stdout:        executor.ContainerLog + "/" + stdoutLog,
		Stderr:        executor.ContainerLog + "/" + stderrLog,
		LogHead:       spec.LogHead, LogTail: spec.LogTail,
		Report: executor.ContainerLog + "/" + executor.KeptReport,
	}
	if spec.WorkDir != "" {
		c.Dir = executor.ContainerWork
	}
	if spec.Telemetry {
		c.TelemetrySocket = executor.ContainerRuntime + "/" + executor.TelemetrySocket
		c.TelemetryListen = fmt.Sprintf("127.0.0.1:%d", executor.TelemetryPort)
	}
	if spec.Timeout > 0 {
		c.KillAfterMillis = (spec.Timeout + spec.Grace).Milliseconds()
	}
	c.RunnerLossMillis = spec.RunnerLoss.Milliseconds()
	if spec.Serve {
		c.Serve, c.Report = true, "" // it has no directory of its own to keep it in
		c.Stdout, c.Stderr = executor.ServedLog+"/"+stdoutLog, executor.ServedLog+"/"+stderrLog
		if spec.WorkDir == "" {
			c.Dir = executor.ServedOutput
		}
	}
	return c
}

// marshalSeccomp makes the value of the engine's security option, which takes a
// profile's content, not its path.
func marshalSeccomp(p *specs.LinuxSeccomp) (string, error) {
	b, err := json.Marshal(p)
	if err != nil {
		return "", fmt.Errorf("marshal the seccomp profile: %w", err)
	}
	return "seccomp=" + string(b), nil
}

// sortedVolumes are the paths of an image's volumes, in a fixed order.
func sortedVolumes(v map[string]struct{}) []string { return slices.Sorted(maps.Keys(v)) }
