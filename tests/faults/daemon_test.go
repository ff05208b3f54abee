//go:build engine

package faults

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

	"github.com/tetryx/lynx-runner/api"
)

// daemon is a Docker engine of the test's own: in namespaces of mounts and network
// of its own, so that it does not disturb the engine of the host, with everything
// that it keeps in one directory.
type daemon struct {
	dir         string
	liveRestore bool
	cmd         *exec.Cmd
}

// ownEngine gives a stand an engine of its own.
func ownEngine(liveRestore bool) func(t *testing.T, s *stand) {
	return func(t *testing.T, s *stand) {
		d := &daemon{dir: filepath.Join(s.dir, "engine"), liveRestore: liveRestore}
		must(t, os.Mkdir(d.dir, 0o711))
		s.daemon, s.engine = d, filepath.Join(d.dir, "docker.sock")
		t.Cleanup(func() { d.end(t) })
		d.start(t)
		archive, _, err := image.Archive()
		must(t, err)
		load := exec.CommandContext(t.Context(), "docker", "--host", "unix://"+s.engine, "load")
		load.Stdin = bytes.NewReader(archive)
		if out, err := load.CombinedOutput(); err != nil {
			t.Fatalf("load the image: %v\n%s", err, out)
		}
	}
}

// start starts the engine and waits until it answers.
func (d *daemon) start(t *testing.T) {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(d.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(t, err)
	config, err := json.Marshal(map[string]any{
		"data-root": d.dir + "/data", "exec-root": d.dir + "/exec", "pidfile": d.dir + "/pid",
		"hosts": []string{"unix://" + d.dir + "/docker.sock"}, "bridge": "none", "iptables": false, "ip-forward": false,
		"live-restore": d.liveRestore, "log-level": "warn", "shutdown-timeout": 10,
	})
	must(t, err)
	must(t, os.WriteFile(d.dir+"/daemon.json", config, 0o600))
	// With a /run/containerd of its own the engine finds no containerd there, and
	// starts its own. It is on disk, as an engine that is started again has to find
	// what runs.
	d.cmd = exec.Command("/bin/sh", "-c", `mkdir -p "$1/run" /run/containerd && mount --bind "$1/run" /run/containerd && exec dockerd --config-file "$1/daemon.json"`, "sh", d.dir)
	d.cmd.Stdout, d.cmd.Stderr = log, log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	must(t, d.cmd.Start())
	must(t, log.Close())
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for d.version(ctx) != nil {
		if gone(d.cmd.Process.Pid) || ctx.Err() != nil {
			text, _ := os.ReadFile(d.dir + "/log")
			t.Fatalf("the engine does not start: %v\n%s", ctx.Err(), text)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (d *daemon) version(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return exec.CommandContext(ctx, "docker", "--host", "unix://"+d.dir+"/docker.sock", "version").Run()
}

// stop ends the engine with a signal and waits for its end.
func (d *daemon) stop(t *testing.T, sig syscall.Signal) {
	t.Helper()
	must(t, d.cmd.Process.Signal(sig))
	_ = d.cmd.Wait()
	d.endContainerd(t)
}

// endContainerd waits until the engine's containerd has gone with it, and is nobody's
// child any more: an engine that is started takes a pid that is in use for it.
func (d *daemon) endContainerd(t *testing.T) {
	t.Helper()
	path := filepath.Join(d.dir, "exec", "containerd", "containerd.pid")
	text, err := os.ReadFile(path)
	if err != nil {
		return
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	must(t, err)
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err != nil || strings.TrimSpace(string(comm)) != "containerd" {
			return
		}
	}
	t.Errorf("containerd %d outlives its engine", pid)
}

// end stops the engine, and what it left if the test failed.
func (d *daemon) end(t *testing.T) {
	if d.cmd.ProcessState == nil {
		_ = d.cmd.Process.Signal(syscall.SIGCONT)
		if ids, err := exec.Command("docker", "--host", "unix://"+d.dir+"/docker.sock", "ps", "--all", "--quiet").Output(); err == nil && len(ids) > 0 {
			_ = exec.Command("docker", append([]string{"--host", "unix://" + d.dir + "/docker.sock", "rm", "--force"}, strings.Fields(string(ids))...)...).Run()
		}
		d.stop(t, syscall.SIGTERM)
	}
	if t.Failed() {
		text, _ := os.ReadFile(d.dir + "/log")
		t.Logf("the engine:\n%s", text[max(0, len(text)-8_000):])
	}
	for pid, command := range d.processes() {
		t.Errorf("process %d of the engine is left: %s", pid, command)
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// processes are those that have the engine's directory in their command line: its
// containerd, and the shims of containers.
func (d *daemon) processes() map[int]string {
	found := map[int]string{}
	commands, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range commands {
		text, err := os.ReadFile(path)
		if pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil && bytes.Contains(text, []byte(d.dir+"/")) {
			found[pid] = strings.ReplaceAll(string(text), "\x00", " ")
		}
	}
	return found
}

// daemonCells happen to the engine's process.
var daemonCells = []cell{
	{name: "killed_live_restore", quick: true, verdict: kept, furnish: ownEngine(true), strike: restarted(syscall.SIGKILL)},
	{name: "killed", verdict: requeued, furnish: ownEngine(false), strike: restarted(syscall.SIGKILL)},
	{name: "stopped_live_restore", verdict: kept, furnish: ownEngine(true), strike: restarted(syscall.SIGTERM)},
	{name: "stopped", quick: true, verdict: requeued, furnish: ownEngine(false), strike: restarted(syscall.SIGTERM)},
	{name: "ended_while_killed", verdict: failed, furnish: ownEngine(true), strike: endedMeanwhile(3)},
	{name: "ended_while_killed_no_live_restore", verdict: failed, furnish: ownEngine(false), strike: endedMeanwhile(3)},
	{name: "frozen", verdict: failed, furnish: ownEngine(false), strike: frozen},
	{name: "stopped_by_hand", verdict: requeued, furnish: ownEngine(false), strike: stoppedByHand},
	{name: "removed_by_hand", verdict: requeued, furnish: ownEngine(false), strike: removedByHand},
}

// waitRunning waits until a batch's job has run to its middle, and the engine has said
// that it started it: an engine that is killed before loses the container.
func (s *stand) waitRunning(t *testing.T, batch string) {
	t.Helper()
	s.waitReady(t, batch, 1)
	s.eventually(t, "the word that the job runs", func() error {
		if r := s.results(t, batch)[0]; r.Status != api.JobRunning {
			return fmt.Errorf("it is %s", r.Status)
		}
		return nil
	})
}

// restarted ends the engine with a job running, and starts it again.
func restarted(sig syscall.Signal) func(t *testing.T, s *stand, v verdict) {
	return func(t *testing.T, s *stand, v verdict) {
		batch := s.submit(t, 1, 0)
		s.waitRunning(t, batch)
		s.daemon.stop(t, sig)
		s.pausedFor(t, "does not answer")
		s.daemon.start(t)
		s.pausedFor(t, "")
		s.finish(t, batch)
		s.judge(t, v, batch, 1)
	}
}

// endedMeanwhile has a job end while its killed engine is away.
func endedMeanwhile(code int) func(t *testing.T, s *stand, v verdict) {
	return func(t *testing.T, s *stand, v verdict) {
		batch := s.submit(t, 1, code)
		s.waitRunning(t, batch)
		s.daemon.stop(t, syscall.SIGKILL)
		release(t, s.ready(batch)...)
		s.eventually(t, "the job's end", func() error {
			if left := s.processes(t); len(left) > 0 {
				return fmt.Errorf("%q run", left)
			}
			return nil
		})
		s.daemon.start(t)
		s.finish(t, batch)
		s.judge(t, v, batch, 1)
	}
}

// frozen: the engine's process stands still while a job ends.
func frozen(t *testing.T, s *stand, v verdict) {
	batch := s.submit(t, 1, 3)
	s.waitRunning(t, batch)
	must(t, s.daemon.cmd.Process.Signal(syscall.SIGSTOP))
	release(t, s.ready(batch)...)
	s.pausedFor(t, "does not answer")
	must(t, s.daemon.cmd.Process.Signal(syscall.SIGCONT))
	s.finish(t, batch)
	s.pausedFor(t, "")
	s.judge(t, v, batch, 1)
}

// container is the id of the one container that runs.
func (s *stand) container(t *testing.T) string {
	t.Helper()
	id := docker(t, s.engine, "ps", "--quiet", "--no-trunc", "--filter", "label=io.tetryx.lynx.runner="+s.runnerID)
	if len(strings.Fields(id)) != 1 {
		t.Fatalf("containers %q run", id)
	}
	return id
}

// stoppedByHand: an administrator stops the container.
func stoppedByHand(t *testing.T, s *stand, v verdict) {
	batch := s.submit(t, 1, 0)
	s.waitRunning(t, batch)
	docker(t, s.engine, "stop", s.container(t))
	s.finish(t, batch)
	s.judge(t, v, batch, 1)
}

// removedByHand: an administrator removes the container with the job in it.
func removedByHand(t *testing.T, s *stand, v verdict) {
	batch := s.submit(t, 1, 0)
	s.waitRunning(t, batch)
	docker(t, s.engine, "rm", "--force", s.container(t))
	s.finish(t, batch)
	s.judge(t, v, batch, 1)
}
