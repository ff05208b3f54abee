// Package config is the runner's configuration: a YAML file, overridden by
// LYNX_RUNNER_… variables, overridden by flags.
//
// Load makes one Config out of the three. Every field has a default that suits
// the user it runs as (root, or anybody else), every value is checked, an error
// names the field and what would be right, and Config.Origin tells where each
// effective value came from. Paths are made absolute against the current
// directory.
//
// A field's dotted path in the file gives its other two names: sandbox.memory is
// LYNX_RUNNER_SANDBOX_MEMORY in the environment and --sandbox-memory as a flag.
// Lists are separated by commas there.
package config

import (
	"time"

	"github.com/tetryx/lynx-runner/executor"
)

// Config is the effective configuration. It is not changed after Load.
type Config struct {
	// RunnerID is the runner's name at the platform; the default is the host's
	// name.
	RunnerID string
	// Server is the platform's gRPC address: HOST:PORT or unix:///PATH.
	Server string
	// TokenFile holds the platform's access token. Empty: none is sent, or the
	// one that the platform on this host keeps for this user is looked for.
	TokenFile string
	// Executor is where jobs are launched: ExecutorDocker, ExecutorProcess.
	Executor string
	// Engines are the names of the engines that this runner offers:
	// EngineBasilisk, EngineCommand.
	Engines []string
	// Commands are the named commands of engine command, by simulation type.
	Commands map[string]Command
	// Capabilities is what the runner declares to the platform.
	Capabilities Capabilities
	// PythonExecutable is the interpreter of engine basilisk: a path in the image,
	// or, of executor process, on this host.
	PythonExecutable string
	// Preload are the Python modules that jobs which share a container find loaded. One
	// with a ? behind its name may be missing.
	Preload []string
	// BasiliskEntrypoint is the scenario's file, relative to WorkingDirectory.
	BasiliskEntrypoint string
	// WorkingDirectory is the host directory with the user's code. It can be empty
	// where no engine needs one; jobs then begin in their output directory.
	WorkingDirectory string
	// OutputRoot is the host directory below which every attempt's files lie.
	OutputRoot string
	// OutputOwner is who gets the results under a root runner.
	OutputOwner Owner
	// UIDs are the user ids that a root runner gives to its slots.
	UIDs UIDRange
	// MaxConcurrentJobs is the number of slots.
	MaxConcurrentJobs int
	// MaxStarts is how many containers are created and started at the same time.
	MaxStarts int
	// Image is the container image of jobs that ask for none.
	Image string
	// AllowedImages are the references that a batch may ask for, Image and those
	// of Commands included.
	AllowedImages []string
	// PullPolicy says when an image is pulled: PullNever, PullIfMissing, PullAlways.
	PullPolicy string
	// Shim is the host path of lynx-shim. The default is beside the executable.
	Shim string
	// StateDir holds the outbox and the installation id; one process at a time.
	StateDir string
	// RuntimeDir holds the sockets of running attempts; its path is short.
	RuntimeDir string
	// LockDir holds one lock file per slot uid and per GPU, for every runner on the
	// host.
	LockDir string
	// OnRunnerLoss is what becomes of running jobs when the runner is killed:
	// RunnerLossContinue, and the next start takes them up, for at most
	// OnRunnerLossFor, or RunnerLossKill.
	OnRunnerLoss    string
	OnRunnerLossFor time.Duration
	// DataMounts are host directories that every job sees, read-only.
	DataMounts []executor.Mount
	// GPUs are the GPUs of the host that jobs can be given.
	GPUs GPUs
	// Reserve is what is kept from jobs.
	Reserve Reserve
	// HostMemoryBytes is the host's memory; 0 if it is not known.
	HostMemoryBytes int64
	// Retention is what is removed of what jobs left, when asked to clean.
	Retention Retention
	// Environment is added to every job's environment.
	Environment map[string]string
	// Sandbox and Limits confine a job; in the file both are the section sandbox,
	// with AllowedImages, PullPolicy, DataMounts, UIDs and OutputOwner.
	Sandbox Sandbox
	Limits  Limits
	// Relaxations are the ways in which jobs are confined less than by default.
	Relaxations []Relaxation

	// origins has the origin of each path that is not at its default.
	origins map[string]Origin
}

// The values of Config.Executor.
const (
	ExecutorDocker  = "docker"
	ExecutorProcess = "process"
)

// The values of Config.OnRunnerLoss.
const (
	RunnerLossContinue = "continue"
	RunnerLossKill     = "kill"
)

// The values of Config.PullPolicy.
const (
	PullNever     = "never"
	PullIfMissing = "if-missing"
	PullAlways    = "always"
)

// Capabilities is what the runner declares to the platform at registration.
type Capabilities struct {
	CPUCores     float64
	MemoryGB     float64
	GPUAvailable bool
	// SimulationTypes are the tags of the simulations that it accepts.
	SimulationTypes []string
}

// Owner is a numeric user and group. The zero Owner, which cannot be configured,
// stands for the owner of the output root.
type Owner struct {
	UID, GID int
	Set      bool
}

// UIDRange is an inclusive range of user ids.
type UIDRange struct{ First, Last int }

// Limits bounds a job. Each of CPU, memory and timeout is the default for a job
// that asks for nothing; Max… is the most that a batch may ask for.
type Limits struct {
	CPUMillis, MaxCPUMillis     int64
	MemoryBytes, MaxMemoryBytes int64
	Timeout, MaxTimeout         time.Duration
	// Grace is how long after Timeout the shim waits for the runner before it
	// kills by itself.
	Grace time.Duration
	Pids  int64
	// TmpBytes, HomeBytes and ShmBytes bound /tmp, HOME and /dev/shm.
	TmpBytes, HomeBytes, ShmBytes int64
	Output                        OutputLimits
	// LogHead and LogTail are what is kept of each of stdout and stderr, in bytes.
	LogHead, LogTail int64
}

// OutputLimits bounds what a job may leave: TotalBytes counts output/ and log/
// together.
type OutputLimits struct {
	TotalBytes, FileBytes int64
	Files, Depth          int
}

// Origin is where an effective value came from.
type Origin struct {
	// Kind is "default", "file", "env" or "flag".
	Kind string
	// Name is the file, the variable or the flag.
	Name string
}

// Origin returns where the value at a dotted path ("sandbox.memory") came from.
func (c *Config) Origin(path string) Origin {
	if o, ok := c.origins[path]; ok {
		return o
	}
	return Origin{Kind: "default"}
}
