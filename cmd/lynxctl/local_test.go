package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/cli"
	"github.com/tetryx/lynx-runner/internal/study"
)

// place is a directory with a study, and an engine that answers what a start asks
// for.
type place struct {
	dir, tmp string
	options  cli.LocalOptions
}

func newPlace(t *testing.T) *place {
	t.Helper()
	ignore := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, ignore) })
	dir, err := os.MkdirTemp("", "lx") // short, for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := &place{dir: dir, tmp: filepath.Join(dir, "tmp")}
	p.options = cli.LocalOptions{
		Study: filepath.Join(dir, "study", "my_study.yaml"), Simulation: study.Simulation{Type: "basilisk", Entrypoint: "my_sim.py"}, Output: filepath.Join(dir, "study", "lynx-output"),
	}
	for _, err := range []error{
		os.MkdirAll(p.tmp, 0o700), os.MkdirAll(filepath.Join(dir, "study"), 0o755),
		os.WriteFile(filepath.Join(dir, "study", "my_sim.py"), []byte("pass\n"), 0o600),
		os.WriteFile(filepath.Join(dir, "shim"), nil, 0o755),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("TMPDIR", p.tmp)
	t.Setenv("LYNX_RUNNER_SHIM", filepath.Join(dir, "shim"))
	t.Setenv("LYNX_RUNNER_LOCK_DIR", filepath.Join(dir, "locks"))
	t.Setenv("DOCKER_HOST", "unix://"+fakeEngine(t, dir))
	return p
}

// fakeEngine serves as much of an engine as a start without jobs needs.
func fakeEngine(t *testing.T, dir string) (socket string) {
	t.Helper()
	socket = filepath.Join(dir, "engine")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	answer := func(w http.ResponseWriter, body any) { _ = json.NewEncoder(w).Encode(body) }
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.44")
		w.Header().Set("Content-Type", "application/json")
		switch path := r.URL.Path; {
		case strings.HasSuffix(path, "/_ping"):
		case strings.HasSuffix(path, "/info"):
			answer(w, map[string]any{
				"ServerVersion": "99", "Architecture": "x86_64", "CgroupVersion": "2", "SecurityOptions": []string{"name=seccomp"},
				"MemoryLimit": true, "SwapLimit": true, "PidsLimit": true, "CpuCfsQuota": true,
			})
		case strings.HasSuffix(path, "/containers/json"):
			answer(w, []any{})
		default:
			http.Error(w, r.URL.Path, http.StatusNotImplemented)
		}
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	t.Cleanup(func() { server.Close(); <-done })
	return socket
}

// leavesNothing checks that a start left neither sockets nor, unless it got that
// far, an output directory.
func (p *place) leavesNothing(t *testing.T, output bool) {
	t.Helper()
	entries, err := os.ReadDir(p.tmp)
	if err != nil || len(entries) > 0 {
		t.Errorf("left in the temporary directory: %v, %v", entries, err)
	}
	if _, err := os.Stat(p.options.Output); !output && !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the output directory is there: %v", err)
	}
}

func exitStatus(err error) int { return cli.ExitStatus(err) }

// TestAStudyBesideItsScenario: without any configuration, jobs see a copy of the
// study's directory, without the output that lies in it.
func TestAStudyBesideItsScenario(t *testing.T) {
	p := newPlace(t)
	local, err := startLocal(t.Context(), p.options)
	if err != nil {
		t.Fatal(err)
	}
	code, err := filepath.Glob(filepath.Join(p.tmp, "lynx-*", "work", "*"))
	if err != nil || len(code) != 1 || filepath.Base(code[0]) != "my_sim.py" {
		t.Errorf("jobs see %v, %v", code, err)
	}
	waitForRunner(t, local.Client())
	select {
	case <-local.Failed():
		t.Error("failed by itself")
	default:
	}
	if err := local.Stop(); err != nil {
		t.Error(err)
	}
	p.leavesNothing(t, true)
	// The next run in the same directory finds the platform's store as it was left.
	if local, err = startLocal(t.Context(), p.options); err != nil {
		t.Fatal(err)
	}
	if page, err := local.Client().Runners(t.Context(), api.List{}); err != nil || len(page.Items) != 1 {
		t.Errorf("runners %+v, %v", page, err)
	}
	if err := local.Stop(); err != nil {
		t.Error(err)
	}
}

