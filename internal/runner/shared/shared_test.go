package shared

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/tetryx/lynx-runner/executor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Jobs with the same key share a container; what differs in anything gets its own,
// and the one that waits for the same user makes room.
func TestWhoSharesWithWhom(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*executor.Spec)
		shares bool
		ends   bool // the first container ends
	}{
		"the same":       {func(*executor.Spec) {}, true, false},
		"another batch":  {func(s *executor.Spec) { s.BatchID = "other" }, false, true},
		"another image":  {func(s *executor.Spec) { s.Image = "sha256:y" }, false, true},
		"other limits":   {func(s *executor.Spec) { s.Sandbox = s.Sandbox.WithMemory(1 << 20) }, false, true},
		"other code":     {func(s *executor.Spec) { s.Shared.Code = "sha256:d" }, false, true},
		"another script": {func(s *executor.Spec) { s.Argv = []string{"python", "t.py"} }, false, true},
		"another user":   {func(s *executor.Spec) { s.User.UID = 8 }, false, false},
		"none at all":    {func(s *executor.Spec) { s.Shared = nil }, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, completes)
			_, first := b.run(b.spec())
			second := b.spec(c.change)
			h := b.start(second)
			if second.Shared == nil {
				if got := b.e.plain; !cmp.Equal(got, []string{second.AttemptID}) {
					t.Errorf("attempts with a container of their own: %q", got)
				}
			} else {
				if _, err := h.Wait(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got := h.(*handle).c.inner == executor.ServingHandle(first); got != c.shares {
					t.Errorf("shares: %v, want %v", got, c.shares)
				}
			}
			if c.ends {
				b.ended(first)
			} else if len(b.e.live()) == 0 || first.removed {
				t.Error("the first container ended")
			}
		})
	}
}

// What makes a container unfit for another job, and how its job is said to have
// ended all the same.
func TestWhatEndsAContainer(t *testing.T) {
	for name, c := range map[string]struct {
		work func(c *served, job int) *executor.ServedEnd
		max  int
		want executor.Exit
		ends bool
	}{
		"nothing":      {completes, 100, executor.Exit{Known: true}, false},
		"an exit code": {func(*served, int) *executor.ServedEnd { return code(3) }, 100, executor.Exit{Known: true, Code: 3}, false},
		"enough jobs":  {completes, 1, executor.Exit{Known: true}, true},
		"a signal":     {func(*served, int) *executor.ServedEnd { e := code(139); e.Exit.Signal = 11; return e }, 100, executor.Exit{Known: true, Code: 139, Signal: 11}, true},
		"no start":     {func(*served, int) *executor.ServedEnd { e := code(125); e.Exit.Known = false; return e }, 100, executor.Exit{Code: 125}, true},
		"a left trace": {func(*served, int) *executor.ServedEnd { e := code(0); e.Odd = "a process was left"; return e }, 100, executor.Exit{Known: true}, true},
		"want of memory": {func(c *served, _ int) *executor.ServedEnd {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.oom = 1
			return code(0)
		}, 100, executor.Exit{Known: true, OOM: executor.OOM{Killed: 1}}, true},
		"its own end": {func(c *served, _ int) *executor.ServedEnd {
			c.end(executor.Exit{Known: true, Code: 137, Signal: 9, OOM: executor.OOM{Killed: 2}})
			return nil
		}, 100, executor.Exit{Known: true, Code: 137, Signal: 9, OOM: executor.OOM{Killed: 2}}, true},
		"a broken connection": {func(c *served, _ int) *executor.ServedEnd { close(c.lost); return nil }, 100, executor.Exit{}, true},
		"a breach": {func(c *served, _ int) *executor.ServedEnd {
			_, _ = c.Kill(context.Background())
			return nil
		}, 100, executor.Exit{}, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, c.work)
			spec := b.spec(func(s *executor.Spec) { s.Shared.MaxJobs = c.max })
			x, first := b.run(spec)
			if x.Code != c.want.Code || x.Signal != c.want.Signal || x.Known != c.want.Known || x.OOM.Killed != c.want.OOM.Killed {
				t.Errorf("exit %+v, want %+v", x, c.want)
			}
			if x.Started.IsZero() || x.Ended.Before(x.Started) {
				t.Errorf("from %v to %v", x.Started, x.Ended)
			}
			for _, dir := range []string{spec.OutputDir, spec.LogDir} {
				if _, err := os.Stat(dir); err != nil {
					t.Error(err)
				}
			}
			if c.ends {
				// At once: the job's place is another's from its end on.
				if len(b.e.live()) > 0 {
					t.Error("the container lives when its job has ended")
				}
				b.ended(first)
			} else if len(b.e.live()) != 1 {
				t.Error("the container ended")
			}
		})
	}
}

