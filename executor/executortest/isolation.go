package executortest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/executor/executortest/facts"
)

// isolation is what a job of a container must not be able to do, tried from
// inside.
var isolation = map[string]func(*testing.T, *bench){
	"from inside a job":        inside,
	"another job's files":      otherJobs,
	"data mounts are readable": dataMounts,
}

// inside checks everything that one look from inside can tell.
func inside(t *testing.T, b *bench) {
	a := b.attempt("facts")
	a.Telemetry = true
	echoServer(t, a.RuntimeDir)
	a.WorkDir = t.TempDir()
	if err := os.Chmod(a.WorkDir, 0o755); err != nil {
		t.Fatal(err)
	}
	f := b.facts(a)
	t.Run("user and capabilities", func(t *testing.T) { checkUser(t, b, f) })
	t.Run("network", func(t *testing.T) { checkNetwork(t, f) })
	t.Run("files", func(t *testing.T) { checkFiles(t, f) })
	t.Run("system calls", func(t *testing.T) { checkCalls(t, f) })
	t.Run("shim", func(t *testing.T) { checkShim(t, f) })
	t.Run("limits", func(t *testing.T) { checkLimits(t, f) })
}

func checkUser(t *testing.T, b *bench, f facts.Facts) {
	if f.UID != int(b.User.UID) || f.GID != int(b.User.GID) || f.UID == 0 {
		t.Errorf("runs as %d:%d, want %d:%d", f.UID, f.GID, b.User.UID, b.User.GID)
	}
	for _, g := range f.Groups {
		if g != f.GID {
			t.Errorf("is in group %d", g)
		}
	}
	for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
		if strings.Trim(f.Status[set], "0") != "" || f.Status[set] == "" {
			t.Errorf("%s is %q", set, f.Status[set])
		}
	}
	if f.Status["NoNewPrivs"] != "1" || f.Status["Seccomp"] != "2" {
		t.Errorf("NoNewPrivs %q, Seccomp %q, want 1 and 2", f.Status["NoNewPrivs"], f.Status["Seccomp"])
	}
}

func checkNetwork(t *testing.T, f facts.Facts) {
	if len(f.Interfaces) > 0 {
		t.Errorf("has interfaces %v", f.Interfaces)
	}
	if !slices.Contains(f.Localhost, "127.0.0.1") || f.Loopback != "" {
		t.Errorf("localhost is %v, and connecting there: %q", f.Localhost, f.Loopback)
	}
	for addr, problem := range f.Dials {
		if !strings.Contains(problem, "network is unreachable") {
			t.Errorf("dial of %s: %q, want that the network is unreachable", addr, problem)
		}
	}
	// The sockets of its own attempt are all that it can connect to. The control
	// socket takes the connection and refuses it.
	for _, s := range f.Sockets {
		if filepath.Dir(s) != executor.ContainerRuntime {
			t.Errorf("can connect to %s", s)
		}
	}
}

func checkFiles(t *testing.T, f facts.Facts) {
	want := []string{"/dev/mqueue", "/dev/shm", executor.ContainerHome, executor.ContainerLog, executor.ContainerOutput, "/tmp"}
	if !slices.Equal(f.Writable, want) {
		t.Errorf("can write in %v, want %v", f.Writable, want)
	}
	for dir, problem := range f.Executable {
		if problem != "" {
			t.Errorf("programs can't be executed from %s, which breaks those that compile or unpack code: %s", dir, problem)
		}
	}
}

func checkCalls(t *testing.T, f facts.Facts) {
	for call, problem := range f.Calls {
		allowed := call == "socket-unix" || call == "socket-inet" || call == "socket-inet6" || call == "socketpair-unix" || call == "setpriority-own"
		if allowed != (problem == "") {
			t.Errorf("%s: %q", call, problem)
		}
	}
	for call, want := range map[string]string{
		"clone3": "function not implemented", "io_uring_setup": "function not implemented",
		"ptrace-traceme": "operation not permitted", "socketpair-vsock": "operation not permitted",
		"socketpair-tipc": "operation not permitted", "socket-vsock-upper-bit": "operation not permitted",
	} {
		if got := f.Calls[call]; got != want {
			t.Errorf("%s: %q, want %q", call, got, want)
		}
	}
}

func checkShim(t *testing.T, f facts.Facts) {
	for way, problem := range f.Init {
		if problem == "" {
			t.Errorf("can reach into the shim by %s", way)
		}
	}
	for pid, cmd := range f.Processes {
		if pid != 1 {
			t.Errorf("sees process %d: %s", pid, cmd)
		}
	}
}

func checkLimits(t *testing.T, f facts.Facts) {
	for name, want := range map[string]uint64{
		"RLIMIT_CORE": 0, "RLIMIT_FSIZE": executor.DefaultFileBytes, "RLIMIT_NOFILE": executor.DefaultOpenFiles,
	} {
		if got := f.Limits[name]; got != want {
			t.Errorf("%s is %d, want %d", name, got, want)
		}
	}
}

func otherJobs(t *testing.T, b *bench) {
	first := b.attempt("sleep")
	secret := filepath.Join(first.OutputDir, "secret-of-another")
	if err := os.WriteFile(secret, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	b.start(first)
	b.ready(first)
	second := b.attempt("facts")
	if err := os.WriteFile(filepath.Join(second.OutputDir, "secret-own"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	f := b.facts(second)
	if want := []string{executor.ContainerOutput + "/secret-own"}; !slices.Equal(f.Secrets, want) {
		t.Errorf("sees %v, want its own %v", f.Secrets, want)
	}
	for _, cmd := range f.Processes {
		if strings.Contains(cmd, first.mark) {
			t.Errorf("sees another job's process: %s", cmd)
		}
	}
}

func dataMounts(t *testing.T, b *bench) {
	data := t.TempDir()
	if err := os.Chmod(data, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "secret-data"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	a := b.attempt("facts")
	a.DataMounts = []executor.Mount{{Source: data, Target: "/data"}}
	f := b.facts(a)
	if !slices.Contains(f.Secrets, "/data/secret-data") {
		t.Errorf("the data is not there: %v", f.Secrets)
	}
	if slices.Contains(f.Writable, "/data") {
		t.Error("the data is writable")
	}
}
