//go:build engine

package stand

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tetryx/lynx-runner/executor/docker/dockertest"
)

// Engine is a Docker engine of the test's own: in namespaces of mounts and network
// of its own, so that it does not disturb the engine of the host, with everything
// that it keeps in one directory.
type Engine struct {
	// Socket is where it listens.
	Socket string

	dir         string
	liveRestore bool
	cmd         *exec.Cmd
}

// NewEngine starts an engine that keeps everything in dir, which it makes, until
// the test ends.
func NewEngine(t *testing.T, dir string, liveRestore bool) *Engine {
	t.Helper()
	Must(t, os.Mkdir(dir, 0o711))
	e := &Engine{Socket: filepath.Join(dir, "docker.sock"), dir: dir, liveRestore: liveRestore}
	t.Cleanup(func() { e.end(t) })
	e.Start(t)
	return e
}

// Load loads an image into the engine.
func (e *Engine) Load(t *testing.T, image dockertest.Image) {
	t.Helper()
	archive, _, err := image.Archive()
	Must(t, err)
	load := exec.CommandContext(t.Context(), "docker", "--host", "unix://"+e.Socket, "load")
	load.Stdin = bytes.NewReader(archive)
	if out, err := load.CombinedOutput(); err != nil {
		t.Fatalf("load the image: %v\n%s", err, out)
	}
}

// Start starts the engine and waits until it answers.
func (e *Engine) Start(t *testing.T) {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(e.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	Must(t, err)
	config, err := json.Marshal(map[string]any{
		"data-root": e.dir + "/data", "exec-root": e.dir + "/exec", "pidfile": e.dir + "/pid",
		"hosts": []string{"unix://" + e.Socket}, "bridge": "none", "iptables": false, "ip-forward": false,
		"live-restore": e.liveRestore, "log-level": "warn", "shutdown-timeout": 10,
	})
	Must(t, err)
	Must(t, os.WriteFile(e.dir+"/daemon.json", config, 0o600))
	// With a /run/containerd of its own the engine finds no containerd there, and
	// starts its own. It is on disk, as an engine that is started again has to find
	// what runs.
	e.cmd = exec.Command("/bin/sh", "-c", `mkdir -p "$1/run" /run/containerd && mount --bind "$1/run" /run/containerd && exec dockerd --config-file "$1/daemon.json"`, "sh", e.dir)
	e.cmd.Stdout, e.cmd.Stderr = log, log
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	Must(t, e.cmd.Start())
	Must(t, log.Close())
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	for e.version(ctx) != nil {
		if gone(e.cmd.Process.Pid) || ctx.Err() != nil {
			text, _ := os.ReadFile(e.dir + "/log")
			t.Fatalf("the engine does not start: %v\n%s", ctx.Err(), text)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (e *Engine) version(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return exec.CommandContext(ctx, "docker", "--host", "unix://"+e.Socket, "version").Run()
}

// Stop ends the engine with a signal and waits for its end.
func (e *Engine) Stop(t *testing.T, sig syscall.Signal) {
	t.Helper()
	Must(t, e.cmd.Process.Signal(sig))
	_ = e.cmd.Wait()
	e.endContainerd(t)
}

// Signal sends the engine's process a signal.
func (e *Engine) Signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	Must(t, e.cmd.Process.Signal(sig))
}

// endContainerd waits until the engine's containerd has gone with it, and is nobody's
// child any more: an engine that is started takes a pid that is in use for it.
func (e *Engine) endContainerd(t *testing.T) {
	t.Helper()
	path := filepath.Join(e.dir, "exec", "containerd", "containerd.pid")
	text, err := os.ReadFile(path)
	if err != nil {
		return
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	Must(t, err)
	for end := time.Now().Add(Patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err != nil || strings.TrimSpace(string(comm)) != "containerd" {
			return
		}
	}
	t.Errorf("containerd %d outlives its engine", pid)
}

// end stops the engine, and what it left if the test failed.
func (e *Engine) end(t *testing.T) {
	if e.cmd.ProcessState == nil {
		_ = e.cmd.Process.Signal(syscall.SIGCONT)
		if ids, err := exec.Command("docker", "--host", "unix://"+e.Socket, "ps", "--all", "--quiet").Output(); err == nil && len(ids) > 0 {
			_ = exec.Command("docker", append([]string{"--host", "unix://" + e.Socket, "rm", "--force"}, strings.Fields(string(ids))...)...).Run()
		}
		e.Stop(t, syscall.SIGTERM)
	}
	if t.Failed() {
		text, _ := os.ReadFile(e.dir + "/log")
		t.Logf("the engine:\n%s", text[max(0, len(text)-8_000):])
	}
	for pid, command := range e.processes() {
		t.Errorf("process %d of the engine is left: %s", pid, command)
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// processes are those that have the engine's directory in their command line: its
// containerd, and the shims of containers.
func (e *Engine) processes() map[int]string {
	found := map[int]string{}
	commands, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range commands {
		text, err := os.ReadFile(path)
		if pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil && bytes.Contains(text, []byte(e.dir+"/")) {
			found[pid] = strings.ReplaceAll(string(text), "\x00", " ")
		}
	}
	return found
}
