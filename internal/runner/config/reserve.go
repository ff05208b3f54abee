package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Reserve is what a runner keeps from its jobs.
type Reserve struct {
	// Disk is what is to stay free in the file systems of OutputRoot and StateDir:
	// with less, no job is claimed.
	Disk DiskReserve
	// MemoryBytes is kept for the host: all jobs together are given no more than
	// what is left (Config.JobMemoryBytes).
	MemoryBytes int64
}

// reserveDocument is the section reserve.
type reserveDocument struct {
	Disk   *DiskReserve `yaml:"disk"`
	Memory *size        `yaml:"memory"`
}

// DiskReserve is a part of a file system, a number of bytes, or, with both, the
// smaller of the two: a reserve that is right for a small disk and for a large one.
// Negative is not set.
type DiskReserve struct {
	Percent float64
	Bytes   int64
}

// Of is the reserve, in bytes, of a file system of so many.
func (d DiskReserve) Of(total int64) int64 {
	part := int64(float64(total) * d.Percent / 100)
	switch {
	case d.Percent < 0:
		return d.Bytes
	case d.Bytes < 0:
		return part
	}
	return min(part, d.Bytes)
}

// String is the notation that UnmarshalText reads.
func (d DiskReserve) String() string {
	var parts []string
	if d.Percent >= 0 {
		parts = append(parts, strconv.FormatFloat(d.Percent, 'f', -1, 64)+"%")
	}
	if d.Bytes >= 0 {
		parts = append(parts, show(size(d.Bytes)))
	}
	return strings.Join(parts, " or ")
}

var errDiskReserve = errors.New(`not a reserve; write a part such as 5%, a size such as 2Gi, or "5% or 2Gi", which is the smaller of the two`)

// UnmarshalText reads PERCENT%, a size, or "PERCENT% or SIZE".
func (d *DiskReserve) UnmarshalText(text []byte) error {
	got := DiskReserve{Percent: -1, Bytes: -1}
	for i, part := range strings.Split(strings.TrimSpace(string(text)), " or ") {
		part = strings.TrimSpace(part)
		percent, isPercent := strings.CutSuffix(part, "%")
		var n size
		switch {
		case i == 0 && isPercent:
			p, err := strconv.ParseFloat(strings.TrimSpace(percent), 64)
			if err != nil || !(p >= 0 && p <= 90) {
				return fmt.Errorf("%w; a part is 0%% to 90%%", errDiskReserve)
			}
			got.Percent = p
		case i == 0 || i == 1 && got.Percent >= 0:
			if n.UnmarshalText([]byte(part)) != nil || n < 0 || n > 1024*tib {
				return errDiskReserve
			}
			got.Bytes = int64(n)
		default:
			return errDiskReserve
		}
	}
	*d = got
	return nil
}

// Bounds of the default memory reserve: a tenth of the host's memory, but no more
// than an operating system with a runner needs, and no less, if there is so much.
const (
	leastMemoryReserve = 256 * mib
	mostMemoryReserve  = 4096 * mib
)

func defaultReserve(h host) Reserve {
	memory := min(max(h.memory/10, leastMemoryReserve), mostMemoryReserve, h.memory/2)
	return Reserve{Disk: DiskReserve{Percent: 5, Bytes: 2048 * mib}, MemoryBytes: memory / mib * mib}
}

// JobMemoryBytes is the most memory that all jobs together are given: the declared
// capability, but never what the host's reserve leaves.
func (c *Config) JobMemoryBytes() int64 {
	declared := int64(c.Capabilities.MemoryGB * (1 << 30))
	if c.HostMemoryBytes == 0 {
		return declared
	}
	return min(declared, c.HostMemoryBytes-c.Reserve.MemoryBytes)
}

// JobCPUMillis is the same of CPU, in thousandths of a core.
func (c *Config) JobCPUMillis() int64 { return int64(c.Capabilities.CPUCores * 1000) }

// reserve settles what is kept from jobs, and what that leaves for one that asks
// for nothing. It comes after the capabilities and before the limits.
func (r *resolver) reserve() {
	c, d := r.cfg, &r.doc.Reserve
	c.HostMemoryBytes = r.host.memory
	set(&c.Reserve.Disk, d.Disk)
	if d.Memory != nil {
		c.Reserve.MemoryBytes = int64(*d.Memory)
	}
	if c.Reserve.MemoryBytes < 0 || c.Reserve.MemoryBytes > r.host.memory-leastJobMemory {
		r.errorf("reserve.memory", "%s of this host's %s leaves nothing for jobs; want less", show(size(c.Reserve.MemoryBytes)), show(size(r.host.memory)))
		return
	}
	if r.doc.Capabilities == nil || r.doc.Capabilities.MemoryGB == nil {
		c.Capabilities.MemoryGB = float64((c.HostMemoryBytes-c.Reserve.MemoryBytes)/memoryPrecision) / 100
	}
	c.Limits.MemoryBytes = max(min(c.Limits.MemoryBytes, c.JobMemoryBytes()), leastJobMemory)
	c.Limits.CPUMillis = max(min(c.Limits.CPUMillis, c.JobCPUMillis()), leastJobCPU)
}

// What a job needs to start at all.
const (
	leastJobMemory = 6 * mib
	leastJobCPU    = 10
)

// memoryPrecision is how exactly memory_gb is told, in bytes.
const memoryPrecision = (1 << 30) / 100

// fits makes sure that a job that asks for nothing can run.
func (r *resolver) fits() {
	c := r.cfg
	if c.Limits.MemoryBytes > c.JobMemoryBytes()+memoryPrecision {
		r.errorf("sandbox.memory", "%s is more than the %s that all jobs together are given (capabilities.memory_gb, and this host's memory less reserve.memory); lower it, or no job runs",
			show(size(c.Limits.MemoryBytes)), show(size(c.JobMemoryBytes())))
	}
	if c.Limits.CPUMillis > c.JobCPUMillis() && c.JobCPUMillis() > 0 {
		r.errorf("sandbox.cpu", "%s is more than the %s of capabilities.cpu_cores; lower it, or no job runs", show(cores(c.Limits.CPUMillis)), show(cores(c.JobCPUMillis())))
	}
}
