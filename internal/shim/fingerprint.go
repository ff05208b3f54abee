package shim

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// fingerprint describes what a process of the same user can change of others:
// resource limits, priority, scheduling policy and processors. It is the same text
// as long as nothing of that changes, however many threads there are.
func fingerprint(pids ...int) string {
	var text strings.Builder
	for _, pid := range pids {
		dir := "/proc/" + strconv.Itoa(pid)
		limits, _ := os.ReadFile(dir + "/limits") // an end shows elsewhere
		text.Write(limits)
		var threads []string
		tasks, _ := filepath.Glob(dir + "/task/*")
		for _, task := range tasks {
			if one := scheduling(task); one != "" {
				threads = append(threads, one)
			}
		}
		slices.Sort(threads)
		text.WriteString(strings.Join(slices.Compact(threads), "\n"))
	}
	return text.String()
}

// scheduling reads a thread's priority, niceness, real-time priority, policy and
// processors; empty where it has ended meanwhile.
func scheduling(task string) string {
	stat, err := os.ReadFile(task + "/stat")
	if err != nil {
		return ""
	}
	status, err := os.ReadFile(task + "/status")
	if err != nil {
		return ""
	}
	// proc_pid_stat(5): after the name, state is field 3, priority 18, nice 19,
	// rt_priority 40, policy 41.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 39 {
		return ""
	}
	processors := ""
	for line := range strings.Lines(string(status)) {
		if strings.HasPrefix(line, "Cpus_allowed:") {
			processors = line
		}
	}
	return fmt.Sprint(fields[15], fields[16], fields[37], fields[38], processors)
}

// resident is a process's resident memory in bytes; 0 if it is gone.
func resident(pid int) int64 {
	statm, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	fields := strings.Fields(string(statm))
	if err != nil || len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}
