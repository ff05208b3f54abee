package docker

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/tetryx/lynx-runner/executor"
)

// testUser is a user that no machine has.
var testUser = specs.User{UID: 61234, GID: 61234}

// executor makes an executor on the daemon.
func (d *daemon) executor(change ...func(*Config)) *Executor {
	d.t.Helper()
	cfg := Config{
		RunnerID: "runner-a", Shim: fakeShim(d.t), Host: d.host, AllowedImages: []string{"lynx-test"},
		CallTimeout: 10 * time.Second,
	}
	for _, c := range change {
		c(&cfg)
	}
	e, err := New(d.t.Context(), cfg)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = e.Close() })
	// The fake's inits are in no container's cgroup.
	e.open = func(pid int, _ func() error) (*initProcess, error) { return openInit(pid, fine) }
	return e
}

// impatient makes calls that hang fail soon. Those that don't hang must have been
// answered by then, on a busy machine, too.
func impatient(c *Config) { c.CallTimeout, c.RecordTimeout = time.Second, time.Second }

// fakeShim is a file that New takes for a shim.
func fakeShim(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "lynx-shim")
	if err := os.WriteFile(path, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// testSpec is a valid specification for the fake daemon.
func testSpec(t *testing.T) executor.Spec {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "lx")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	logDir := t.TempDir()
	return executor.Spec{
		AttemptID: "job-1", JobID: "job", BatchID: "batch", Image: "sha256:aaaa",
		Argv: []string{"/job"}, Env: []string{"A=b"},
		WorkDir: "/srv/work", OutputDir: "/srv/out/output", LogDir: logDir, RunConfig: "/srv/out/run_config.json", RuntimeDir: dir,
		Sandbox: executor.DefaultSandbox(), Timeout: time.Hour, Grace: 10 * time.Second, LogHead: 1 << 20, LogTail: 1 << 20,
		User: testUser,
	}
}

// mustStart starts, and mustWait waits, within the test's patience.
func mustStart(t *testing.T, e *Executor, spec executor.Spec) *handle {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	h, err := e.Start(ctx, spec)
	if err != nil {
		t.Fatalf("Start: %v", err)
	}
	return h.(*handle)
}

func mustWait(t *testing.T, h executor.Handle) executor.Exit {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	x, err := h.Wait(ctx)
	if err != nil {
		t.Fatalf("Wait: %v", err)
	}
	return x
}

// cutWaits answers the header of a wait and, from the moment on at which running is
// closed, breaks the connection. Before, the executor would take an engine that breaks
// off at once for one that registered no wait.
func cutWaits(running <-chan struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		_, _ = rw.WriteString("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n")
		_ = rw.Flush()
		<-running
		_ = conn.Close()
	}
}
