package executor

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Default limits of a job (DESIGN §4.8).
const (
	DefaultCPUMillis   = 1000
	DefaultMemoryBytes = 1 << 30
	DefaultPids        = 512
	DefaultTmpBytes    = 256 << 20
	DefaultHomeBytes   = 64 << 20
	DefaultShmBytes    = 64 << 20
	DefaultFileBytes   = 2 << 30
	DefaultOpenFiles   = 4096

	// DefaultOOMScoreAdj makes a job go before the host's services, and a runner
	// before neither.
	DefaultOOMScoreAdj = 200
	// CPUSharesPerCore is the weight of a job for each core of its limit. A
	// process that is in no cgroup, and a service by default, have 1024: a runner
	// gets its turn beside full slots, and an idle core is a job's all the same.
	CPUSharesPerCore = 256

	// CPUPeriod is the accounting period of the CPU quota, in microseconds (the
	// kernel's default).
	CPUPeriod = 100_000

	minCPUShares = 2 // the kernel's
)

// DefaultSandbox returns the safe defaults: every limit set, no capability, no
// network. The executor's own seccomp profile is used where Seccomp is nil.
func DefaultSandbox() Sandbox {
	s := Sandbox{
		TmpBytes:  DefaultTmpBytes,
		HomeBytes: DefaultHomeBytes,
		ShmBytes:  DefaultShmBytes,
		Network:   "none",

		OOMScoreAdj: DefaultOOMScoreAdj,
		Rlimits: []specs.POSIXRlimit{
			{Type: "RLIMIT_CORE", Hard: 0, Soft: 0},
			{Type: "RLIMIT_FSIZE", Hard: DefaultFileBytes, Soft: DefaultFileBytes},
			{Type: "RLIMIT_NOFILE", Hard: DefaultOpenFiles, Soft: DefaultOpenFiles},
		},
	}
	return s.WithCPU(DefaultCPUMillis).WithMemory(DefaultMemoryBytes).WithPids(DefaultPids)
}

// WithCPU returns s with a CPU limit in thousandths of a core, and the weight
// that goes with it.
func (s Sandbox) WithCPU(millis int64) Sandbox {
	quota, period := millis*CPUPeriod/1000, uint64(CPUPeriod)
	shares := uint64(max(millis*CPUSharesPerCore/1000, minCPUShares))
	s.Resources.CPU = &specs.LinuxCPU{Quota: &quota, Period: &period, Shares: &shares}
	return s
}

// WithMemory returns s with a memory limit in bytes, and no swap beside it.
func (s Sandbox) WithMemory(bytes int64) Sandbox {
	limit, swap := bytes, bytes
	s.Resources.Memory = &specs.LinuxMemory{Limit: &limit, Swap: &swap}
	return s
}

// WithPids returns s with a limit on the number of processes and threads.
func (s Sandbox) WithPids(n int64) Sandbox {
	limit := n
	s.Resources.Pids = &specs.LinuxPids{Limit: &limit}
	return s
}

// RlimitTypes are the resource limits that can be set, by the names of
// specs.POSIXRlimit.
func RlimitTypes() []string {
	return []string{
		"RLIMIT_AS", "RLIMIT_CORE", "RLIMIT_CPU", "RLIMIT_DATA", "RLIMIT_FSIZE", "RLIMIT_LOCKS", "RLIMIT_MEMLOCK", "RLIMIT_MSGQUEUE",
		"RLIMIT_NICE", "RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_RSS", "RLIMIT_RTPRIO", "RLIMIT_RTTIME", "RLIMIT_SIGPENDING", "RLIMIT_STACK",
	}
}
