package docker

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sleeper starts a process that does nothing, which ends with the test.
func sleeper(t *testing.T) *exec.Cmd {
	t.Helper()
	c := exec.Command("/proc/self/exe")
	c.Env = []string{initVariable + `={"Control":"/nowhere"}`}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	return c
}

func fine() error { return nil }

func TestInitProcess(t *testing.T) {
	c := sleeper(t)
	p, err := openInit(c.Process.Pid, fine)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	gone := make(chan time.Time)
	go func() {
		at, err := p.wait()
		if err != nil {
			t.Error(err)
		}
		gone <- at
	}()
	before := time.Now()
	if err := p.kill(); err != nil {
		t.Fatal(err)
	}
	if at := <-gone; at.Before(before) || at.After(time.Now()) {
		t.Errorf("gone at %v", at)
	}
	_ = c.Wait()
	if err := p.kill(); err != nil {
		t.Errorf("killing what is gone: %v", err)
	}
	if at, err := p.wait(); err != nil || at.IsZero() {
		t.Errorf("waiting for what is gone: %v, %v", at, err)
	}
}

// TestInitProcessClosed ends a wait by closing.
func TestInitProcessClosed(t *testing.T) {
	p, err := openInit(sleeper(t).Process.Pid, fine)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() {
		_, err := p.wait()
		ended <- err
	}()
	p.close()
	if err := <-ended; err == nil {
		t.Error("a closed descriptor says that the process is gone")
	}
}

func TestOpenInitRefuses(t *testing.T) {
	for _, pid := range []int{-1, 0, 1} {
		if _, err := openInit(pid, fine); !errors.Is(err, errNotInit) {
			t.Errorf("pid %d: %v", pid, err)
		}
	}
	c := sleeper(t)
	if _, err := openInit(c.Process.Pid, func() error { return errNotInit }); !errors.Is(err, errNotInit) {
		t.Errorf("the check's word: %v", err)
	}
	_ = c.Process.Kill()
	_ = c.Wait()
	if _, err := openInit(c.Process.Pid, fine); !errors.Is(err, unix.ESRCH) {
		t.Errorf("a pid of nobody: %v", err)
	}
}

func TestInCgroupOf(t *testing.T) {
	if inCgroupOf(os.Getpid(), "0123456789abcdef") {
		t.Error("this process is in a container's cgroup of a made-up id")
	}
}

// writeFiles makes files below a new directory.
func writeFiles(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestCgroup(t *testing.T) {
	const id = "0f3d"
	for name, c := range map[string]struct {
		files map[string]string
		want  counters
	}{
		"version 1": {
			map[string]string{
				"proc/7/cgroup": "12:cpu,cpuacct:/docker/" + id + "\n4:memory:/docker/" + id + "\n1:name=systemd:/docker/" + id + "\n0::/system.slice\n",
				"sys/memory/docker/" + id + "/memory.max_usage_in_bytes": "1048576\n",
				"sys/memory/docker/" + id + "/memory.oom_control":        "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
				"sys/cpuacct/docker/" + id + "/cpuacct.usage":            "1500000000\n",
			},
			counters{peak: 1 << 20, oomKills: 2, cpu: 1500 * time.Millisecond},
		},
		"version 2": {
			map[string]string{
				"proc/7/cgroup": "0::/system.slice/docker-" + id + ".scope\n",
				"sys/system.slice/docker-" + id + ".scope/memory.peak":   "2097152\n",
				"sys/system.slice/docker-" + id + ".scope/memory.events": "low 0\nhigh 0\nmax 9\noom 1\noom_kill 1\noom_group_kill 0\n",
				"sys/system.slice/docker-" + id + ".scope/cpu.stat":      "usage_usec 250000\nuser_usec 1\n",
			},
			counters{peak: 2 << 20, oomKills: 1, cpu: 250 * time.Millisecond},
		},
		"version 2 before Linux 5.19": {
			map[string]string{
				"proc/7/cgroup":         "0::/x\n",
				"sys/x/memory.events":   "oom_kill 0\n",
				"sys/x/cpu.stat":        "usage_usec 1\n",
				"sys/x/memory.current":  "5\n",
				"sys/x/memory.max.what": "\n",
			},
			counters{cpu: time.Microsecond},
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := writeFiles(t, c.files)
			files, err := findCgroup(filepath.Join(dir, "proc"), filepath.Join(dir, "sys"), 7)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := files.read(); err != nil || got != c.want {
				t.Errorf("got %+v, %v; want %+v", got, err, c.want)
			}
			if err := os.RemoveAll(filepath.Join(dir, "sys")); err != nil {
				t.Fatal(err)
			}
			if _, err := files.read(); err == nil {
				t.Error("reading a cgroup that is gone: no error")
			}
		})
	}
	dir := writeFiles(t, map[string]string{"proc/7/cgroup": "3:cpuset:/x\n"})
	if _, err := findCgroup(filepath.Join(dir, "proc"), dir, 7); err == nil {
		t.Error("a process without a memory controller: no error")
	}
	if _, err := (cgroupFiles{}).read(); err == nil {
		t.Error("no cgroup: no error")
	}
}

func TestLiftQuota(t *testing.T) {
	for name, c := range map[string]struct {
		cgroup, file, want string
	}{
		"version 1":               {"5:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n", "cpu/docker/x/cpu.cfs_quota_us", "-1"},
		"version 1, cpu not ours": {"5:memory:/docker/x\n4:cpu,cpuacct:/docker\n", "cpu/docker/cpu.cfs_quota_us", "100000"},
		"version 2":               {"0::/docker/x\n", "docker/x/cpu.max", "max"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := writeFiles(t, map[string]string{"proc/7/cgroup": c.cgroup, "sys/" + c.file: "100000", "sys/memory/docker/x/y": ""})
			files, err := findCgroup(filepath.Join(dir, "proc"), filepath.Join(dir, "sys"), 7)
			if err != nil {
				t.Fatal(err)
			}
			err = files.liftQuota()
			got, _ := os.ReadFile(filepath.Join(dir, "sys", c.file))
			if want := c.want + "100000"[len(c.want):]; string(got) != want || (err != nil) != (c.want == "100000") {
				t.Errorf("the quota is %q, %v; want %q", got, err, want)
			}
		})
	}
}

func FuzzParseCgroups(f *testing.F) {
	f.Add("12:cpu,cpuacct:/docker/x\n0::/a:b\n")
	f.Fuzz(func(t *testing.T, text string) {
		for controller := range parseCgroups(text) {
			if len(controller) > len(text) {
				t.Errorf("%q", controller)
			}
		}
	})
}
