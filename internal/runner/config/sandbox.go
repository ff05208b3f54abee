package config

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/tetryx/lynx-runner/executor"
)

// Sandbox is what the section sandbox says beside limits, images and users: the
// walls around a job, in the terms of the OCI runtime specification. The zero
// Sandbox is the default, the safest.
type Sandbox struct {
	// Seccomp is where the system call filter comes from: SeccompDefault,
	// SeccompEngine, or the absolute path of a profile.
	Seccomp string
	// Profile is the filter of a file; nil where Seccomp names none.
	Profile *specs.LinuxSeccomp
	// Capabilities are what jobs keep of the capabilities, such as CAP_NET_RAW.
	Capabilities []string
	// Rlimits are by their POSIX names. RLIMIT_FSIZE is not among them: it is
	// Limits.Output.FileBytes.
	Rlimits []specs.POSIXRlimit
	// Devices are paths of character devices of the host that jobs may use.
	Devices []string
	// Network is "none" or one of the engine's networks.
	Network string
	// Runtime is one of the engine's OCI runtimes; empty for its default.
	Runtime string
	// Unenforced are the limits of Unenforceable that an engine may leave out.
	Unenforced []string
	// Isolation is what a study may ask for in compute.isolation: IsolationJob, and
	// where the owner allows it IsolationBatch.
	Isolation []string
}

// The values in Sandbox.Isolation.
const (
	// IsolationJob gives each job a container of its own.
	IsolationJob = "job"
	// IsolationBatch lets jobs of one batch have a container one after another.
	IsolationBatch = "batch"
)

// The values of Sandbox.Seccomp that are no path.
const (
	SeccompDefault = "default"
	SeccompEngine  = "engine"
)

// NetworkNone is the network of jobs that have none but their own loopback.
const NetworkNone = "none"

// Unenforceable are the limits that some engines accept and ignore, as an owner
// may name them in sandbox.unenforced.
var Unenforceable = []string{"memory", "swap", "pids", "cpu"}

// sandboxDocument is the section in a file.
type sandboxDocument struct {
	Seccomp       *string          `yaml:"seccomp"`
	Capabilities  []string         `yaml:"capabilities"`
	Rlimits       []rlimitDocument `yaml:"rlimits"`
	Devices       []string         `yaml:"devices"`
	Network       *string          `yaml:"network"`
	Runtime       *string          `yaml:"runtime"`
	Unenforced    []string         `yaml:"unenforced"`
	Isolation     []string         `yaml:"isolation"`
	AllowedImages []string         `yaml:"allowed_images"`
	PullPolicy    *string          `yaml:"pull_policy"`
	DataMounts    []executor.Mount `yaml:"data_mounts"`
	UIDRange      *UIDRange        `yaml:"uid_range"`
	OutputOwner   *Owner           `yaml:"output_owner"`
	CPU           *cores           `yaml:"cpu"`
	MaxCPU        *cores           `yaml:"max_cpu"`
	Memory        *size            `yaml:"memory"`
	MaxMemory     *size            `yaml:"max_memory"`
	Timeout       *duration        `yaml:"timeout"`
	MaxTimeout    *duration        `yaml:"max_timeout"`
	Grace         *duration        `yaml:"grace"`
	Pids          *int64           `yaml:"pids"`
	Tmpfs         tmpfsDocument    `yaml:"tmpfs"`
	Output        outputDocument   `yaml:"output"`
	LogHead       *size            `yaml:"log_head"`
	LogTail       *size            `yaml:"log_tail"`
}

type tmpfsDocument struct {
	Tmp  *size `yaml:"tmp"`
	Home *size `yaml:"home"`
	Shm  *size `yaml:"shm"`
}

type outputDocument struct {
	Total   *size `yaml:"total"`
	PerFile *size `yaml:"per_file"`
	Files   *int  `yaml:"files"`
	Depth   *int  `yaml:"depth"`
}

