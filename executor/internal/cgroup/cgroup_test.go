package cgroup

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// group is a group with the files that a kernel would make.
func group(t *testing.T, v2 bool, files map[string]string) *Group {
	t.Helper()
	g := &Group{V2: v2, Dirs: map[string]string{}}
	root := t.TempDir()
	for name, text := range files {
		controller, file := filepath.Split(name)
		controller = strings.TrimSuffix(controller, "/")
		dir := root
		if !v2 {
			dir = filepath.Join(root, controller)
		} else {
			g.Dirs[""] = dir
		}
		g.Dirs[controller] = dir
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return g
}

func TestCounters(t *testing.T) {
	want := Counters{Peak: 1234, OOMKills: 2, CPU: 5 * time.Millisecond}
	for name, c := range map[string]struct {
		g    *Group
		want Counters
	}{
		"version 1": {group(t, false, map[string]string{
			"memory/memory.max_usage_in_bytes": "1234\n", "memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
			"cpuacct/cpuacct.usage": "5000000\n",
		}), want},
		"version 2": {group(t, true, map[string]string{
			"memory/memory.peak": "1234\n", "memory/memory.events": "low 0\nmax 9\noom 3\noom_kill 2\noom_group_kill 0\n",
			"cpu/cpu.stat": "usage_usec 5000\nuser_usec 1\n",
		}), want},
		"version 2 before Linux 5.19": {group(t, true, map[string]string{
			"memory/memory.events": "oom_kill 0\n", "cpu/cpu.stat": "usage_usec 1\n", "memory/memory.current": "5\n",
		}), Counters{CPU: time.Microsecond}},
	} {
		if got, ok := c.g.Counters(); got != c.want || !ok {
			t.Errorf("%s: %+v, %v, want %+v", name, got, ok, c.want)
		}
	}
	for name, g := range map[string]*Group{"no group": {}, "a group that is gone": {V2: true, Dirs: map[string]string{"memory": "/nowhere"}}} {
		if got, ok := g.Counters(); got != (Counters{}) || ok {
			t.Errorf("%s: %+v, %v", name, got, ok)
		}
	}
}

// FuzzCounters: whatever the files of a group hold, no counter is negative.
func FuzzCounters(f *testing.F) {
	f.Add("4096\n", "low 0\noom 1\noom_kill 1\n", "usage_usec 5\nuser_usec 3\n", true)
	f.Add("max", "oom_kill -1", "usage_usec 9223372036854775807\n", true)
	f.Add("99999999999999999999", "oom_kill\noom_kill 3", "-7", false)
	f.Fuzz(func(t *testing.T, peak, events, cpu string, v2 bool) {
		files := map[string]string{"memory/memory.max_usage_in_bytes": peak, "memory/memory.oom_control": events, "cpuacct/cpuacct.usage": cpu}
		if v2 {
			files = map[string]string{"memory/memory.peak": peak, "memory/memory.events": events, "cpu/cpu.stat": cpu}
		}
		if c, ok := group(t, v2, files).Counters(); !ok || c.Peak < 0 || c.OOMKills < 0 || c.CPU < 0 {
			t.Errorf("%+v, %v", c, ok)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add("12:cpu,cpuacct:/docker/x\n0::/a:b\n")
	f.Fuzz(func(t *testing.T, text string) {
		for controller, path := range Parse(text) {
			if !strings.Contains(text, controller+":"+path) && !strings.Contains(text, controller+",") {
				t.Errorf("%q: %q", controller, path)
			}
		}
	})
}

func TestParse(t *testing.T) {
	got := Parse("12:cpu,cpuacct:/docker/x\nnonsense\n1:name=systemd:/\n0::/a:b\n")
	if want := map[string]string{"cpu": "/docker/x", "cpuacct": "/docker/x", "name=systemd": "/", "": "/a:b"}; !maps.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestKill: what is in the group dies, and nothing else; without cgroup.kill nothing
// can be forked any more.
func TestKill(t *testing.T) {
	members, bystander := []*exec.Cmd{sleeper(t), sleeper(t)}, sleeper(t)
	list := "0\n-5\nnonsense\n"
	for _, m := range members {
		list += strconv.Itoa(m.Process.Pid) + "\n"
	}
	g := group(t, false, map[string]string{"pids/cgroup.procs": list, "pids/pids.max": "max"})
	if err := g.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, m := range members {
		if _ = m.Wait(); m.ProcessState.Sys().(syscall.WaitStatus).Signal() != unix.SIGKILL {
			t.Errorf("a member: %v", m.ProcessState)
		}
	}
	if pid, err := unix.Wait4(bystander.Process.Pid, nil, unix.WNOHANG, nil); pid != 0 || err != nil {
		t.Errorf("the bystander has ended: %d, %v", pid, err)
	}
	if text, err := os.ReadFile(g.File("pids", "pids.max")); err != nil || !strings.HasPrefix(string(text), "0") {
		t.Errorf("pids.max is %q, %v", text, err)
	}
	g = group(t, true, map[string]string{"/cgroup.kill": "", "/cgroup.procs": strconv.Itoa(bystander.Process.Pid)})
	if err := g.Kill(); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(g.File("", "cgroup.kill")); err != nil || string(text) != "1" {
		t.Errorf("cgroup.kill is %q, %v", text, err)
	}
	for name, g := range map[string]*Group{"no group": {}, "a group that is gone": {Dirs: map[string]string{"pids": "/nowhere"}}} {
		if pids, err := g.Processes(); len(pids) > 0 || err != nil || g.Kill() != nil {
			t.Errorf("%s: %v, %v", name, pids, err)
		}
	}
}

// sleeper starts a process that does nothing, which ends with the test.
func sleeper(t *testing.T) *exec.Cmd {
	t.Helper()
	c := exec.Command("sleep", "1000")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	return c
}

// TestHurryProcesses: the threads of processes that are to end go before others, as
// far as this user may say so, and no others do, nor what they fork.
func TestHurryProcesses(t *testing.T) {
	c, bystander := sleeper(t), sleeper(t)
	list := group(t, false, map[string]string{"pids/cgroup.procs": strconv.Itoa(c.Process.Pid)})
	list.HurryProcesses()
	if goesFirst(t, c.Process.Pid) != (os.Geteuid() == 0) || goesFirst(t, bystander.Process.Pid) {
		t.Error("a member does not go first, or a bystander does")
	}
	_ = c.Process.Kill()
	_ = c.Wait()
	list.HurryProcesses() // of a process that is gone
	(&Group{}).HurryProcesses()
}

// TestHurry: the weight and the quota of a group are lifted.
func TestHurry(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"version 1": {"cpu.cfs_quota_us": "-1", "cpu.shares": "262144"},
		"version 2": {"cpu.max": "max", "cpu.weight": "10000"},
	} {
		limits := map[string]string{}
		for file := range files {
			limits["cpu/"+file] = "1"
		}
		g := group(t, name == "version 2", limits)
		g.Hurry()
		for file, want := range files {
			if got, err := os.ReadFile(g.File("cpu", file)); err != nil || string(got) != want {
				t.Errorf("%s: %s is %q, %v; want %q", name, file, got, err, want)
			}
		}
	}
	(&Group{}).Hurry()
}
