// Package cgroup reads what a control group knows of its processes, and ends them:
// of version 1, where each controller has a hierarchy of its own, and of version 2.
// Whose group it is, and who made it, is the executors' care.
package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Group is one group of processes. The zero Group has no controllers, and nothing can
// be done to it.
type Group struct {
	V2 bool `json:"v2"`
	// Dirs has its directory by controller; with version 2 all are the same, and
	// "" is there too.
	Dirs map[string]string `json:"dirs"`
}

// Has says whether the group has a controller.
func (g *Group) Has(controller string) bool { return g.Dirs[controller] != "" }

// File names a controller's file; empty where the group has no such controller.
func (g *Group) File(controller, name string) string {
	dir := g.Dirs[controller]
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, name)
}

// Unique are the group's directories, each once: controllers may share one.
func (g *Group) Unique() []string { return slices.Compact(slices.Sorted(maps.Values(g.Dirs))) }

// Parse maps controllers to paths in the text of /proc/PID/cgroup; "" is version 2
// (cgroups(7)).
func Parse(text string) map[string]string {
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

// Processes lists what lives in the group; none where that is gone.
func (g *Group) Processes() ([]int, error) {
	var dir string
	for _, controller := range []string{"", "pids", "memory"} {
		if dir == "" {
			dir = g.Dirs[controller]
		}
	}
	if dir == "" {
		return nil, nil
	}
	text, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cgroup: %w", err)
	}
	var pids []int
	for field := range strings.FieldsSeq(string(text)) {
		pid, err := strconv.Atoi(field)
		if err != nil || pid <= 0 { // 0 is one outside of our pid namespace
			continue
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

// Kill ends everything in the group that there is now. Version 2 does it in one
// step since Linux 5.14. Elsewhere nothing can be forked any more once the limit on
// processes is 0, so that no tree outruns this; without that controller it may
// take several calls.
func (g *Group) Kill() error {
	if g.V2 && Write(g.File("", "cgroup.kill"), "1") == nil {
		return nil
	}
	if g.Has("pids") {
		_ = Write(g.File("pids", "pids.max"), "0")
	}
	pids, err := g.Processes()
	if err != nil {
		return err
	}
	held := map[int]int{}
	for _, pid := range pids {
		if fd, err := unix.PidfdOpen(pid, 0); err == nil {
			held[pid] = fd
		}
	}
	// An id that is still in the group is that of a process there, so the
	// descriptor, taken before, is that process's, or an ended one's.
	still, err := g.Processes()
	for _, pid := range still {
		if fd, ok := held[pid]; ok {
			_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
		}
	}
	for _, fd := range held {
		_ = unix.Close(fd)
	}
	return err
}

// Write writes to a file that the kernel made.
func Write(file, text string) error {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
