package docker

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/tetryx/lynx-runner/executor/internal/cgroup"
)

// cgroupMount is where the control groups of all versions are.
const cgroupMount = "/sys/fs/cgroup"

// controllers are those that something is read from or written to.
var controllers = []string{"memory", "pids", "cpu", "cpuacct"}

// findCgroup finds a container's cgroup below proc and the cgroup file system, /proc
// and /sys/fs/cgroup, by a process in it. Version 1 and 2 can be mounted side by side;
// what counts is where the memory controller is. A directory without the container's
// id in its name may hold other processes than the container's, and is left out.
func findCgroup(proc, mount string, pid int, containerID string) (cgroup.Group, error) {
	b, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(pid), "cgroup"))
	if err != nil {
		return cgroup.Group{}, err
	}
	paths := cgroup.Parse(string(b))
	for _, path := range paths {
		// So the kernel writes what is outside of the reader's cgroup namespace.
		if slices.Contains(strings.Split(path, "/"), "..") {
			return cgroup.Group{}, fmt.Errorf("process %d is in the cgroup %q, which is not to be seen from here", pid, path)
		}
	}
	_, v1 := paths["memory"]
	g := cgroup.Group{V2: !v1, Dirs: map[string]string{}}
	for _, controller := range controllers {
		path, dir := paths[controller], filepath.Join(mount, controller)
		if g.V2 {
			path, dir = paths[""], mount
		}
		if strings.Contains(path, containerID) {
			g.Dirs[controller] = filepath.Join(dir, path)
		}
	}
	if !g.Has("memory") {
		return cgroup.Group{}, fmt.Errorf("process %d is in no cgroup of container %s with a memory controller", pid, short(containerID))
	}
	if g.V2 {
		g.Dirs[""] = g.Dirs["memory"]
	}
	if _, err := os.Stat(g.Dirs["memory"]); err != nil {
		return cgroup.Group{}, err
	}
	return g, nil
}
