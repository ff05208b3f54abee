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

	// CPUPeriod is the accounting period of the CPU quota, in microseconds (the
	// kernel's default).
	CPUPeriod = 100_000
)

// DefaultSandbox returns the safe defaults: every limit set, no capability, no
// network. The executor's own seccomp profile is used where Seccomp is nil.
func DefaultSandbox() Sandbox {
	s := Sandbox{
		TmpBytes:  DefaultTmpBytes,
		HomeBytes: DefaultHomeBytes,
		ShmBytes:  DefaultShmBytes,
		Network:   "none",
		Rlimits: []specs.POSIXRlimit{
			{Type: "RLIMIT_CORE", Hard: 0, Soft: 0},
			{Type: "RLIMIT_FSIZE", Hard: DefaultFileBytes, Soft: DefaultFileBytes},
			{Type: "RLIMIT_NOFILE", Hard: DefaultOpenFiles, Soft: DefaultOpenFiles},
		},
	}
	return s.WithCPU(DefaultCPUMillis).WithMemory(DefaultMemoryBytes).WithPids(DefaultPids)
}

// WithCPU returns s with a CPU limit in thousandths of a core.
func (s Sandbox) WithCPU(millis int64) Sandbox {
	quota, period := millis*CPUPeriod/1000, uint64(CPUPeriod)
	s.Resources.CPU = &specs.LinuxCPU{Quota: &quota, Period: &period}
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
