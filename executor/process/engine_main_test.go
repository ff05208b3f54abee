//go:build engine

package process

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/executor/executortest"
)

// What the tests with real processes share: the shim and the test program, a
// directory for the state of every runner id, and one for the jobs' HOME and TMPDIR.
var (
	shimPath, jobPath      string
	stateRoot, scratchRoot string
)

func TestMain(m *testing.M) {
	code, err := withPrograms(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "tests with processes:", err)
		code = 1
	}
	os.Exit(code)
}

func withPrograms(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "process-executor")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		return 1, err
	}
	if jobPath, err = executortest.BuildJob(dir); err != nil {
		return 1, err
	}
	if shimPath, err = executortest.BuildShim(dir); err != nil {
		return 1, err
	}
	stateRoot, scratchRoot = filepath.Join(dir, "state"), filepath.Join(dir, "scratch")
	if err := os.Mkdir(scratchRoot, 0o755); err != nil {
		return 1, err
	}
	code = m.Run()
	if left := leftovers(); len(left) > 0 {
		return 1, fmt.Errorf("left behind: %v", left)
	}
	return code, nil
}

// leftovers lists what this process's attempts have left: their cgroups, which lie
// beside those of whoever else tests or runs jobs on this host and have our pid in
// their names, and their directories for HOME and TMPDIR.
func leftovers() []string {
	var list []string
	for _, pattern := range []string{"/sys/fs/cgroup/*/", "/sys/fs/cgroup/*/*/", "/sys/fs/cgroup/*/*/*/", "/sys/fs/cgroup/"} {
		found, _ := filepath.Glob(pattern + groupParent + fmt.Sprintf("/*-%d-*", os.Getpid()))
		for _, path := range found {
			if info, err := os.Stat(path); err == nil && info.IsDir() {
				list = append(list, path)
			}
		}
	}
	scratches, _ := filepath.Glob(filepath.Join(scratchRoot, "*"))
	return append(list, scratches...)
}

// testUser is whom jobs run as: somebody that nobody else is, where that may be
// chosen.
func testUser() specs.User {
	if os.Geteuid() != 0 {
		return specs.User{UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}
	}
	id := uint32(1_700_000_000 + os.Getpid())
	return specs.User{UID: id, GID: id}
}

func newTestExecutor(t *testing.T, runnerID string, change ...func(*Config)) *Executor {
	t.Helper()
	cfg := Config{
		Shim: shimPath, Dir: filepath.Join(stateRoot, runnerID), Scratch: scratchRoot,
		Log: slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, c := range change {
		c(&cfg)
	}
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// testWriter sends a logger's lines to the test's log.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", p)
	return len(p), nil
}

func TestSuite(t *testing.T) {
	probe := newTestExecutor(t, "probe")
	limits := probe.groups.has("memory") && probe.groups.has("pids")
	executortest.Run(t, executortest.Harness{
		New:    func(t *testing.T, id string) executor.Executor { return newTestExecutor(t, id) },
		Job:    jobPath,
		User:   testUser(),
		Limits: limits,
	})
}

// TestSuiteWithoutCgroups is the suite as on a host that offers no cgroups.
func TestSuiteWithoutCgroups(t *testing.T) {
	executortest.Run(t, executortest.Harness{
		New: func(t *testing.T, id string) executor.Executor {
			return newTestExecutor(t, id, func(c *Config) { c.NoCgroups = true })
		},
		Job:  jobPath,
		User: testUser(),
	})
}
