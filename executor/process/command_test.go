package process

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/shim"
)

func testSpec() executor.Spec {
	return executor.Spec{
		AttemptID: "a-1", Argv: []string{"/lynx/work/run.py", "--in=/lynx/work", "/lynx/workshop", "/data/x"},
		WorkDir: "/srv/code", OutputDir: "/out/o", LogDir: "/out/l", RunConfig: "/out/run_config.json", RuntimeDir: "/run/x",
		Env: []string{
			"TETRYX_OUTPUT_DIR=/lynx/output", "TETRYX_RUN_CONFIG=/lynx/run_config.json", "HOME=/lynx/home", "TMPDIR=/lynx/tmp",
			"MPLCONFIGDIR=/lynx/tmp/matplotlib", "PYTHONPATH=/lynx/work/lib:/data/sub:/usr/lib", "CACHE=/data/sub/deep",
			"PROXY=http://127.0.0.1:9", "NOTE=see /lynx/work", "EMPTY=", "EQ=a=b",
		},
		DataMounts: []executor.Mount{{Source: "/srv/data", Target: "/data"}, {Source: "/srv/other", Target: "/data/sub"}},
		User:       specs.User{UID: 1001, GID: 1001}, Sandbox: executor.DefaultSandbox(),
		Telemetry: true, Timeout: time.Minute, Grace: time.Second, LogHead: 5, LogTail: 6,
	}
}

func TestHostPathsTakeTheContainersPlace(t *testing.T) {
	c, err := shimConfig(testSpec(), "/tmp/s", true, true)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"/srv/code/run.py", "--in=/lynx/work", "/lynx/workshop", "/srv/data/x"}; !slices.Equal(c.Argv, want) {
		t.Errorf("argv %q, want %q", c.Argv, want)
	}
	want := []string{
		"TETRYX_OUTPUT_DIR=/out/o", "TETRYX_RUN_CONFIG=/out/run_config.json", "HOME=/tmp/s/home", "TMPDIR=/tmp/s/tmp",
		"MPLCONFIGDIR=/tmp/s/tmp/matplotlib", "PYTHONPATH=/srv/code/lib:/srv/other:/usr/lib", "CACHE=/srv/other/deep",
		"PROXY=http://127.0.0.1:9", "NOTE=see /lynx/work", "EMPTY=", "EQ=a=b",
	}
	want = gpuEnvironment(want, nil)
	if !slices.Equal(c.Env, want) {
		t.Errorf("environment %q, want %q", c.Env, want)
	}
}

func TestShimConfig(t *testing.T) {
	c, err := shimConfig(testSpec(), "/tmp/s", true, true)
	if err != nil {
		t.Fatal(err)
	}
	if c.Dir != "/srv/code" || c.Stdout != "/out/l/stdout.log" || c.Stderr != "/out/l/stderr.log" || c.LogHead != 5 || c.LogTail != 6 || c.KillAfterMillis != 61_000 {
		t.Errorf("%+v", c)
	}
	// Nobody but the job may send telemetry, and no job may reach the sockets.
	if !c.CheckPeers || c.TelemetryListen != "127.0.0.1:0" || !strings.HasPrefix(c.TelemetrySocket, "/proc/self/fd/") || !strings.HasPrefix(c.ControlSocket, "/proc/self/fd/") {
		t.Errorf("%+v", c)
	}
	spec := testSpec()
	spec.WorkDir, spec.Telemetry, spec.Timeout = "", false, 0
	if c, err = shimConfig(spec, "/tmp/s", true, true); err != nil {
		t.Fatal(err)
	}
	if c.Dir != "/out/o" || c.TelemetryListen != "" || c.KillAfterMillis != 0 {
		t.Errorf("without work, telemetry and timeout: %+v", c)
	}
}

func TestStopgapsOnlyWithoutCgroups(t *testing.T) {
	has := func(memoryGroup, pidsGroup bool, resource int) bool {
		t.Helper()
		c, err := shimConfig(testSpec(), "/tmp/s", memoryGroup, pidsGroup)
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(c.Rlimits, func(l shim.Rlimit) bool { return l.Resource == resource })
	}
	if has(true, true, unix.RLIMIT_DATA) || has(true, true, unix.RLIMIT_NPROC) {
		t.Error("limits of processes although there are cgroups")
	}
	if !has(false, true, unix.RLIMIT_DATA) || has(false, true, unix.RLIMIT_NPROC) {
		t.Error("without a memory controller RLIMIT_DATA, and nothing else, must stand in")
	}
	if has(true, false, unix.RLIMIT_NPROC) != (os.Geteuid() == 0) {
		t.Error("RLIMIT_NPROC counts a user's processes: it stands in where the user is the slot's alone")
	}
	if !has(true, true, unix.RLIMIT_NOFILE) || !has(true, true, unix.RLIMIT_FSIZE) || !has(true, true, unix.RLIMIT_CORE) {
		t.Error("a configured limit is missing")
	}
}

