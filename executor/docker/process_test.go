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

// TestInitProcessDead looks at a process that lives, at one that dies meanwhile, and
// at one whose descriptor is closed.
func TestInitProcessDead(t *testing.T) {
	c := sleeper(t)
	p, err := openInit(c.Process.Pid, fine)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	if at, ok := p.dead(time.Millisecond); ok {
		t.Errorf("it lives, and was dead at %v", at)
	}
	before := time.Now()
	time.AfterFunc(time.Millisecond, func() { _ = p.kill() })
	if at, ok := p.dead(time.Minute); !ok || at.Before(before) || at.After(time.Now()) {
		t.Errorf("dead at %v (%v)", at, ok)
	}
	p.close()
	if at, ok := p.dead(time.Minute); ok {
		t.Errorf("nothing to look at, and it was dead at %v", at)
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

func TestFindCgroup(t *testing.T) {
	const id = "0f3d"
	for name, c := range map[string]struct {
		text string
		want map[string]string
	}{
		"version 1": {
			"12:cpu,cpuacct:/docker/" + id + "\n4:memory:/docker/" + id + "\n5:pids:/docker/" + id + "\n1:name=systemd:/docker/" + id + "\n0::/system.slice\n",
			map[string]string{"memory": "memory/docker/" + id, "pids": "pids/docker/" + id, "cpu": "cpu/docker/" + id, "cpuacct": "cpuacct/docker/" + id},
		},
		"version 1, cpu not the container's": {
			"5:memory:/docker/" + id + "\n4:cpu,cpuacct:/docker\n", map[string]string{"memory": "memory/docker/" + id},
		},
		"version 2": {
			"0::/system.slice/docker-" + id + ".scope\n",
			map[string]string{
				"": "system.slice/docker-" + id + ".scope", "memory": "system.slice/docker-" + id + ".scope", "pids": "system.slice/docker-" + id + ".scope",
				"cpu": "system.slice/docker-" + id + ".scope", "cpuacct": "system.slice/docker-" + id + ".scope",
			},
		},
		"no memory controller":       {"3:cpuset:/docker/" + id + "\n", nil},
		"the engine's own":           {"0::/user.slice/docker.service\n", nil},
		"version 1, the engine's":    {"5:memory:/docker\n1:name=systemd:/docker/" + id + "\n0::/docker/" + id + "\n", nil},
		"outside of what is mounted": {"0::/../docker/" + id + "\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{"proc/7/cgroup": c.text}
			for _, dir := range c.want {
				files["sys/"+dir+"/cgroup.procs"] = ""
			}
			dir := writeFiles(t, files)
			g, err := findCgroup(filepath.Join(dir, "proc"), filepath.Join(dir, "sys"), 7, id)
			if (err != nil) != (c.want == nil) || len(g.Dirs) != len(c.want) || c.want != nil && g.V2 != (c.want[""] != "") {
				t.Fatalf("%+v, %v", g, err)
			}
			for controller, want := range c.want {
				if got := g.Dirs[controller]; got != filepath.Join(dir, "sys", want) {
					t.Errorf("%q is looked for in %q, want %q", controller, got, want)
				}
			}
			if err := os.RemoveAll(filepath.Join(dir, "sys")); err != nil {
				t.Fatal(err)
			}
			if _, err := findCgroup(filepath.Join(dir, "proc"), filepath.Join(dir, "sys"), 7, id); err == nil {
				t.Error("a cgroup that is gone is found")
			}
		})
	}
}
