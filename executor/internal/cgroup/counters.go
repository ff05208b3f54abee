package cgroup

import (
	"math"
	"os"
	"strconv"
	"strings"
	"time"
)

// Counters are what a group knew of its processes. A field is 0 where it could not be
// read, and never negative, whatever the files hold.
type Counters struct {
	// Peak is the largest memory use in bytes, OOMKills the number of processes
	// killed for want of memory.
	Peak, OOMKills int64
	// CPU is the processor time of all processes that ever were in the group.
	CPU time.Duration
}

// Counters reads the counters. ok is false where the group is gone, or was none.
func (g *Group) Counters() (c Counters, ok bool) {
	names := v1Counters
	if g.V2 {
		names = v2Counters
	}
	events, noMemory := os.ReadFile(g.File("memory", names.events))
	usage, noCPU := os.ReadFile(g.File(names.cpuController, names.cpu))
	peak, _ := os.ReadFile(g.File("memory", names.peak)) // not there before Linux 5.19
	c = Counters{Peak: Count(string(peak)), OOMKills: Keyed(string(events), "oom_kill"), CPU: names.parseCPU(string(usage))}
	return c, noMemory == nil || noCPU == nil
}

// counterFiles are the names of what Counters reads.
type counterFiles struct {
	peak, events, cpuController, cpu string
	parseCPU                         func(string) time.Duration
}

var (
	v1Counters = counterFiles{"memory.max_usage_in_bytes", "memory.oom_control", "cpuacct", "cpuacct.usage", nanoseconds}
	v2Counters = counterFiles{"memory.peak", "memory.events", "", "cpu.stat", usageUsec}
)

// Keyed finds "key value" in the text of a flat-keyed file, and reads the value as
// Count does; 0 if there is none.
func Keyed(text, key string) int64 {
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(line, key+" "); ok {
			return Count(v)
		}
	}
	return 0
}

// Count reads a number that is never negative; 0 for anything else.
func Count(text string) int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil {
		return 0
	}
	return max(0, n)
}

func nanoseconds(text string) time.Duration { return time.Duration(Count(text)) }

func usageUsec(text string) time.Duration {
	const most = math.MaxInt64 / int64(time.Microsecond)
	return time.Duration(min(Keyed(text, "usage_usec"), most)) * time.Microsecond
}