// rlimitDocument is a specs.POSIXRlimit; without soft that is the same as hard.
type rlimitDocument struct {
	Type string       `yaml:"type" strict:"required"`
	Hard *rlimitValue `yaml:"hard" strict:"required"`
	Soft *rlimitValue `yaml:"soft"`
}

// rlimitValue is a number, a size, or "unlimited".
type rlimitValue uint64

const unlimited = "unlimited"

// UnmarshalText implements encoding.TextUnmarshaler.
func (v *rlimitValue) UnmarshalText(text []byte) error {
	if strings.TrimSpace(string(text)) == unlimited {
		*v = math.MaxUint64
		return nil
	}
	var n size
	if err := n.UnmarshalText(text); err != nil || n < 0 {
		return errors.New("not a limit; write a number, a size such as 64Mi, or unlimited")
	}
	*v = rlimitValue(n)
	return nil
}

// MarshalJSON is the inverse of UnmarshalText, for listings.
func (v rlimitValue) MarshalJSON() ([]byte, error) { return json.Marshal(v.value()) }

func (v rlimitValue) value() any {
	if v == math.MaxUint64 {
		return unlimited
	}
	return uint64(v)
}

// defaultRlimits are those of executor.DefaultSandbox that have no other setting.
func defaultRlimits() []specs.POSIXRlimit {
	return slices.DeleteFunc(executor.DefaultSandbox().Rlimits, func(l specs.POSIXRlimit) bool { return l.Type == rlimitFileSize })
}

const (
	rlimitFileSize  = "RLIMIT_FSIZE"
	rlimitOpenFiles = "RLIMIT_NOFILE"
	rlimitProcesses = "RLIMIT_NPROC"
)

// sandbox reads what of the section is no limit, image, user or mount.
func (r *resolver) sandbox() {
	s, d := &r.cfg.Sandbox, &r.doc.Sandbox
	set(&s.Network, d.Network)
	set(&s.Runtime, d.Runtime)
	s.Capabilities, s.Devices, s.Unenforced = d.Capabilities, d.Devices, d.Unenforced
	r.seccomp()
	r.rlimits()
	for _, name := range s.Capabilities {
		r.must("sandbox.capabilities", executor.CheckCapability(name))
	}
	for _, path := range s.Devices {
		r.must("sandbox.devices", executor.CheckDevice(path))
	}
	r.must("sandbox.network", executor.CheckNetwork(s.Network))
	if strings.ContainsAny(s.Runtime, "/ ") {
		r.errorf("sandbox.runtime", "%q is not the name of a runtime; want one of those that `docker info` lists, such as runc or runsc", s.Runtime)
	}
	for _, name := range s.Unenforced {
		if !slices.Contains(Unenforceable, name) {
			r.errorf("sandbox.unenforced", "%q is not a limit that an engine could leave out; want %s", name, strings.Join(Unenforceable, ", "))
		}
	}
	r.isolation()
	r.onlyContainers()
}

// isolation reads what studies may ask for. What is the default can't be refused.
func (r *resolver) isolation() {
	s := &r.cfg.Sandbox
	if r.doc.Sandbox.Isolation != nil {
		s.Isolation = r.doc.Sandbox.Isolation
	}
	for _, name := range s.Isolation {
		if name != IsolationJob && name != IsolationBatch {
			r.errorf("sandbox.isolation", "%q is no isolation; want job, or job and batch", name)
		}
	}
	if !slices.Contains(s.Isolation, IsolationJob) {
		r.errorf("sandbox.isolation", "lacks job, which is what studies get that ask for nothing; write [job, batch]")
	}
}

// must records an error of a rule that stands elsewhere.
func (r *resolver) must(path string, err error) {
	if err != nil {
		r.errorf(path, "%v", err)
	}
}

