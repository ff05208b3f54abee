package process

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tetryx/lynx-runner/executor"
)

// group is a cgroup with the files that a kernel would make.
func group(t *testing.T, v2 bool, files map[string]string) *cgroup {
	t.Helper()
	root := t.TempDir()
	g := &cgroup{V2: v2, Dirs: map[string]string{}}
	for name, text := range files {
		controller := strings.Split(name, "/")[0]
		dir := filepath.Join(root, "lynx-runner", "a")
		if !v2 {
			dir = filepath.Join(root, controller, "lynx-runner", "a")
		}
		g.Dirs[controller] = dir
		if v2 {
			g.Dirs[""] = dir
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return g
}

func (g *cgroup) read(t *testing.T, controller, name string) string {
	t.Helper()
	b, err := os.ReadFile(g.file(controller, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func sandbox() executor.Sandbox {
	return executor.DefaultSandbox().WithCPU(1500).WithMemory(64 << 20).WithPids(77)
}

func TestLimitsOfVersion1(t *testing.T) {
	g := group(t, false, map[string]string{
		"memory/memory.limit_in_bytes": "", "memory/memory.memsw.limit_in_bytes": "", "pids/pids.max": "",
		"cpu/cpu.cfs_quota_us": "", "cpu/cpu.cfs_period_us": "", "cpu/cpu.shares": "",
	})
	writeLimits(t, g)
	for _, w := range [][3]string{
		{"memory", "memory.limit_in_bytes", "67108864"}, {"memory", "memory.memsw.limit_in_bytes", "67108864"},
		{"pids", "pids.max", "77"}, {"cpu", "cpu.cfs_quota_us", "150000"}, {"cpu", "cpu.cfs_period_us", "100000"},
		{"cpu", "cpu.shares", "384"},
	} {
		if got := g.read(t, w[0], w[1]); got != w[2] {
			t.Errorf("%s is %q, want %q", w[1], got, w[2])
		}
	}
}

func TestLimitsOfVersion2(t *testing.T) {
	g := group(t, true, map[string]string{
		"memory/memory.max": "", "memory/memory.swap.max": "", "pids/pids.max": "", "cpu/cpu.max": "", "cpu/cpu.weight": "",
	})
	writeLimits(t, g)
	for _, w := range [][3]string{
		{"memory", "memory.max", "67108864"}, {"memory", "memory.swap.max", "0"},
		{"pids", "pids.max", "77"}, {"cpu", "cpu.max", "150000 100000"},
		{"cpu", "cpu.weight", "15"},
	} {
		if got := g.read(t, w[0], w[1]); got != w[2] {
			t.Errorf("%s is %q, want %q", w[1], got, w[2])
		}
	}
}

func writeLimits(t *testing.T, g *cgroup) {
	t.Helper()
	if err := g.limit(sandbox()); err != nil {
		t.Fatal(err)
	}
}

// A host without swap accounting has no file for it; one without a limit on
// memory must not be taken for one with.
func TestLimitsThatAreNotThere(t *testing.T) {
	g := group(t, true, map[string]string{"memory/memory.max": "", "pids/pids.max": "", "cpu/cpu.max": ""})
	if err := g.limit(sandbox()); err != nil {
		t.Errorf("without memory.swap.max: %v", err)
	}
	g = group(t, true, map[string]string{"memory/memory.swap.max": "", "pids/pids.max": "", "cpu/cpu.max": ""})
	if err := g.limit(sandbox()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without memory.max: %v", err)
	}
	g = group(t, true, map[string]string{"pids/pids.max": ""})
	if err := g.limit(sandbox()); err != nil {
		t.Errorf("without the controllers memory and cpu: %v", err)
	}
}

func TestCounters(t *testing.T) {
	for name, g := range map[string]*cgroup{
		"version 1": group(t, false, map[string]string{
			"memory/memory.max_usage_in_bytes": "1234\n", "memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
			"cpuacct/cpuacct.usage": "5000000\n",
		}),
		"version 2": group(t, true, map[string]string{
			"memory/memory.peak": "1234\n", "memory/memory.events": "low 0\nmax 9\noom 3\noom_kill 2\noom_group_kill 0\n",
			"cpu/cpu.stat": "usage_usec 5000\nuser_usec 1\n",
		}),
	} {
		want := counters{peak: 1234, oomKills: 2, cpu: 5 * time.Millisecond}
		if got := g.counters(); got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	if got := group(t, true, map[string]string{"memory/x": ""}).counters(); got != (counters{}) {
		t.Errorf("of nothing: %+v", got)
	}
	var none *cgroup
	if none.counters() != (counters{}) || none.has("memory") {
		t.Error("no cgroup has counters or controllers")
	}
}

func TestGroupThatIsGoneIsEmpty(t *testing.T) {
	g := &cgroup{Dirs: map[string]string{"pids": filepath.Join(t.TempDir(), "lynx-runner", "gone")}}
	if found, err := g.empty(t.Context()); found || err != nil {
		t.Errorf("found %v, %v", found, err)
	}
	if err := g.remove(t.Context()); err != nil {
		t.Error(err)
	}
}

// The last attempt's end takes the parent away, while another one begins.
func TestParentsComeAndGo(t *testing.T) {
	root := t.TempDir()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 500 {
			_ = os.Remove(filepath.Join(root, "lynx-runner"))
		}
	}()
	for i := range 200 {
		dir := filepath.Join(root, "lynx-runner", "a"+itoa(int64(i)))
		if err := makeGroup(dir); err != nil {
			t.Fatal(err)
		}
		if err := removeGroup(dir); err != nil {
			t.Fatal(err)
		}
	}
	<-done
	if err := removeGroup(filepath.Join(root, "lynx-runner", "never")); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(root); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}