// waitForRunner waits until the runner has registered.
func waitForRunner(t *testing.T, c *api.Client) {
	t.Helper()
	for {
		page, err := c.Runners(t.Context(), api.List{})
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Items) == 1 {
			return
		}
		select {
		case <-t.Context().Done():
			t.Fatal("the runner never registered")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// TestStartsThatFail leave nothing, have the right status and say what to do.
func TestStartsThatFail(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(t *testing.T, p *place)
		status int
		says   string
		output bool // the start gets as far as to make it
	}{
		"no engine":         {func(t *testing.T, _ *place) { t.Setenv("DOCKER_HOST", "unix:///nowhere.sock") }, cli.ExitUnreachable, "start Docker", false},
		"no shim":           {func(t *testing.T, _ *place) { t.Setenv("LYNX_RUNNER_SHIM", "/nowhere") }, cli.ExitUsage, "make build", false},
		"no such file":      {func(_ *testing.T, p *place) { p.options.Config = "/nowhere.yaml" }, cli.ExitUsage, "/nowhere.yaml", false},
		"unknown executor":  {func(_ *testing.T, p *place) { p.options.Executor = "nowhere" }, cli.ExitUsage, "nowhere", false},
		"no entrypoint":     {func(_ *testing.T, p *place) { p.options.Simulation.Entrypoint = "" }, cli.ExitUsage, "entrypoint: my_simulation.py", false},
		"missing scenario":  {func(_ *testing.T, p *place) { p.options.Simulation.Entrypoint = "sim2.py" }, cli.ExitUsage, `"sim2.py" is no file in the study's directory`, false},
		"exposed output":    {func(_ *testing.T, p *place) { p.options.WorkingDirectory = filepath.Dir(p.options.Output) }, cli.ExitUsage, "contains output_root", false},
		"no output":         {func(_ *testing.T, p *place) { p.options.Output = "/proc/nowhere" }, cli.ExitUsage, "output directory", false},
		"no temporary":      {func(t *testing.T, p *place) { t.Setenv("TMPDIR", filepath.Join(p.tmp, "nowhere")) }, cli.ExitUsage, "TMPDIR", false},
		"damaged directory": {damaged, cli.ExitUsage, "platform", true},
		"no user ids":       {func(t *testing.T, _ *place) { t.Setenv("LYNX_RUNNER_SANDBOX_UID_RANGE", "5-5") }, cli.ExitUsage, "uid_range", false},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			tc.change(t, p)
			local, err := startLocal(t.Context(), p.options)
			if err == nil {
				t.Fatal("it started", local.Stop())
			}
			if exitStatus(err) != tc.status || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("status %d, %v; want %d and %q", exitStatus(err), err, tc.status, tc.says)
			}
			p.leavesNothing(t, tc.output)
		})
	}
}

// damaged puts a file where the platform's store belongs.
func damaged(t *testing.T, p *place) {
	state := filepath.Join(p.options.Output, ".lynx")
	if err := errors.Join(os.MkdirAll(state, 0o700), os.WriteFile(filepath.Join(state, "platform"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
}

// TestTwoStudiesInOneDirectory: the second says what to do, and does the first no
// harm.
func TestTwoStudiesInOneDirectory(t *testing.T) {
	p := newPlace(t)
	first, err := startLocal(t.Context(), p.options)
	if err != nil {
		t.Fatal(err)
	}
	_, err = startLocal(t.Context(), p.options)
	if exitStatus(err) != cli.ExitUsage || err == nil || !strings.Contains(err.Error(), "--output another directory") {
		t.Errorf("the second: %v", err)
	}
	if _, err := first.Client().Batches(t.Context(), api.List{}); err != nil {
		t.Errorf("the first: %v", err)
	}
	if err := first.Stop(); err != nil {
		t.Error(err)
	}
	p.leavesNothing(t, true)
}

// TestTheStartsContextIsNotTheStudys: the platform goes on when it ends.
func TestTheStartsContextIsNotTheStudys(t *testing.T) {
	p := newPlace(t)
	ctx, cancel := context.WithCancel(t.Context())
	local, err := startLocal(ctx, p.options)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	waitForRunner(t, local.Client())
	if err := local.Stop(); err != nil {
		t.Error(err)
	}
}