// onlyContainers refuses what means nothing without a container: who sets it
// believes in a wall that is not there.
func (r *resolver) onlyContainers() {
	if r.cfg.Executor != ExecutorProcess {
		return
	}
	s := r.cfg.Sandbox
	for _, setting := range []struct {
		path string
		said bool
	}{
		{"sandbox.seccomp", s.Seccomp != SeccompDefault},
		{"sandbox.capabilities", len(s.Capabilities) > 0},
		{"sandbox.devices", len(s.Devices) > 0},
		{"sandbox.network", s.Network != NetworkNone},
		{"sandbox.runtime", s.Runtime != ""},
		{"sandbox.isolation", slices.Contains(s.Isolation, IsolationBatch)},
	} {
		if setting.said {
			r.errorf(setting.path, "has no effect with executor process, whose jobs have no container; leave it out, or choose executor docker")
		}
	}
}

// rlimits lays the configured limits over the defaults, by type.
func (r *resolver) rlimits() {
	const path = "sandbox.rlimits"
	list, seen := defaultRlimits(), map[string]bool{}
	for _, d := range r.doc.Sandbox.Rlimits {
		l := specs.POSIXRlimit{Type: d.Type}
		if d.Hard == nil { // reported already
			continue
		}
		l.Hard, l.Soft = uint64(*d.Hard), uint64(*d.Hard)
		if d.Soft != nil {
			l.Soft = uint64(*d.Soft)
		}
		switch {
		case d.Type == rlimitFileSize:
			r.errorf(path, "%s is sandbox.output.per_file; set that", d.Type)
		case d.Type == rlimitProcesses:
			r.errorf(path, "%s counts every process of a user, on the whole host; set sandbox.pids, which counts a job's", d.Type)
		case !slices.Contains(executor.RlimitTypes(), d.Type):
			r.errorf(path, "%q is not a resource limit; want one of %s", d.Type, strings.Join(executor.RlimitTypes(), ", "))
		case seen[d.Type]:
			r.errorf(path, "%s is named twice", d.Type)
		case l.Soft > l.Hard:
			r.errorf(path, "%s: the soft limit is above the hard one", d.Type)
		case d.Type == rlimitOpenFiles && (l.Soft < 64 || l.Hard > 1<<20):
			r.errorf(path, "%s is out of range; want 64 to %d", d.Type, 1<<20)
		}
		seen[d.Type] = true
		if i := slices.IndexFunc(list, func(o specs.POSIXRlimit) bool { return o.Type == l.Type }); i >= 0 {
			list[i] = l
		} else {
			list = append(list, l)
		}
	}
	r.cfg.Sandbox.Rlimits = list
}

// JobSandbox is what a job with this much CPU, in thousandths of a core, and
// memory, in bytes, runs under.
func (c *Config) JobSandbox(cpuMillis, memory int64) executor.Sandbox {
	l, s := c.Limits, executor.DefaultSandbox().WithCPU(cpuMillis).WithMemory(memory).WithPids(c.Limits.Pids)
	s.TmpBytes, s.HomeBytes, s.ShmBytes = l.TmpBytes, l.HomeBytes, l.ShmBytes
	s.Rlimits = append(slices.Clone(c.Sandbox.Rlimits),
		specs.POSIXRlimit{Type: rlimitFileSize, Hard: uint64(l.Output.FileBytes), Soft: uint64(l.Output.FileBytes)})
	s.Seccomp, s.EngineSeccomp = c.Sandbox.Profile, c.Sandbox.Seccomp == SeccompEngine
	s.Capabilities, s.Runtime = c.Sandbox.Capabilities, c.Sandbox.Runtime
	if c.Sandbox.Network != "" {
		s.Network = c.Sandbox.Network
	}
	for _, path := range c.Sandbox.Devices {
		s.Devices = append(s.Devices, specs.LinuxDevice{Path: path})
	}
	return s
}

// AllowsImage reports whether a batch may ask for an image.
func (c *Config) AllowsImage(ref string) bool {
	return executor.ImagePatterns(c.AllowedImages).Allow(ref)
}
