package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tetryx/lynx-runner/executor"
)

// groupPause is the time between two looks at whether a cgroup is empty.
const groupPause = time.Millisecond

// cgroup is that of one attempt. It can be named before it is there and after it
// is gone, and is part of the attempt's state on disk.
type cgroup struct {
	V2 bool `json:"v2"`
	// Dirs has its directory by controller; with version 2 all are the same, and
	// "" is there too.
	Dirs map[string]string `json:"dirs"`
}

func (g *cgroup) file(controller, name string) string {
	dir := g.Dirs[controller]
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, name)
}

func (g *cgroup) has(controller string) bool { return g != nil && g.Dirs[controller] != "" }

// create makes the cgroup with its limits.
func (g *cgroup) create(s executor.Sandbox) error {
	for _, dir := range unique(g.Dirs) {
		if err := makeGroup(dir); err != nil {
			return fmt.Errorf("cgroup: %w", err)
		}
	}
	return g.limit(s)
}

// limit writes the limits, as far as there are controllers for them.
func (g *cgroup) limit(s executor.Sandbox) error {
	for _, l := range g.limits(s) {
		if l.file == "" {
			continue
		}
		err := write(l.file, l.value)
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

func (g *cgroup) limits(s executor.Sandbox) []setting {
	r := s.Resources
	memory, pids := itoa(*r.Memory.Limit), itoa(*r.Pids.Limit)
	quota, period := itoa(*r.CPU.Quota), strconv.FormatUint(*r.CPU.Period, 10)
	weight := weights(r.CPU.Shares)
	if g.V2 {
		return []setting{
			{g.file("cpu", "cpu.weight"), weight.v2, true},
			{g.file("memory", "memory.max"), memory, false},
			{g.file("memory", "memory.swap.max"), "0", true},
			{g.file("pids", "pids.max"), pids, false},
			{g.file("cpu", "cpu.max"), quota + " " + period, false},
		}
	}
	return []setting{
		{g.file("cpu", "cpu.shares"), weight.v1, true},
		{g.file("memory", "memory.limit_in_bytes"), memory, false},
		// Memory and swap together; not there where swap isn't accounted.
		{g.file("memory", "memory.memsw.limit_in_bytes"), memory, true},
		{g.file("pids", "pids.max"), pids, false},
		{g.file("cpu", "cpu.cfs_period_us"), period, true},
		{g.file("cpu", "cpu.cfs_quota_us"), quota, true},
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
func (g *cgroup) add(pid int) error {
	for _, dir := range unique(g.Dirs) {
		if err := write(filepath.Join(dir, "cgroup.procs"), strconv.Itoa(pid)); err != nil {
			return fmt.Errorf("cgroup: %w", err)
		}
	}
	return nil
}

// processes lists what lives in the cgroup; none where that is gone.
func (g *cgroup) processes() ([]int, error) {
	var dir string
	for _, controller := range []string{"", "pids", "memory"} {
		if dir == "" {
			dir = g.Dirs[controller]
		}
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
		if err != nil || pid == 0 { // 0 is one outside of our pid namespace
			continue
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

// kill ends everything in the cgroup that there is now. Version 2 does it in one
// step since Linux 5.14. Elsewhere nothing can be forked any more once the limit on
// processes is 0, so that no tree outruns this; without that controller it may
// take several calls.
func (g *cgroup) kill() error {
	if g.V2 && write(g.file("", "cgroup.kill"), "1") == nil {
		return nil
	}
	if g.has("pids") {
		_ = write(g.file("pids", "pids.max"), "0")
	}
	pids, err := g.processes()
	if err != nil {
		return err
	}
	held := map[int]int{}
	for _, pid := range pids {
		if fd, err := unix.PidfdOpen(pid, 0); err == nil {
			held[pid] = fd
		}
	}
	// An id that is still in the cgroup is that of a process there, so the
	// descriptor, taken before, is that process's, or an ended one's.
	still, err := g.processes()
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

// empty kills until nothing is left, and says whether there was anything.
func (g *cgroup) empty(ctx context.Context) (found bool, err error) {
	for {
		pids, err := g.processes()
		if err != nil || len(pids) == 0 {
			return found, err
		}
		found = true
		if err := g.kill(); err != nil {
			return found, err
		}
		if err := pause(ctx, groupPause); err != nil {
			return found, err
		}
	}
}

// remove removes the empty cgroup, and what an unprivileged job, which has its
// runner's user, made below it.
func (g *cgroup) remove(ctx context.Context) error {
	for _, dir := range unique(g.Dirs) {
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

// counters are what a cgroup knew of its processes. A field is 0 where it could
// not be read.
type counters struct {
	// peak is the largest memory use in bytes, oomKills the number of processes
	// killed for want of memory.
	peak, oomKills int64
	cpu            time.Duration
}

func (g *cgroup) counters() counters {
	if g == nil {
		return counters{}
	}
	if g.V2 {
		return counters{
			peak:     number(g.file("memory", "memory.peak")),
			oomKills: keyed(g.file("memory", "memory.events"), "oom_kill"),
			cpu:      time.Duration(keyed(g.file("", "cpu.stat"), "usage_usec")) * time.Microsecond,
		}
	}
	return counters{
		peak:     number(g.file("memory", "memory.max_usage_in_bytes")),
		oomKills: keyed(g.file("memory", "memory.oom_control"), "oom_kill"),
		cpu:      time.Duration(number(g.file("cpuacct", "cpuacct.usage"))),
	}
}

// number reads a file that holds one.
func number(file string) int64 {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	return n
}

// keyed finds "key value" in a flat-keyed file.
func keyed(file, key string) int64 {
	b, _ := os.ReadFile(file)
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, key+" "); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			return n
		}
	}
	return 0
}

// write writes to a file that the kernel made.
func write(file, text string) error {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
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
