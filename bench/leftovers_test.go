package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// emptyWorld has a directory and no platform. The directory's path is short, for
// sockets.
func emptyWorld(t *testing.T) *world {
	t.Helper()
	dir, err := os.MkdirTemp("", "lx-b-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	return &world{dir: dir, server: &process{cmd: &exec.Cmd{Process: self}}}
}

func TestFindsProcessesAndZombies(t *testing.T) {
	w := emptyWorld(t)
	cmd := exec.Command("sleep", "60")
	cmd.Dir = filepath.Join(w.dir, "work")
	if err := os.Mkdir(cmd.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	want := []string{"process " + strconv.Itoa(cmd.Process.Pid)}
	if left, err := w.leftProcesses(t.Context()); err != nil || !slices.Equal(left, want) {
		t.Errorf("while it runs: %q, %v", left, err)
	}
	_ = cmd.Process.Kill()
	if err := unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	if left, err := w.leftProcesses(t.Context()); err != nil || !slices.Equal(left, want) {
		t.Errorf("as a zombie: %q, %v", left, err)
	}
	_ = cmd.Wait()
	if left, err := w.leftProcesses(t.Context()); err != nil || left != nil {
		t.Errorf("afterwards: %q, %v", left, err)
	}
}

func TestFindsSocketsAndFiles(t *testing.T) {
	w := emptyWorld(t)
	if err := os.MkdirAll(w.path("run-1/attempt"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"rest", "grpc", "run-1/attempt/t.sock"} {
		l, err := net.Listen("unix", w.path(name))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
	want := []string{"socket " + w.path("run-1/attempt/t.sock"), "file " + w.path("run-1/attempt")}
	if left, err := w.leftFiles(t.Context()); err != nil || !slices.Equal(left, want) {
		t.Errorf("%q, %v; want %q", left, err, want)
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 100_000: "100,000", 1_234_567: "1,234,567"} {
		if got := thousands(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
}
