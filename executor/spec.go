package executor

import (
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Paths inside a container, the same for every job. In the process executor the
// host's paths take their place.
const (
	// ContainerWork is the working directory tree, read-only; the job's current
	// directory.
	ContainerWork = "/lynx/work"
	// ContainerOutput is the output directory, read-write.
	ContainerOutput = "/lynx/output"
	// ContainerLog is where the shim writes stdout.log and stderr.log.
	ContainerLog = "/lynx/log"
	// ContainerRunConfig is the run configuration, read-only.
	ContainerRunConfig = "/lynx/run_config.json"
	// ContainerRuntime is the attempt's runtime directory, read-only: shim.json,
	// control.sock, telemetry.sock.
	ContainerRuntime = "/lynx/run"
	// ContainerHome is HOME, a tmpfs.
	ContainerHome = "/lynx/home"
	// HostTmp stands for TMPDIR in the process executor, which makes one for each
	// job; in a container that is a tmpfs, /tmp.
	HostTmp = "/lynx/tmp"
	// ContainerShim is the shim, the container's entrypoint.
	ContainerShim = "/lynx/shim"
	// TelemetrySocket is the name, in the runtime directory, of the unix socket
	// that the shim forwards the telemetry port to. The runner listens on it
	// before Start.
	TelemetrySocket = "telemetry.sock"
	// TelemetryPort is the port on the job's 127.0.0.1 that telemetry is served
	// at inside a container, which has a loopback of its own. The process
	// executor picks a free one for each job.
	TelemetryPort = 50051
)

// KeptReport is the name of a file in an attempt's log directory that tells a later
// process of the runner how the attempt ended, so that its Wait gives the answer that an
// earlier one gave. The caller removes it when it has no more use for the answer.
const KeptReport = ".exit.json"

// Spec is everything needed to launch one attempt. The caller has made the
// directories, with the right owners, before Start.
type Spec struct {
	// AttemptID is unique for all time; it names the container.
	AttemptID string
	JobID     string
	BatchID   string

	// Argv is the job's command; Argv[0] is looked up in PATH of Env if it has no
	// slash. Never a shell line.
	Argv []string
	// Env is the job's whole environment, "KEY=value". The executor adds only
	// TETRYX_TELEMETRY_URL and TETRYX_TELEMETRY_TARGET, if Telemetry is set, and,
	// where nothing else keeps GPUs from the job, the variables that name its own
	// (CUDA_VISIBLE_DEVICES and the like).
	Env []string
	// Image is the image's id as Resolve returned it. Empty for process.
	Image string

	// WorkDir is the host directory that becomes ContainerWork.
	WorkDir string
	// OutputDir and LogDir are host directories that the job's user can write to. An
	// executor may leave KeptReport in LogDir.
	OutputDir string
	LogDir    string
	// RunConfig is the host path of the run configuration file, which the job's
	// user can read and not change.
	RunConfig string
	// RuntimeDir is a host directory of a short path (its sockets' paths must
	// stay under 108 bytes) that belongs to the runner and to this attempt alone.
	RuntimeDir string
	// DataMounts are further host directories, read-only.
	DataMounts []Mount

	// User is the numeric user and group of the job; never 0, but under a
	// rootless engine.
	User specs.User
	// Sandbox is what the job runs under.
	Sandbox Sandbox
	// GPUs are the ids of the GPUs that are the job's alone (CheckGPUs), as their
	// vendor's tools know them: "GPU-1a2b…". It sees no other; none if empty.
	GPUs []string

	// Shared says that this attempt may share a container with others of its batch,
	// one after another; nil for one of its own. Only an executor that says so takes
	// it (internal/runner/shared); to others it is an invalid specification.
	Shared *Shared
	// Serve says that this is such a container and not an attempt: Argv is its fork
	// server. See ServingHandle.
	Serve bool

	// Telemetry says that RuntimeDir/TelemetrySocket is being served.
	Telemetry bool
	// Timeout is how long the job may run. The runner enforces it; the shim does
	// so at Timeout + Grace, where nobody else did.
	Timeout time.Duration
	Grace   time.Duration
	// RunnerLoss is how long the job goes on while its runner is away; then the
	// shim ends it. 0 means until Timeout + Grace.
	RunnerLoss time.Duration
	// LogHead and LogTail bound what is kept of each of stdout and stderr, in
	// bytes.
	LogHead int64
	LogTail int64
}

// Mount is one read-only bind mount.
type Mount struct {
	Source string `json:"source" yaml:"source"`
	Target string `json:"target" yaml:"target"`
}

// Sandbox is the limits of one job, in OCI runtime-spec types where there are
// any. DefaultSandbox has the defaults; a zero Sandbox is invalid.
type Sandbox struct {
	// Resources holds CPU (Quota over Period), Memory (Limit; Swap is set equal
	// to it) and Pids limits, each required. CPU.Shares, which may be nil, is the
	// job's weight where the CPUs are busy.
	Resources specs.LinuxResources
	// OOMScoreAdj makes the kernel choose the job before others where the host's
	// memory is short (proc_pid_oom_score_adj(5)). It is the shim's, which gives
	// its job 500 more.
	OOMScoreAdj int
	// Rlimits are set on the job, by their POSIX names (RLIMIT_NOFILE, …).
	Rlimits []specs.POSIXRlimit
	// Seccomp is the system call filter. Nil means the executor's own default
	// profile, which is stricter than the engine's.
	Seccomp *specs.LinuxSeccomp
	// EngineSeccomp leaves the filter to the engine; Seccomp is nil then.
	EngineSeccomp bool
	// Capabilities are what is kept of the Linux capabilities: none by default.
	Capabilities []string
	// TmpBytes, HomeBytes and ShmBytes bound the tmpfs mounts /tmp, HOME and
	// /dev/shm.
	TmpBytes, HomeBytes, ShmBytes int64
	// Devices are character devices of the host, for reading and writing, under the
	// same path; none by default. Only Path is used.
	Devices []specs.LinuxDevice
	// Network is the engine's network: "none" by default.
	Network string
	// Runtime is the engine's OCI runtime; empty means the engine's default.
	Runtime string
}
