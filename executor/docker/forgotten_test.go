package docker

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestProcessesOf(t *testing.T) {
	id, other := strings.Repeat("0f3d", 16), strings.Repeat("abcd", 16)
	in := func(id string) string { return "4:memory:/docker/" + id + "\n0::/\n" }
	proc := writeFiles(t, map[string]string{
		"7/cgroup": in(id), "7/stat": "7 (job) S 1 1 1",
		"8/cgroup": in(id), "8/stat": "8 (a ) Z) R 1 1 1",
		"9/cgroup": in(id), "9/stat": "9 (ended) Z 1 1 1",
		"10/cgroup": in(id), // gone between the two
		"11/cgroup": in(other), "11/stat": "11 (other) R 1 1 1",
		"self/cgroup": in(id), "self/stat": "12 (us) R 1 1 1",
	})
	got := processesOf(proc, id)
	slices.Sort(got)
	if !slices.Equal(got, []int{7, 8}) {
		t.Errorf("got %v, want 7 and 8", got)
	}
	command := func(id string) string {
		return "/usr/bin/containerd-shim-runc-v2\x00-namespace\x00moby\x00-id\x00" + id + "\x00-address\x00/x\x00"
	}
	proc = writeFiles(t, map[string]string{
		"7/cmdline": command(id), "8/cmdline": command(other), "9/cmdline": "sh\x00-id\x00" + id + "\x00", "10/cmdline": "", "11/cmdline": "containerd-shim\x00-id",
	})
	if got := keepersOf(proc, id); !slices.Equal(got, []int{7}) {
		t.Errorf("keepers %v, want 7", got)
	}
	for _, bad := range []string{"", "0f3d", id + "/", strings.ToUpper(id)} {
		if got := slices.Concat(processesOf(proc, bad), keepersOf(proc, bad)); len(got) > 0 {
			t.Errorf("%q has %v", bad, got)
		}
	}
}

// keeper is what looks like containerd's process for a container. It is told to go by
// the end of its stdin, and is killed at the latest when the test ends.
type keeper struct {
	told  io.Closer
	ended chan struct{}
	state *os.ProcessState // when ended is closed
}

func newKeeper(t *testing.T, containerID string) *keeper {
	t.Helper()
	cmd := exec.Command("/bin/sh")
	cmd.Args = []string{"containerd-shim-of-a-test", "-c", "echo; read line; exit 7", "-id", containerID}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err == nil {
		_, err = stdout.Read(make([]byte, 1)) // it is what it seems from now on
	}
	if err != nil {
		t.Fatal(err)
	}
	k := &keeper{told: stdin, ended: make(chan struct{})}
	go func() {
		_ = cmd.Wait()
		k.state = cmd.ProcessState
		close(k.ended)
	}()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-k.ended })
	return k
}

func (k *keeper) running() bool {
	select {
	case <-k.ended:
		return false
	default:
		return true
	}
}

// TestKeeperForgotten: an engine that was away while a container ended, or whose word
// the runner has not heard, may have left containerd's process. No other is looked for.
func TestKeeperForgotten(t *testing.T) {
	start := func(t *testing.T, d *daemon) *handle { return mustStart(t, d.executor(), testSpec(t)) }
	away := func(t *testing.T, d *daemon) *handle {
		cut := make(chan struct{})
		d.on("POST /containers/{id}/wait", cutWaits(cut))
		h := start(t, d)
		d.on("POST /containers/{id}/wait", nil)
		close(cut)
		return h
	}
	takeUp := func(t *testing.T, d *daemon) *handle {
		if err := start(t, d).exec.Close(); err != nil {
			t.Fatal(err)
		}
		hs, err := d.executor().Recover(t.Context())
		if err != nil || len(hs) != 1 {
			t.Fatalf("Recover: %v, %v", hs, err)
		}
		return hs[0].(*handle)
	}
	for name, c := range map[string]struct {
		begin func(*testing.T, *daemon) *handle
		ended bool
	}{"engine away": {away, true}, "runner away": {takeUp, true}, "nobody away": {start, false}} {
		t.Run(name, func(t *testing.T) {
			d := newDaemon(t)
			d.init = fakeInit{Report: report(0)}
			h := c.begin(t, d)
			ours, other := newKeeper(t, h.id), newKeeper(t, newID())
			d.release("job-1")
			mustWait(t, h)
			if err := h.Remove(t.Context()); err != nil || d.count() != 0 {
				t.Fatalf("%v; %d containers", err, d.count())
			}
			if c.ended {
				<-ours.ended
			} else if !ours.running() {
				t.Error("somebody has looked for it")
			}
			if !other.running() {
				t.Error("another container's keeper has ended")
			}
		})
	}
}

// TestForgottenBehind: what is removed behind the caller's back leaves no keeper either.
func TestForgottenBehind(t *testing.T) {
	d := newDaemon(t)
	id := newID()
	d.containers["lynx-job-1"] = &fakeContainer{id: id, name: "lynx-job-1", status: "created"}
	k := newKeeper(t, id)
	d.failing("DELETE /containers/{id}", 2)
	d.executor().discard(id)
	<-k.ended
}

// TestKeeperLeaves: one that was told to go is not killed.
func TestKeeperLeaves(t *testing.T) {
	e, id := newDaemon(t).executor(), newID()
	k := newKeeper(t, id)
	_ = k.told.Close()
	if err := e.endLeft(t.Context(), id); err != nil {
		t.Error(err)
	}
	if <-k.ended; k.state.ExitCode() != 7 {
		t.Errorf("it has ended with %v", k.state)
	}
}

func TestRemoveGroups(t *testing.T) {
	id, other, mount := newID(), newID(), t.TempDir()
	scope := "system.slice/docker-" + id + ".scope"
	left := []string{"memory/docker/" + id, "pids/" + scope, "docker/" + id, scope}
	// A directory that is not empty stands for a group that somebody is in.
	kept := []string{"cpu/docker/" + id + "/busy", "memory/docker/" + other, "docker/" + other}
	for _, dir := range slices.Concat(left, kept) {
		if err := os.MkdirAll(filepath.Join(mount, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{id, "", "*", other[:12]} {
		removeGroups(mount, name)
	}
	for _, dir := range left {
		if _, err := os.Stat(filepath.Join(mount, dir)); err == nil {
			t.Errorf("%s is there", dir)
		}
	}
	for _, dir := range kept {
		if _, err := os.Stat(filepath.Join(mount, dir)); err != nil {
			t.Error(err)
		}
	}
}
