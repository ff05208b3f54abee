package process

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// host is a made-up /proc/self and cgroup file system. What a real one makes by
// itself, the files of a new cgroup, tests make beforehand.
type host struct {
	t         *testing.T
	proc, sys string
}

func newHost(t *testing.T, groups string, mounts ...string) host {
	h := host{t: t, proc: t.TempDir(), sys: t.TempDir()}
	h.write(h.proc, "cgroup", groups)
	text := "23 1 0:20 / / rw - ext4 /dev/root rw\n"
	for _, m := range mounts {
		text += strings.ReplaceAll(m, "SYS", h.sys) + "\n"
	}
	h.write(h.proc, "mountinfo", text)
	return h
}

func (h host) write(dir, name, text string) {
	h.t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		h.t.Fatal(err)
	}
}

func (h host) dirs(names ...string) {
	h.t.Helper()
	for _, name := range names {
		if err := os.MkdirAll(filepath.Join(h.sys, name), 0o755); err != nil {
			h.t.Fatal(err)
		}
	}
}

func (h host) find() *hierarchy {
	h.t.Helper()
	found, err := findHierarchy(h.proc)
	if err != nil {
		h.t.Fatal(err)
	}
	return found
}

// parents are the found directories, relative to the file system.
func (h host) parents(of *hierarchy) map[string]string {
	m := maps.Clone(of.parents)
	for controller, dir := range m {
		rel, err := filepath.Rel(h.sys, dir)
		if err != nil {
			h.t.Fatal(err)
		}
		m[controller] = rel
	}
	return m
}

func v1Mount(controllers, root string) string {
	return "32 31 0:29 " + root + " SYS/" + controllers + " rw,relatime - cgroup cgroup rw," + controllers
}

const v2Mount = "41 31 0:38 / SYS rw,relatime - cgroup2 cgroup2 rw"

func TestVersion1(t *testing.T) {
	h := newHost(t, "4:memory:/here\n3:pids:/\n2:cpu,cpuacct:/other\n1:name=systemd:/\n",
		v1Mount("memory", "/"), v1Mount("pids", "/"), v1Mount("cpu,cpuacct", "/"))
	h.dirs("memory/here", "pids", "cpu,cpuacct/other")
	found := h.find()
	want := map[string]string{
		"memory": "memory/here/lynx-runner", "pids": "pids/lynx-runner",
		"cpu": "cpu,cpuacct/other/lynx-runner", "cpuacct": "cpu,cpuacct/other/lynx-runner",
	}
	if got := h.parents(found); !maps.Equal(got, want) || found.v2 {
		t.Errorf("parents %v, want %v", got, want)
	}
	if len(found.missing()) > 0 {
		t.Errorf("missing %v", found.missing())
	}
	if left, _ := filepath.Glob(filepath.Join(h.sys, "*/lynx-runner")); len(left) > 0 {
		t.Errorf("looking left %v", left)
	}
}

// A hybrid host has version 2 mounted as well, without controllers.
func TestHybrid(t *testing.T) {
	h := newHost(t, "4:memory:/\n3:pids:/\n0::/\n", v1Mount("memory", "/"), v1Mount("pids", "/"),
		strings.ReplaceAll(v2Mount, "SYS", "SYS/unified"))
	h.dirs("memory", "pids", "unified")
	found := h.find()
	if found.v2 || !found.has("memory") || !found.has("pids") {
		t.Errorf("found %+v", found)
	}
	if got := found.missing(); !slices.Equal(got, []string{"cpu"}) {
		t.Errorf("missing %v", got)
	}
}

// In a container /proc/self/cgroup has the host's paths, and the mount's root is
// the container's own cgroup.
func TestVersion1InContainer(t *testing.T) {
	h := newHost(t, "4:memory:/docker/abc\n3:pids:/docker/abc/below\n", v1Mount("memory", "/docker/abc"), v1Mount("pids", "/docker/abc"))
	h.dirs("memory", "pids/below")
	want := map[string]string{"memory": "memory/lynx-runner", "pids": "pids/below/lynx-runner"}
	if got := h.parents(h.find()); !maps.Equal(got, want) {
		t.Errorf("parents %v, want %v", got, want)
	}
}

// v2 writes what a directory of version 2 has.
func (h host) v2(dir, controllers string, procs ...int) {
	text := ""
	for _, pid := range procs {
		text += strconv.Itoa(pid) + "\n"
	}
	d := filepath.Join(h.sys, dir)
	h.write(d, "cgroup.procs", text)
	h.write(d, "cgroup.subtree_control", controllers)
	if dir != "" {
		h.write(d, "cgroup.type", "domain\n")
	}
}

func TestVersion2AtTheTop(t *testing.T) {
	h := newHost(t, "0::/\n", v2Mount)
	h.v2("", "cpu memory pids\n", 1, os.Getpid())
	found := h.find()
	if !found.v2 || found.parents[""] != filepath.Join(h.sys, "lynx-runner") {
		t.Errorf("found %+v", found)
	}
}

// A runner that is alone in a cgroup of its own makes room in it.
func TestVersion2OfOneself(t *testing.T) {
	h := newHost(t, "0::/\n", v2Mount)
	h.v2("", "", os.Getpid())
	h.write(h.sys, "cgroup.type", "domain\n") // the root that a container sees
	h.v2("lynx-runner-self", "")
	found := h.find()
	if found.parents[""] != filepath.Join(h.sys, "lynx-runner") {
		t.Errorf("found %+v", found)
	}
	if moved, _ := os.ReadFile(filepath.Join(h.sys, "lynx-runner-self/cgroup.procs")); string(moved) != strconv.Itoa(os.Getpid()) {
		t.Errorf("the runner is not in a cgroup of its own: %q", moved)
	}
}

// A restarted runner finds itself where its predecessor put itself.
func TestVersion2Again(t *testing.T) {
	h := newHost(t, "0::/unit/lynx-runner-self\n", v2Mount)
	h.v2("", "memory")
	h.v2("unit", "memory pids")
	h.v2("unit/lynx-runner-self", "", os.Getpid())
	if got := h.find().parents[""]; got != filepath.Join(h.sys, "unit/lynx-runner") {
		t.Errorf("parent %s", got)
	}
}

// Whoever shares a cgroup with others must not divide it.
func TestVersion2Shared(t *testing.T) {
	h := newHost(t, "0::/session\n", v2Mount)
	h.v2("", "memory pids", 1)
	h.write(h.sys, "cgroup.type", "domain\n")
	h.v2("session", "", os.Getpid(), 1)
	if found, err := findHierarchy(h.proc); err == nil {
		t.Errorf("found %+v in a cgroup that is shared", found)
	}
}

func TestNoCgroups(t *testing.T) {
	for name, groups := range map[string]string{"none": "", "version 2 that is not mounted": "0::/\n", "garbage": "x\n:\n"} {
		h := newHost(t, groups)
		if found, err := findHierarchy(h.proc); err == nil {
			t.Errorf("%s: found %+v", name, found)
		}
	}
}