// While its job runs, a container has that job's things and nobody else's; before
// and after, they are where they belong.
func TestDirectories(t *testing.T) {
	looked := make(chan map[string]string, 2)
	b := newBench(t, func(c *served, _ int) *executor.ServedEnd {
		seen := map[string]string{}
		for _, path := range []string{filepath.Join(c.spec.RuntimeDir, "run_config.json"), filepath.Join(c.spec.RuntimeDir, executor.TelemetrySocket)} {
			text, err := os.ReadFile(path)
			seen[filepath.Base(path)] = string(text)
			if err != nil {
				seen["error"] = err.Error()
			}
		}
		old, _ := os.ReadDir(filepath.Join(c.spec.OutputDir, "out"))
		seen["old"] = strings.Repeat("x", len(old))
		if err := os.WriteFile(filepath.Join(c.spec.OutputDir, "out", "result"), []byte(seen["run_config.json"]), 0o644); err != nil {
			seen["error"] = err.Error()
		}
		if err := os.WriteFile(filepath.Join(c.spec.LogDir, "stdout.log"), nil, 0o644); err != nil {
			seen["error"] = err.Error()
		}
		looked <- seen
		return code(0)
	})
	for range 2 {
		spec := b.spec()
		_, c := b.run(spec)
		want := map[string]string{"run_config.json": spec.AttemptID, executor.TelemetrySocket: spec.AttemptID, "old": ""}
		if diff := cmp.Diff(want, <-looked); diff != "" {
			t.Errorf("a job finds (-want +got):\n%s", diff)
		}
		for path, want := range map[string]string{filepath.Join(spec.OutputDir, "result"): spec.AttemptID, filepath.Join(spec.LogDir, "stdout.log"): ""} {
			if text, err := os.ReadFile(path); err != nil || string(text) != want {
				t.Errorf("%s: %q, %v", path, text, err)
			}
		}
		for _, dir := range []string{c.spec.OutputDir, c.spec.RuntimeDir} {
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("between two jobs there are %v in %s, %v", left, dir, err)
			}
		}
		if info, err := os.Stat(c.spec.OutputDir); err != nil || info.Mode().Perm() != 0o755 {
			t.Errorf("the mount's root is %v, %v; jobs must not write to it", info.Mode(), err)
		}
	}
}

// The container's specification is the job's, but for what is the container's.
func TestContainerSpec(t *testing.T) {
	b := newBench(t, completes)
	spec := b.spec()
	_, c := b.run(spec)
	got := c.spec
	if !got.Serve || got.Shared != nil || !strings.HasPrefix(got.AttemptID, Prefix) || got.BatchID != spec.BatchID {
		t.Errorf("specification %+v", got)
	}
	if want := []string{"python", "-m", "server", "--", "/lynx/work/s.py", "-v"}; !cmp.Equal(got.Argv, want) {
		t.Errorf("command %q, want %q", got.Argv, want)
	}
	if want := []string{"PATH=/bin", "TETRYX_OUTPUT_DIR=/lynx/output/out", "TETRYX_RUN_CONFIG=/lynx/run/run_config.json"}; !cmp.Equal(got.Env, want) {
		t.Errorf("environment %q, want %q", got.Env, want)
	}
	if spec.Env[1] != "TETRYX_OUTPUT_DIR=/lynx/output" {
		t.Error("the job's own specification was changed")
	}
	if got.LogDir != filepath.Join(got.OutputDir, "log") || got.RunConfig != "" || got.RunnerLoss != lossWithin {
		t.Errorf("specification %+v", got)
	}
	if !cmp.Equal(got.Sandbox, spec.Sandbox) || got.User.UID != spec.User.UID {
		t.Error("the limits are not the job's")
	}
}

// A kill ends the container of a running job, and never that of one that ended.
func TestKill(t *testing.T) {
	release := make(chan struct{})
	b := newBench(t, func(c *served, job int) *executor.ServedEnd {
		if job > 1 {
			<-release
		}
		return code(0)
	})
	first := b.start(b.spec())
	if _, err := first.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := b.start(b.spec())
	if _, err := first.Kill(t.Context()); err != nil || len(b.e.live()) != 1 {
		t.Fatalf("the kill of a job that ended: %v, %d containers live", err, len(b.e.live()))
	}
	at, err := second.Kill(t.Context())
	if err != nil || at.IsZero() || len(b.e.live()) != 0 {
		t.Errorf("the kill of a running job: %v, %v", at, err)
	}
	close(release)
	x, err := second.Wait(t.Context())
	if err != nil || x.Known || !cmp.Equal(x.Notes, []string{"killed"}) {
		t.Errorf("exit %+v, %v", x, err)
	}
	if again, err := second.Wait(t.Context()); err != nil || !cmp.Equal(again, x) {
		t.Errorf("another answer: %+v, %v", again, err)
	}
}

