package docker

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// counters are what a cgroup knew of its processes. A field is 0 where it could
// not be read.
type counters struct {
	// peak is the largest memory use in bytes, oomKills the number of processes
	// killed for want of memory, cpu the processor time of all processes, with
	// the container's set-up.
	peak, oomKills int64
	cpu            time.Duration
}

// cgroupFiles are the files of one process's cgroup in the hierarchies where its
// memory and CPU are accounted. They disappear with the container.
type cgroupFiles struct {
	peak, events string
	cpu          string
	parseCPU     func(string) time.Duration
	// quota is the file of the limit on CPU time, and unlimited what lifts it.
	quota, unlimited string
}

// findCgroup finds a process's cgroup below proc and the cgroup file system,
// /proc and /sys/fs/cgroup. Version 1 and 2 can be mounted side by side; what
// counts is where the memory controller is.
func findCgroup(proc, mount string, pid int) (cgroupFiles, error) {
	b, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(pid), "cgroup"))
	if err != nil {
		return cgroupFiles{}, err
	}
	paths := parseCgroups(string(b))
	for _, path := range paths {
		// So the kernel writes what is outside of the reader's cgroup namespace.
		if slices.Contains(strings.Split(path, "/"), "..") {
			return cgroupFiles{}, fmt.Errorf("process %d is in the cgroup %q, which is not to be seen from here", pid, path)
		}
	}
	if path, ok := paths["memory"]; ok {
		dir := filepath.Join(mount, "memory", path)
		files := cgroupFiles{
			peak: filepath.Join(dir, "memory.max_usage_in_bytes"), events: filepath.Join(dir, "memory.oom_control"),
			cpu: filepath.Join(mount, "cpuacct", paths["cpuacct"], "cpuacct.usage"), parseCPU: nanoseconds,
		}
		if paths["cpu"] == path { // else it may be more than the container's
			files.quota, files.unlimited = filepath.Join(mount, "cpu", path, "cpu.cfs_quota_us"), "-1"
		}
		return files, exists(dir)
	}
	path, ok := paths[""]
	if !ok {
		return cgroupFiles{}, fmt.Errorf("process %d is in no cgroup with a memory controller", pid)
	}
	dir := filepath.Join(mount, path)
	return cgroupFiles{
		peak: filepath.Join(dir, "memory.peak"), events: filepath.Join(dir, "memory.events"),
		cpu: filepath.Join(dir, "cpu.stat"), parseCPU: usageUsec,
		quota: filepath.Join(dir, "cpu.max"), unlimited: "max",
	}, exists(dir)
}

func exists(dir string) error {
	_, err := os.Stat(dir)
	return err
}

// parseCgroups maps controllers to paths; "" is version 2 (cgroups(7)).
func parseCgroups(text string) map[string]string {
	paths := map[string]string{}
	for line := range strings.Lines(text) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(fields) != 3 {
			continue
		}
		for controller := range strings.SplitSeq(fields[1], ",") {
			paths[controller] = fields[2]
		}
	}
	return paths
}

// read reads the counters. The error says that the cgroup is gone.
func (f cgroupFiles) read() (counters, error) {
	if f.events == "" {
		return counters{}, errors.New("no cgroup")
	}
	events, err := os.ReadFile(f.events)
	if err != nil {
		return counters{}, err
	}
	c := counters{oomKills: keyed(string(events), "oom_kill")}
	// memory.peak is missing before Linux 5.19.
	if b, err := os.ReadFile(f.peak); err == nil {
		c.peak = count(string(b))
	}
	if b, err := os.ReadFile(f.cpu); err == nil {
		c.cpu = f.parseCPU(string(b))
	}
	return c, nil
}

// liftQuota takes the limit on CPU time off a container that is being killed:
// within one that is used up, no process gets to die until the next period.
func (f cgroupFiles) liftQuota() error {
	if f.quota == "" {
		return errors.New("no cgroup")
	}
	quota, err := os.OpenFile(f.quota, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = quota.WriteString(f.unlimited)
	return errors.Join(err, quota.Close())
}

// keyed finds "key value" in a flat-keyed file.
func keyed(text, key string) int64 {
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(line, key+" "); ok {
			return count(v)
		}
	}
	return 0
}

// count reads a number that is never negative; 0 for anything else.
func count(text string) int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil {
		return 0
	}
	return max(0, n)
}

func nanoseconds(text string) time.Duration { return time.Duration(count(text)) }

func usageUsec(text string) time.Duration {
	const most = math.MaxInt64 / int64(time.Microsecond)
	return time.Duration(min(keyed(text, "usage_usec"), most)) * time.Microsecond
}