func TestValidate(t *testing.T) {
	e := &Executor{uid: 0}
	if err := e.validate(testSpec()); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*executor.Spec){
		"an image":           func(s *executor.Spec) { s.Image = "sha256:1" },
		"group 0":            func(s *executor.Spec) { s.User.GID = 0 },
		"relative work":      func(s *executor.Spec) { s.WorkDir = "work" },
		"capabilities":       func(s *executor.Spec) { s.Sandbox.Capabilities = []string{"CAP_NET_RAW"} },
		"a device":           func(s *executor.Spec) { s.Sandbox.Devices = []specs.LinuxDevice{{Path: "/dev/null"}} },
		"a filter":           func(s *executor.Spec) { s.Sandbox.Seccomp = &specs.LinuxSeccomp{} },
		"an engine's filter": func(s *executor.Spec) { s.Sandbox.EngineSeccomp = true },
		"a runtime":          func(s *executor.Spec) { s.Sandbox.Runtime = "runc" },
		"unknown limit":      func(s *executor.Spec) { s.Sandbox.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_X"}} },
		"soft above hard":    func(s *executor.Spec) { s.Sandbox.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_CORE", Soft: 1}} },
		"hidden attempt id":  func(s *executor.Spec) { s.AttemptID = ".a" },
		"no CPU period":      func(s *executor.Spec) { s.Sandbox.Resources.CPU.Period = nil },
		"no memory":          func(s *executor.Spec) { s.Sandbox.Resources.Memory = nil },
		"no pids":            func(s *executor.Spec) { s.Sandbox.Resources.Pids = nil },
	} {
		s := testSpec()
		spoil(&s)
		if err := e.validate(s); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	s := testSpec()
	if err := (&Executor{uid: 1002}).validate(s); err == nil || !strings.Contains(err.Error(), "only root") {
		t.Errorf("another user's job by user 1002: %v", err)
	}
}

func TestReachable(t *testing.T) {
	root := t.TempDir()
	if err := os.Chmod(filepath.Dir(root), 0o755); err != nil {
		t.Fatal(err)
	}
	closed := filepath.Join(root, "closed")
	if err := os.MkdirAll(filepath.Join(closed, "work"), 0o755); err != nil {
		t.Fatal(err)
	}
	spec := executor.Spec{WorkDir: filepath.Join(closed, "work"), User: specs.User{UID: 4_000_000_001, GID: 4_000_000_001}}
	for mode, want := range map[os.FileMode]bool{0o755: true, 0o711: true, 0o700: false, 0o744: false} {
		if err := os.Chmod(closed, mode); err != nil {
			t.Fatal(err)
		}
		err := reachable(spec)
		if (err == nil) != want || err != nil && !strings.Contains(err.Error(), closed+" ") {
			t.Errorf("mode %v: %v", mode, err)
		}
	}
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	spec.User = specs.User{UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}
	if err := reachable(spec); err != nil {
		t.Errorf("the owner: %v", err)
	}
}

func TestScratch(t *testing.T) {
	parent := t.TempDir()
	s := newScratch(parent)
	if err := s.make(os.Getuid(), os.Getgid()); err != nil {
		t.Fatal(err)
	}
	if err := s.make(os.Getuid(), os.Getgid()); err == nil {
		t.Error("a directory that is there already is taken")
	}
	deep := filepath.Join(s.tmp(), "a", "b")
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	outside := filepath.Join(parent, "outside")
	if err := os.WriteFile(outside, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		os.Symlink(outside, filepath.Join(deep, "link")), os.WriteFile(filepath.Join(deep, "f"), nil, 0o644),
		os.Chmod(deep, 0), os.Chmod(filepath.Dir(deep), 0o500),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.remove(); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(parent); len(left) != 1 || left[0].Name() != "outside" {
		t.Errorf("left: %v", left)
	}
	if err := s.remove(); err != nil {
		t.Errorf("again: %v", err)
	}
}
