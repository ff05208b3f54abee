package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/executor/internal/cgroup"
)

// groupPause is the time between two looks at whether a cgroup is empty.
const groupPause = time.Millisecond

// group is the cgroup of one attempt. It can be named before it is there and after it
// is gone, and is part of the attempt's state on disk.
type group struct{ cgroup.Group }

// has is Has, also where there are no cgroups and g is nil.
func (g *group) has(controller string) bool { return g != nil && g.Has(controller) }

// create makes the cgroup with its limits.
func (g *group) create(s executor.Sandbox) error {
	for _, dir := range g.Unique() {
		if err := makeGroup(dir); err != nil {
			return fmt.Errorf("cgroup: %w", err)
		}
	}
	return g.limit(s)
}

// limit writes the limits, as far as there are controllers for them.
func (g *group) limit(s executor.Sandbox) error {
	for _, l := range g.limits(s) {
		if l.file == "" {
			continue
		}
		err := cgroup.Write(l.file, l.value)
		if l.optional && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("cgroup limit: %w", err)
		}
	}
	return nil
}

// setting is one file and what is written to it; optional ones are not on every
// host.
type setting struct {
	file, value string
	optional    bool
}

func (g *group) limits(s executor.Sandbox) []setting {
	r := s.Resources
	memory, pids := itoa(*r.Memory.Limit), itoa(*r.Pids.Limit)
	quota, period := itoa(*r.CPU.Quota), strconv.FormatUint(*r.CPU.Period, 10)
	weight := weights(r.CPU.Shares)
	if g.V2 {
		return []setting{
			{g.File("cpu", "cpu.weight"), weight.v2, true},
			{g.File("memory", "memory.max"), memory, false},
			{g.File("memory", "memory.swap.max"), "0", true},
			{g.File("pids", "pids.max"), pids, false},
			{g.File("cpu", "cpu.max"), quota + " " + period, false},
		}
	}
	return []setting{
		{g.File("cpu", "cpu.shares"), weight.v1, true},
		{g.File("memory", "memory.limit_in_bytes"), memory, false},
		// Memory and swap together; not there where swap isn't accounted.
		{g.File("memory", "memory.memsw.limit_in_bytes"), memory, true},
		{g.File("pids", "pids.max"), pids, false},
		{g.File("cpu", "cpu.cfs_period_us"), period, true},
		{g.File("cpu", "cpu.cfs_quota_us"), quota, true},
	}
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// makeGroup makes a cgroup and its parent, which an attempt that ends may remove
// at the same moment.
func makeGroup(dir string) error {
	parent := filepath.Dir(dir)
	for {
		if err := os.Mkdir(parent, 0o755); err == nil {
			enable(parent)
			yield(parent)
		} else if !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := os.Mkdir(dir, 0o755); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
}

// removeGroup removes an empty cgroup and, if it was the last, its parent.
func removeGroup(dir string) error {
	if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
		return &os.PathError{Op: "rmdir", Path: dir, Err: err}
	}
	_ = unix.Rmdir(filepath.Dir(dir))
	return nil
}

// add puts a process into the cgroup, before it has children.
func (g *group) add(pid int) error {
	for _, dir := range g.Unique() {
		if err := cgroup.Write(filepath.Join(dir, "cgroup.procs"), strconv.Itoa(pid)); err != nil {
			return fmt.Errorf("cgroup: %w", err)
		}
	}
	return nil
}

// empty kills until nothing is left, and says whether there was anything.
func (g *group) empty(ctx context.Context) (found bool, err error) {
	for {
		pids, err := g.Processes()
		if err != nil || len(pids) == 0 {
			return found, err
		}
		found = true
		if err := g.Kill(); err != nil {
			return found, err
		}
		if err := pause(ctx, groupPause); err != nil {
			return found, err
		}
	}
}

// remove removes the empty cgroup, and what an unprivileged job, which has its
// runner's user, made below it.
func (g *group) remove(ctx context.Context) error {
	for _, dir := range g.Unique() {
		for {
			for _, below := range subgroups(dir) {
				_ = unix.Rmdir(below)
			}
			err := removeGroup(dir)
			if !errors.Is(err, unix.EBUSY) {
				if err != nil {
					return fmt.Errorf("cgroup: %w", err)
				}
				break
			}
			// A process that has just ended still counts for a moment.
			if pauseErr := pause(ctx, groupPause); pauseErr != nil {
				return fmt.Errorf("cgroup: %w", err)
			}
		}
	}
	return nil
}

// subgroups lists the directories below one, the deepest first.
func subgroups(dir string) []string {
	var list []string
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() {
			path := filepath.Join(dir, e.Name())
			list = append(append(list, subgroups(path)...), path)
		}
	}
	return list
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
