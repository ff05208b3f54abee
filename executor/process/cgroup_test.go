package process

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/executor/internal/cgroup"
)

// made is a cgroup with the files that a kernel would make.
func made(t *testing.T, v2 bool, files map[string]string) *group {
	t.Helper()
	root := t.TempDir()
	g := &group{cgroup.Group{V2: v2, Dirs: map[string]string{}}}
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

func (g *group) read(t *testing.T, controller, name string) string {
	t.Helper()
	b, err := os.ReadFile(g.File(controller, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func sandbox() executor.Sandbox {
	return executor.DefaultSandbox().WithCPU(1500).WithMemory(64 << 20).WithPids(77)
}

func TestLimitsOfVersion1(t *testing.T) {
	g := made(t, false, map[string]string{
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
	g := made(t, true, map[string]string{
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

func writeLimits(t *testing.T, g *group) {
	t.Helper()
	if err := g.limit(sandbox()); err != nil {
		t.Fatal(err)
	}
}

// A host without swap accounting has no file for it; one without a limit on
// memory must not be taken for one with.
func TestLimitsThatAreNotThere(t *testing.T) {
	g := made(t, true, map[string]string{"memory/memory.max": "", "pids/pids.max": "", "cpu/cpu.max": ""})
	if err := g.limit(sandbox()); err != nil {
		t.Errorf("without memory.swap.max: %v", err)
	}
	g = made(t, true, map[string]string{"memory/memory.swap.max": "", "pids/pids.max": "", "cpu/cpu.max": ""})
	if err := g.limit(sandbox()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without memory.max: %v", err)
	}
	g = made(t, true, map[string]string{"pids/pids.max": ""})
	if err := g.limit(sandbox()); err != nil {
		t.Errorf("without the controllers memory and cpu: %v", err)
	}
}

func TestGroupThatIsGoneIsEmpty(t *testing.T) {
	g := &group{cgroup.Group{Dirs: map[string]string{"pids": filepath.Join(t.TempDir(), "lynx-runner", "gone")}}}
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
