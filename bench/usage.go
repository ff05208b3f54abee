package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cpuTimes are what processes have used, with all threads that they have and had,
// in nanoseconds where proc_pid_stat(5) counts hundredths of a second.
func cpuTimes(ps ...*process) ([]time.Duration, error) {
	var times []time.Duration
	for _, p := range ps {
		// The clock of another process, as clock_getcpuclockid(3) makes its id.
		const schedulers = 2
		var used unix.Timespec
		if err := unix.ClockGettime(int32(^p.cmd.Process.Pid<<3|schedulers), &used); err != nil {
			return nil, fmt.Errorf("CPU time of %s: %w", p.cmd.Path, err)
		}
		times = append(times, time.Duration(used.Nano()))
	}
	return times, nil
}

// residentMegabytes is VmRSS of proc_pid_status(5), in 10^6 bytes.
func residentMegabytes(p *process) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
			return kib * 1024 / 1e6, err
		}
	}
	return 0, errors.New("the process has no memory")
}

// count is the number of entries of one of the process's directories in /proc: fd,
// its descriptors, or task, its threads.
func count(p *process, directory string) (int, error) {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/%s", p.cmd.Process.Pid, directory))
	return len(entries), err
}
