package process

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tetryx/lynx-runner/executor/internal/cgroup"
)

// The names of what a runner makes among the host's cgroups: the parent of its
// attempts', and in version 2 the one that it puts itself into.
const (
	groupParent = "lynx-runner"
	groupSelf   = "lynx-runner-self"
)

// wanted are the controllers whose limits and counters are of use.
var wanted = []string{"memory", "pids", "cpu", "cpuacct"}

// hierarchy is where this runner can make cgroups.
type hierarchy struct {
	v2 bool
	// parents has the parent directory of the attempts' cgroups by controller;
	// with version 2 all are the same, and "" is there too.
	parents map[string]string
}

func (h *hierarchy) has(controller string) bool { return h != nil && h.parents[controller] != "" }

// missing are the controllers that limit something and are not to be had.
func (h *hierarchy) missing() []string {
	return slices.DeleteFunc([]string{"cpu", "memory", "pids"}, h.has)
}

// attempt names the cgroup of an attempt.
func (h *hierarchy) attempt(id string) *group {
	if h == nil {
		return nil
	}
	g := &group{cgroup.Group{V2: h.v2, Dirs: map[string]string{}}}
	for controller, parent := range h.parents {
		g.Dirs[controller] = filepath.Join(parent, id)
	}
	return g
}

// mount is one mounted cgroup file system.
type mount struct {
	point string
	// root is the cgroup that the mount shows as its root; not "/" in a container.
	root        string
	v2          bool
	controllers []string
}

// findHierarchy finds out, from a process's entry in /proc, where its cgroups are
// and whether others can be made below. Version 1 and 2 can be mounted side by
// side; what counts is where the controllers are.
func findHierarchy(proc string) (*hierarchy, error) {
	info, err := os.ReadFile(filepath.Join(proc, "mountinfo"))
	if err != nil {
		return nil, err
	}
	groups, err := os.ReadFile(filepath.Join(proc, "cgroup"))
	if err != nil {
		return nil, err
	}
	own, mounts := cgroup.Parse(string(groups)), parseMounts(info)
	if h := findV1(own, mounts); h != nil {
		return h, nil
	}
	path, ok := own[""]
	i := slices.IndexFunc(mounts, func(m mount) bool { return m.v2 })
	if !ok || i < 0 {
		return nil, errors.New("no cgroup file system with a memory or pids controller in which this runner can make cgroups is mounted")
	}
	return findV2(mounts[i], path)
}

// parseMounts finds the cgroup file systems in proc_pid_mountinfo(5).
func parseMounts(info []byte) []mount {
	var mounts []mount
	lines := bufio.NewScanner(bytes.NewReader(info))
	for lines.Scan() {
		before, after, ok := strings.Cut(lines.Text(), " - ")
		place, kind := strings.Fields(before), strings.Fields(after)
		if !ok || len(place) < 5 || len(kind) < 3 || !strings.HasPrefix(kind[0], "cgroup") {
			continue
		}
		m := mount{root: unescape(place[3]), point: unescape(place[4]), v2: kind[0] == "cgroup2"}
		if !m.v2 {
			m.controllers = strings.Split(kind[2], ",")
		}
		mounts = append(mounts, m)
	}
	return mounts
}

// unescape undoes the octal escapes of blanks in mountinfo.
func unescape(path string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(path)
}

// dir is where a cgroup is seen. A path outside of what the mount shows is taken
// for its root, as in a container with the host's numbering.
func (m mount) dir(path string) string {
	rel, err := filepath.Rel(m.root, path)
	if err != nil || strings.HasPrefix(rel, "..") || strings.HasPrefix(path, "/..") {
		rel = "."
	}
	return filepath.Join(m.point, rel)
}

// findV1 looks for controllers of version 1 below whose cgroup of this process
// others can be made. nil if neither memory nor processes can be limited there.
func findV1(own map[string]string, mounts []mount) *hierarchy {
	h := &hierarchy{parents: map[string]string{}}
	for _, controller := range wanted {
		i := slices.IndexFunc(mounts, func(m mount) bool { return !m.v2 && slices.Contains(m.controllers, controller) })
		path, ok := own[controller]
		if i < 0 || !ok {
			continue
		}
		parent := filepath.Join(mounts[i].dir(path), groupParent)
		if probe(parent) == nil {
			h.parents[controller] = parent
		}
	}
	if !h.has("memory") && !h.has("pids") {
		return nil
	}
	return h
}

// probe makes sure that cgroups can be made below a parent.
func probe(parent string) error {
	trial := filepath.Join(parent, "probe-"+strconv.Itoa(os.Getpid()))
	err := makeGroup(trial)
	return errors.Join(err, removeGroup(trial))
}

// findV2 finds, or makes, a parent for cgroups of version 2. There a cgroup that
// has processes can't give controllers to those below it, so where the runner's
// own cgroup is its to divide, it first puts itself into one of those.
func findV2(m mount, path string) (*hierarchy, error) {
	own, top := m.dir(path), m.point
	_, err := os.Stat(filepath.Join(top, "cgroup.type")) // the host's own root has none
	hostRoot := errors.Is(err, os.ErrNotExist)
	switch {
	case filepath.Base(own) == groupSelf:
		top = filepath.Dir(own)
	case own == top && hostRoot:
	case delegated(own, own == top):
		if err := moveSelf(own); err != nil {
			return nil, err
		}
		top = own
	case !hostRoot || os.Geteuid() != 0:
		return nil, fmt.Errorf("the cgroup %s is not this runner's to divide", own)
	}
	h := &hierarchy{v2: true, parents: map[string]string{"": filepath.Join(top, groupParent)}}
	enable(top)
	if err := probe(h.parents[""]); err != nil {
		return nil, err
	}
	available, err := os.ReadFile(filepath.Join(top, "cgroup.subtree_control"))
	if err != nil {
		return nil, err
	}
	for controller := range strings.FieldsSeq(string(available)) {
		if slices.Contains(wanted, controller) {
			h.parents[controller] = h.parents[""]
		}
	}
	return h, nil
}

// delegated says whether a cgroup is the runner's alone: nobody else is in it,
// and it was handed over, by its owner, by systemd's mark, or as the root of a
// container.
func delegated(dir string, root bool) bool {
	procs, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil || strings.TrimSpace(string(procs)) != strconv.Itoa(os.Getpid()) {
		return false
	}
	if unix.Access(filepath.Join(dir, "cgroup.subtree_control"), unix.W_OK) != nil {
		return false
	}
	if root || os.Geteuid() != 0 {
		return true
	}
	var mark [1]byte
	for _, name := range []string{"trusted.delegate", "user.delegate"} {
		if n, err := unix.Getxattr(dir, name, mark[:]); err == nil && n == 1 && mark[0] == '1' {
			return true
		}
	}
	return false
}

func moveSelf(own string) error {
	self := filepath.Join(own, groupSelf)
	if err := os.Mkdir(self, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return cgroup.Write(filepath.Join(self, "cgroup.procs"), strconv.Itoa(os.Getpid()))
}

// enable gives controllers to the cgroups below a directory, as far as they are
// there.
func enable(dir string) {
	for _, controller := range wanted {
		_ = cgroup.Write(filepath.Join(dir, "cgroup.subtree_control"), "+"+controller)
	}
}