// A container that nobody needs ends after its time, and one that ended while it
// waited is not given to a job.
func TestIdle(t *testing.T) {
	b := newBench(t, completes)
	_, first := b.run(b.spec(func(s *executor.Spec) { s.Shared.Idle = time.Millisecond }))
	b.ended(first)
	_, second := b.run(b.spec())
	second.end(executor.Exit{})
	_, third := b.run(b.spec())
	if third == second {
		t.Error("a job was given to a container that had ended")
	}
	third.mu.Lock()
	third.runErr = errors.New("not connected")
	third.mu.Unlock()
	if _, fourth := b.run(b.spec()); fourth == third {
		t.Error("a job was given to a container that takes none")
	}
}

// Start is idempotent, and a start that fails leaves the job's directories where
// they were.
func TestStart(t *testing.T) {
	b := newBench(t, completes)
	spec := b.spec()
	h := b.start(spec)
	if again := b.start(spec); again != h {
		t.Error("a second start made another handle")
	}
	if _, err := h.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	refused := map[string]executor.Spec{"GPUs": b.spec(func(s *executor.Spec) { s.GPUs = []string{"0"} })}
	for name, spec := range refused {
		if _, err := b.x.Start(t.Context(), spec); !errors.Is(err, executor.ErrInvalidSpec) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b.x.cfg.UID = 1000
	if _, err := b.x.Start(t.Context(), b.spec()); !errors.Is(err, executor.ErrInvalidSpec) || !strings.Contains(err.Error(), "root") {
		t.Errorf("as another user than root: %v", err)
	}
	b.x.cfg.UID = 0
	b.e.startErr = executor.ErrUnavailable
	failed := b.spec(func(s *executor.Spec) { s.BatchID = "other" })
	if _, err := b.x.Start(t.Context(), failed); !errors.Is(err, executor.ErrUnavailable) {
		t.Errorf("without an engine: %v", err)
	}
	b.e.startErr = nil
	ctx, cancel := context.WithCancel(t.Context())
	b.e.work = func(*served, int) *executor.ServedEnd { return nil }
	cancel()
	given := b.spec(func(s *executor.Spec) { s.BatchID = "third" })
	if _, err := b.x.Start(ctx, given); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	} else if err != nil {
		if _, err := os.Stat(given.OutputDir); err != nil {
			t.Error(err)
		}
	} else {
		h := b.x.handles[given.AttemptID]
		if _, err := h.Kill(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := h.Wait(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// What an earlier process left is ended and removed, its job's files go back to
// where they belong, and the other attempts are the caller's.
func TestRecover(t *testing.T) {
	b := newBench(t, completes)
	spec := b.spec()
	d, err := makeDirs(b.x.cfg.Dir, Prefix+"old", filepath.Join(b.dir, "run"))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.bringIn(spec); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.root, "out", "half"), []byte("a result"), 0o644); err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(note{Output: filepath.Join(b.dir, "gone", "output")})
	if err := errors.Join(os.WriteFile(filepath.Join(b.x.cfg.Dir, Prefix+"torn"+noteSuffix), []byte("{"), 0o600),
		os.WriteFile(filepath.Join(b.x.cfg.Dir, Prefix+"gone"+noteSuffix), text, 0o600)); err != nil {
		t.Fatal(err)
	}
	container := newServed(b.e, executor.Spec{AttemptID: Prefix + "old"})
	other := newServed(b.e, executor.Spec{AttemptID: "job-9-1"})
	b.e.left = []executor.Handle{other, container}
	handles, err := b.x.Recover(t.Context())
	if err != nil || len(handles) != 1 || handles[0] != executor.Handle(other) {
		t.Fatalf("handles %v, %v", handles, err)
	}
	if !container.removed || other.removed {
		t.Errorf("removed: the shared container %v, the other attempt %v", container.removed, other.removed)
	}
	if text, err := os.ReadFile(filepath.Join(spec.OutputDir, "half")); err != nil || string(text) != "a result" {
		t.Errorf("the job's output: %q, %v", text, err)
	}
	if err := os.RemoveAll(d.runtime); err != nil { // the runner's own
		t.Fatal(err)
	}
}
