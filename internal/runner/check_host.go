package runner

import (
	"debug/elf"
	"os"

	"golang.org/x/sys/unix"

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
	if os.Geteuid() == 0 {
		c.add("users", LevelOK, "%d slots, each with a user id of its own from %d on", len(s.all), s.all[0].uid)
	} else {
		c.add("users", LevelOK, "%d slots, all as user %d: jobs are kept apart by their containers alone", len(s.all), os.Geteuid())
	}
	return s
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
