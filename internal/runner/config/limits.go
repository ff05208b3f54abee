package config

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
)

const (
	kib = 1 << 10
	mib = 1 << 20
	tib = 1 << 40

	decade = duration(10 * 365 * 24 * time.Hour)
)

// limits reads the limits of the section sandbox. Lower bounds are what a job needs to start at
// all: an engine refuses less than 6 MiB of memory, a size of 0 makes a tmpfs
// unbounded, and the shim itself needs some threads and descriptors.
func (r *resolver) limits() {
	c, d := &r.cfg.Limits, &r.doc.Sandbox
	limit(r, "cpu", &c.CPUMillis, d.CPU, 10, 1_000_000)
	limit(r, "max_cpu", &c.MaxCPUMillis, d.MaxCPU, 10, 1_000_000)
	limit(r, "memory", &c.MemoryBytes, d.Memory, 6*mib, 64*tib)
	limit(r, "max_memory", &c.MaxMemoryBytes, d.MaxMemory, 6*mib, 64*tib)
	limit(r, "timeout", &c.Timeout, d.Timeout, duration(time.Millisecond), decade)
	limit(r, "max_timeout", &c.MaxTimeout, d.MaxTimeout, duration(time.Millisecond), decade)
	limit(r, "grace", &c.Grace, d.Grace, 0, duration(time.Hour))
	limit(r, "pids", &c.Pids, d.Pids, 32, 4<<20)
	limit(r, "tmpfs.tmp", &c.TmpBytes, d.Tmpfs.Tmp, 64*kib, tib)
	limit(r, "tmpfs.home", &c.HomeBytes, d.Tmpfs.Home, 64*kib, tib)
	limit(r, "tmpfs.shm", &c.ShmBytes, d.Tmpfs.Shm, 64*kib, tib)
	limit(r, "log_head", &c.LogHead, d.LogHead, 0, tib)
	limit(r, "log_tail", &c.LogTail, d.LogTail, 0, tib)
	o := &d.Output
	limit(r, "output.total", &c.Output.TotalBytes, o.Total, kib, 1024*tib)
	limit(r, "output.per_file", &c.Output.FileBytes, o.PerFile, kib, 1024*tib)
	limit(r, "output.files", &c.Output.Files, o.Files, 1, 10_000_000)
	limit(r, "output.depth", &c.Output.Depth, o.Depth, 1, 1000)
	r.logs()
	r.maxima()
}

// logCut is more than the line takes that says in a log what was cut out of it.
const logCut = 512

// logs sees to it that a log with head and tail is not larger than a file may be, which
// holds for the shim as well.
func (r *resolver) logs() {
	c, d := &r.cfg.Limits, &r.doc.Sandbox
	room := max(c.Output.FileBytes-logCut, 0)
	switch {
	case d.LogHead == nil && d.LogTail == nil:
		c.LogHead, c.LogTail = min(c.LogHead, room/2), min(c.LogTail, room/2)
	case d.LogHead == nil:
		c.LogHead = min(c.LogHead, max(room-c.LogTail, 0))
	case d.LogTail == nil:
		c.LogTail = min(c.LogTail, max(room-c.LogHead, 0))
	}
	if c.LogHead+c.LogTail > room {
		r.errorf("sandbox.log_head", "%s and sandbox.log_tail, %s, are more than a file may have (sandbox.output.per_file, %s); lower them or raise that",
			show(size(c.LogHead)), show(size(c.LogTail)), show(size(c.Output.FileBytes)))
	}
}

// maxima checks each default against what a batch may ask for. A maximum that
// nobody set rises with its default.
func (r *resolver) maxima() {
	c, d := &r.cfg.Limits, &r.doc.Sandbox
	if d.MaxMemory == nil { // full slots can't ask for more than there is
		share := r.cfg.JobMemoryBytes() / int64(max(r.cfg.MaxConcurrentJobs, 1))
		c.MaxMemoryBytes = max(share/mib*mib, c.MemoryBytes)
	}
	if d.MaxCPU == nil {
		c.MaxCPUMillis = max(c.MaxCPUMillis, c.CPUMillis)
	}
	if d.MaxTimeout == nil {
		c.MaxTimeout = max(c.MaxTimeout, c.Timeout)
	}
	if c.CPUMillis > c.MaxCPUMillis {
		r.errorf("sandbox.cpu", "%s is more than sandbox.max_cpu, %s; lower one or raise the other", show(cores(c.CPUMillis)), show(cores(c.MaxCPUMillis)))
	}
	if c.MemoryBytes > c.MaxMemoryBytes {
		r.errorf("sandbox.memory", "%s is more than sandbox.max_memory, %s; lower one or raise the other", show(size(c.MemoryBytes)), show(size(c.MaxMemoryBytes)))
	}
	if c.Timeout > c.MaxTimeout {
		r.errorf("sandbox.timeout", "%v is more than sandbox.max_timeout, %v; lower one or raise the other", c.Timeout, c.MaxTimeout)
	}
}

// limit takes a limit from the document, if it is there, and checks its bounds.
func limit[T, D ~int64 | ~int](r *resolver, name string, to *T, from *D, low, high D) {
	if from == nil {
		return
	}
	if *from < low || *from > high {
		r.errorf("sandbox."+name, "%s is out of range; want %s to %s", show(*from), show(low), show(high))
		return
	}
	*to = T(*from)
}

// show writes a limit as a person would.
func show(v any) string {
	switch v := v.(type) {
	case size:
		return resource.NewQuantity(int64(v), resource.BinarySI).String()
	case cores:
		return resource.NewMilliQuantity(int64(v), resource.DecimalSI).String() + " CPU"
	case duration:
		return time.Duration(v).String()
	}
	return fmt.Sprint(v)
}
