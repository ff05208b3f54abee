package runner

import (
	"debug/elf"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tetryx/lynx-runner/internal/runner/config"
	"github.com/tetryx/lynx-runner/internal/runner/journal"
)

// directories makes the runner's directories and checks that it can write there.
func (c *checker) directories() {
	for _, d := range []struct {
		name, path string
		make       func(string) error
	}{
		{"output_root", c.cfg.OutputRoot, func(p string) error { return os.MkdirAll(p, 0o755) }},
		{"state_dir", c.cfg.StateDir, journal.MakePrivate},
		{"runtime_dir", c.cfg.RuntimeDir, journal.MakePrivate},
	} {
		err := d.make(d.path)
		if err == nil {
			err = tryWrite(d.path)
		}
		if err != nil {
			c.add(d.name, LevelFailed, "%v; give this user the right to write there, or name another directory (%s)", err, d.name)
			continue
		}
		c.add(d.name, LevelOK, "%s can be written", d.path)
	}
}

func tryWrite(dir string) error {
	f, err := os.CreateTemp(dir, ".lynx-check-*")
	if err != nil {
		return err
	}
	f.Close()
	return os.Remove(f.Name())
}

// diskReserve is what should be free below the output root, in bytes.
const diskReserve = 2 << 30

// disk warns of a file system that the next jobs may fill.
func (c *checker) disk() {
	var st unix.Statfs_t
	if unix.Statfs(c.cfg.OutputRoot, &st) != nil {
		return // directories has told that it is not there
	}
	free, total := int64(st.Bavail)*st.Bsize, int64(st.Blocks)*st.Bsize
	if want := min(diskReserve, total/20); free < want {
		c.add("output_root", LevelWarning, "only %s are free on its disk; jobs may fail for want of space", bytesText(free))
	}
}

// users takes as many user ids as there are slots; the caller gives them back.
func (c *checker) users() *slots {
	s, err := newSlots(c.cfg, os.Geteuid(), os.Getegid())
	if err != nil {
		c.add("users", LevelFailed, "%v", err)
		return nil
	}
	c.sharing(os.Geteuid())
	if os.Geteuid() == 0 {
		c.add("users", LevelOK, "%d slots, each with a user id of its own from %d on", len(s.all), s.all[0].uid)
		return s
	}
	apart := "jobs are kept apart by their containers alone"
	if c.isProcess() {
		apart = "jobs can read and change each other's files and all that this user can"
	}
	c.add("users", LevelOK, "%d slots, all as user %d: %s; only a runner that root starts has a user for each slot and another owner for the results", len(s.all), os.Geteuid(), apart)
	if c.cfg.OutputOwner.Set && c.cfg.OutputOwner.UID != os.Geteuid() {
		c.add("users", LevelWarning, "sandbox.output_owner has no effect: the results are user %d's, and only root could give them to another", os.Geteuid())
	}
	return s
}

// sharing warns where the owner allows shared containers that this user can't make.
func (c *checker) sharing(uid int) {
	if uid == 0 || !slices.Contains(c.cfg.Sandbox.Isolation, config.IsolationBatch) {
		return
	}
	c.add("users", LevelWarning, "sandbox.isolation allows batch, but runs that ask for it fail here: only a runner that root started gives them a user who can't write where the results of others pass")
}

// shim checks that the shim can run in any image, by any user.
func (c *checker) shim() {
	info, err := os.Stat(c.cfg.Shim)
	if err != nil {
		c.add("shim", LevelFailed, "%v; build it with `make build`, and keep it beside lynx-runner or name it (shim)", err)
		return
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o005 != 0o005 {
		c.add("shim", LevelFailed, "%s is %v; it must be a file that everybody can read and execute: chmod 755 %s", c.cfg.Shim, info.Mode(), c.cfg.Shim)
		return
	}
	program, err := elf.Open(c.cfg.Shim)
	if err != nil {
		c.add("shim", LevelFailed, "%s is no program of this system (%v); build it with `make build`", c.cfg.Shim, err)
		return
	}
	defer func() { _ = program.Close() }()
	for _, p := range program.Progs {
		if p.Type == elf.PT_INTERP {
			c.add("shim", LevelFailed, "%s is linked dynamically, so that it runs only in images with the same libraries; build it with `make build`, or with CGO_ENABLED=0", c.cfg.Shim)
			return
		}
	}
	c.add("shim", LevelOK, "%s is static", c.cfg.Shim)
}

// inContainer says whether this process is in a container, as engines mark them.
// The mark alone can be left in a file system that a machine was made of: on the
// host itself the first process has the same mounts, and the kernel's are seen.
func inContainer(root string) bool {
	if hostProcesses(root) && sameMounts(root) {
		return false
	}
	for _, mark := range []string{".dockerenv", "run/.containerenv"} {
		if _, err := os.Stat(filepath.Join(root, mark)); err == nil {
			return true
		}
	}
	// Kubernetes leaves no mark but its cgroups' names, where it shows them.
	groups, _ := os.ReadFile(filepath.Join(root, "proc/1/cgroup"))
	return strings.Contains(string(groups), "/kubepods")
}

// hostProcesses says whether processes are numbered as on the host: the kernel's
// own, which no container has, are seen then, and the second is the parent of its
// threads.
func hostProcesses(root string) bool {
	name, err := os.ReadFile(filepath.Join(root, "proc/2/comm"))
	return err == nil && strings.TrimSpace(string(name)) == "kthreadd"
}

// sameMounts says whether the first process has this one's mounts. Only root may
// look.
func sameMounts(root string) bool {
	first, err1 := os.Readlink(filepath.Join(root, "proc/1/ns/mnt"))
	own, err2 := os.Readlink(filepath.Join(root, "proc/self/ns/mnt"))
	return err1 == nil && err2 == nil && first == own
}
