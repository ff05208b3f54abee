package docker

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/shim"
)

func report(code int) *shim.ExitReport {
	return &shim.ExitReport{Code: code, WallMicros: 2_000_000, CPUMicros: 1_000_000, MaxRSSBytes: 1 << 20}
}

// TestOrder holds the executor to the order in which no exit is missed: the wait
// is registered before the start, and the container is inspected before it is
// removed.
func TestOrder(t *testing.T) {
	d := newDaemon(t)
	d.init = fakeInit{Report: report(3), Code: 3}
	e := d.executor()
	h := mustStart(t, e, testSpec(t))
	d.release("job-1")
	if x := mustWait(t, h); !x.Known || x.Code != 3 || len(x.Notes) > 0 {
		t.Errorf("got %+v", x)
	}
	if err := h.Remove(t.Context()); err != nil {
		t.Error(err)
	}
	got := slices.Compact(d.seen())
	want := []string{
		"POST /containers/create", "POST /containers/{id}/wait", "POST /containers/{id}/start",
		"GET /containers/{id}/json", "DELETE /containers/{id}",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	if n := d.count(); n != 0 {
		t.Errorf("%d containers are left", n)
	}
}

func TestUsageComesFromTheReport(t *testing.T) {
	d := newDaemon(t)
	r := report(0)
	r.Stdout = shim.LogReport{Written: 10, Dropped: 4}
	d.init = fakeInit{Report: r}
	h := mustStart(t, d.executor(), testSpec(t))
	d.release("job-1")
	x := mustWait(t, h)
	if x.Usage.Wall != 2*time.Second || x.Usage.CPU != time.Second || x.Usage.PeakMemory == 0 {
		t.Errorf("usage %+v", x.Usage)
	}
	if x.Logs.Stdout != (executor.LogStat{Written: 10, Dropped: 4}) {
		t.Errorf("logs %+v", x.Logs)
	}
}

// TestBrokenWait cuts the wait's connection, as a restarting engine does; the
// true result must come all the same, and only after the end.
func TestBrokenWait(t *testing.T) {
	for name, withInit := range map[string]bool{"init held": true, "engine alone": false} {
		t.Run(name, func(t *testing.T) {
			d := newDaemon(t)
			d.init = fakeInit{Report: report(3), Code: 3}
			running := make(chan struct{})
			d.on("POST /containers/{id}/wait", cutWaits(running))
			e := d.executor()
			if !withInit {
				e.open = noRight
			}
			h := mustStart(t, e, testSpec(t))
			close(running)
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if x, err := h.Wait(ctx); err == nil {
				t.Fatalf("Wait returned %+v while the container runs", x)
			}
			d.on("POST /containers/{id}/wait", nil)
			d.release("job-1")
			if x := mustWait(t, h); !x.Known || x.Code != 3 || x.ExternalKill {
				t.Errorf("got %+v", x)
			}
		})
	}
}

// noRight is what a runner meets that is neither root nor the job's user.
func noRight(int, func() error) (*initProcess, error) { return nil, unix.EPERM }

// TestEngineAwayAtTheEnd lets the engine fail for a while after the container
// ended.
func TestEngineAwayAtTheEnd(t *testing.T) {
	d := newDaemon(t)
	d.init = fakeInit{Report: report(4), Code: 4}
	h := mustStart(t, d.executor(), testSpec(t))
	var asked atomic.Int32
	d.on("POST /containers/{id}/wait", status(http.StatusInternalServerError))
	d.on("GET /containers/{id}/json", func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 3 {
			d.on("GET /containers/{id}/json", nil)
		}
		status(http.StatusInternalServerError)(w, r)
	})
	d.release("job-1")
	if x := mustWait(t, h); !x.Known || x.Code != 4 {
		t.Errorf("got %+v", x)
	}
}

// TestEngineGoneForGood ends an attempt whose engine never answers again: the
// shim's report is all there is, and the exit says so.
func TestEngineGoneForGood(t *testing.T) {
	d := newDaemon(t)
	d.init = fakeInit{Report: report(4), Code: 4}
	h := mustStart(t, d.executor(func(c *Config) { c.RecordTimeout = 200 * time.Millisecond }), testSpec(t))
	d.on("POST /containers/{id}/wait", hang)
	d.on("GET /containers/{id}/json", hang)
	d.release("job-1")
	x := mustWait(t, h)
	if !x.Known || x.Code != 4 || len(x.Notes) != 0 && !strings.Contains(x.Notes[0], "report alone") {
		t.Errorf("got %+v", x)
	}
}

func TestContainerRemovedByOthers(t *testing.T) {
	d := newDaemon(t)
	d.init = fakeInit{Report: report(0)}
	h := mustStart(t, d.executor(), testSpec(t))
	d.remove(d.find("lynx-job-1"))
	if x := mustWait(t, h); x.Known || !x.ExternalKill {
		t.Errorf("got %+v, want an ExternalKill", x)
	}
}

func TestReportThatDisagrees(t *testing.T) {
	d := newDaemon(t)
	d.init = fakeInit{Report: report(0), Code: 2}
	h := mustStart(t, d.executor(), testSpec(t))
	d.release("job-1")
	if x := mustWait(t, h); x.Code != 2 || len(x.Notes) != 1 {
		t.Errorf("got %+v, want the engine's record, 2, and a note", x)
	}
}

func TestKilledFromOutside(t *testing.T) {
	d := newDaemon(t)
	d.init = fakeInit{Report: report(0)}
	h := mustStart(t, d.executor(), testSpec(t))
	if !kill9(h.init.pid) {
		t.Fatal("the init can't be killed")
	}
	if x := mustWait(t, h); x.Known || !x.ExternalKill {
		t.Errorf("got %+v, want an unknown end and an ExternalKill", x)
	}
}

func TestKill(t *testing.T) {
	for name, c := range map[string]struct {
		open       bool
		engineKill bool
		hung       bool // the engine
		init       fakeInit
	}{
		"by pidfd":                                 {open: true, init: fakeInit{Report: report(0)}},
		"by pidfd, beside an engine that hangs":    {open: true, hung: true, init: fakeInit{Report: report(0)}},
		"by the shim, without the right to":        {init: fakeInit{Report: report(0)}},
		"by the shim, beside an engine that hangs": {hung: true, init: fakeInit{Report: report(0)}},
		"by the engine, where neither can do":      {engineKill: true, init: fakeInit{Report: report(0)}},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDaemon(t)
			d.init = c.init
			e := d.executor()
			if !c.open {
				e.open = noRight
			}
			h := mustStart(t, e, testSpec(t))
			if c.engineKill {
				_ = h.control.Close()
			}
			if c.hung {
				d.on("POST /containers/{id}/kill", hang)
			}
			before := time.Now()
			at, err := h.Kill(t.Context())
			if err != nil || at.Before(before) || at.After(time.Now()) {
				t.Errorf("Kill: %v, %v", at, err)
			}
			if x := mustWait(t, h); x.ExternalKill || x.Known || !x.Ended.Equal(at) || len(x.Notes) > 0 {
				t.Errorf("got %+v, want our own kill, without notes, at %v", x, at)
			}
			if c.engineKill && !slices.Contains(d.seen(), "POST /containers/{id}/kill") {
				t.Errorf("the engine was not asked: %v", d.seen())
			}
		})
	}
}

// TestKillGivenUp has nobody able to kill: the caller gets its context's error.
func TestKillGivenUp(t *testing.T) {
	d := newDaemon(t)
	d.init = fakeInit{Report: report(0)}
	d.on("POST /containers/{id}/kill", status(http.StatusInternalServerError))
	e := d.executor()
	e.open = noRight
	h := mustStart(t, e, testSpec(t))
	_ = h.control.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := h.Kill(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Kill: %v", err)
	}
}

// TestStartFailures wants the right kind of error for each failure, and nothing
// left behind: no container, no registered wait, no file.
func TestStartFailures(t *testing.T) {
	for name, c := range map[string]struct {
		request string
		answer  http.HandlerFunc
		is, not error
	}{
		"create hangs":        {"POST /containers/create", hang, executor.ErrUnavailable, executor.ErrInvalidSpec},
		"create: invalid":     {"POST /containers/create", status(http.StatusBadRequest), executor.ErrInvalidSpec, executor.ErrUnavailable},
		"create: no image":    {"POST /containers/create", status(http.StatusNotFound), executor.ErrImage, executor.ErrUnavailable},
		"create: engine's":    {"POST /containers/create", status(http.StatusInternalServerError), nil, executor.ErrInvalidSpec},
		"image gone":          {"GET /images/{id}/json", status(http.StatusNotFound), executor.ErrImage, executor.ErrUnavailable},
		"image: engine's":     {"GET /images/{id}/json", status(http.StatusInternalServerError), nil, executor.ErrImage},
		"wait hangs":          {"POST /containers/{id}/wait", hang, executor.ErrUnavailable, executor.ErrInvalidSpec},
		"wait fails":          {"POST /containers/{id}/wait", status(http.StatusInternalServerError), nil, executor.ErrInvalidSpec},
		"start hangs":         {"POST /containers/{id}/start", hang, executor.ErrUnavailable, executor.ErrInvalidSpec},
		"start fails":         {"POST /containers/{id}/start", status(http.StatusInternalServerError), nil, executor.ErrInvalidSpec},
		"start: not possible": {"POST /containers/{id}/start", status(http.StatusBadRequest), nil, executor.ErrUnavailable},
		"inspect hangs":       {"GET /containers/{id}/json", hang, executor.ErrUnavailable, executor.ErrInvalidSpec},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDaemon(t)
			d.init = fakeInit{Report: report(0)}
			patience := func(*Config) {}
			if strings.HasSuffix(name, "hangs") {
				patience = impatient
			}
			d.on(c.request, c.answer)
			spec := testSpec(t)
			_, err := d.executor(patience).Start(t.Context(), spec)
			if err == nil || (c.is != nil && !errors.Is(err, c.is)) || errors.Is(err, c.not) {
				t.Errorf("got %v, want %v and not %v", err, c.is, c.not)
			}
			if n := d.count(); n != 0 {
				t.Errorf("%d containers are left", n)
			}
			if entries, _ := os.ReadDir(spec.RuntimeDir); len(entries) > 0 {
				t.Errorf("left in the runtime directory: %v", entries)
			}
			d.on(c.request, nil)
			h := mustStart(t, d.executor(), spec) // the attempt is free to be started
			if _, err := h.Kill(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestStartGivenUp cancels the caller's context while the engine starts the
// container.
func TestStartGivenUp(t *testing.T) {
	d := newDaemon(t)
	ctx, cancel := context.WithCancel(t.Context())
	d.on("POST /containers/{id}/start", func(w http.ResponseWriter, r *http.Request) {
		cancel()
		hang(w, r)
	})
	if _, err := d.executor().Start(ctx, testSpec(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if n := d.count(); n != 0 {
		t.Errorf("%d containers are left", n)
	}
}

// TestNameInUse meets containers of the attempt's name in every state.
func TestNameInUse(t *testing.T) {
	ours := map[string]string{labelRunner: "runner-a", labelAttempt: "job-1"}
	t.Run("created and never started", func(t *testing.T) {
		d := newDaemon(t)
		d.init = fakeInit{Report: report(5), Code: 5}
		d.containers["lynx-job-1"] = &fakeContainer{id: "old", name: "lynx-job-1", labels: ours, status: "created"}
		h := mustStart(t, d.executor(), testSpec(t))
		d.release("job-1")
		if x := mustWait(t, h); x.Code != 5 || h.id == "old" {
			t.Errorf("got %+v of %s", x, h.id)
		}
	})
	t.Run("ended", func(t *testing.T) {
		d := newDaemon(t)
		d.containers["lynx-job-1"] = &fakeContainer{id: "old", name: "lynx-job-1", labels: ours, status: "exited", exitCode: 6}
		h := mustStart(t, d.executor(), testSpec(t))
		if x := mustWait(t, h); !strings.Contains(strings.Join(x.Notes, "\n"), "recorded exit code 6") || h.id != "old" {
			t.Errorf("got %+v of %s, want the result that is there", x, h.id)
		}
		if slices.Contains(d.seen(), "DELETE /containers/{id}") {
			t.Error("an ended container was purged")
		}
	})
	t.Run("somebody else's", func(t *testing.T) {
		d := newDaemon(t)
		d.containers["lynx-job-1"] = &fakeContainer{id: "old", name: "lynx-job-1", status: "exited"}
		if _, err := d.executor().Start(t.Context(), testSpec(t)); err == nil || !strings.Contains(err.Error(), "not this runner's") {
			t.Errorf("got %v", err)
		}
		if d.count() != 1 {
			t.Error("somebody else's container was removed")
		}
	})
	t.Run("running", func(t *testing.T) {
		d := newDaemon(t)
		d.init = fakeInit{Report: report(7), Code: 7}
		spec := testSpec(t)
		first := d.executor()
		mustStart(t, first, spec)
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		h := mustStart(t, d.executor(), spec)
		d.release("job-1")
		if x := mustWait(t, h); x.Code != 7 || !x.Known {
			t.Errorf("got %+v", x)
		}
	})
}

// TestCreateNotAnswered has the engine create the container and hang before it
// says so: what never ran goes, so that the attempt can be started again.
func TestCreateNotAnswered(t *testing.T) {
	d := newDaemon(t)
	e := d.executor(impatient)
	d.on("POST /containers/create", func(_ http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		d.containers["lynx-job-1"] = &fakeContainer{
			id: "late", name: "lynx-job-1", status: "created",
			labels: map[string]string{labelRunner: "runner-a", labelAttempt: "job-1"},
		}
		d.mu.Unlock()
		hang(nil, r)
	})
	if _, err := e.Start(t.Context(), testSpec(t)); !errors.Is(err, executor.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	if n := d.count(); n != 0 {
		t.Errorf("%d containers are left", n)
	}
}

func TestRecoverOfCreated(t *testing.T) {
	d := newDaemon(t)
	d.containers["lynx-job-1"] = &fakeContainer{
		id: "old", name: "lynx-job-1", status: "created", labels: map[string]string{labelRunner: "runner-a", labelAttempt: "job-1"},
	}
	d.containers["other"] = &fakeContainer{id: "other", name: "other", status: "exited", labels: map[string]string{labelRunner: "runner-b"}}
	hs, err := d.executor().Recover(t.Context())
	if err != nil || len(hs) != 1 {
		t.Fatalf("Recover: %v, %v", hs, err)
	}
	if x := mustWait(t, hs[0]); x.Known || x.ExternalKill || len(x.Notes) != 1 {
		t.Errorf("got %+v, want an end that says that it never started", x)
	}
	if err := hs[0].Remove(t.Context()); err != nil || d.count() != 1 {
		t.Errorf("Remove: %v; %d containers", err, d.count())
	}
}

// TestDeadlineWithoutRunner recovers a container that the shim killed at its
// deadline while no runner was there to be told.
func TestDeadlineWithoutRunner(t *testing.T) {
	d := newDaemon(t)
	d.containers["lynx-job-1"] = &fakeContainer{
		id: "old", name: "lynx-job-1", status: "exited", exitCode: 137,
		labels: map[string]string{labelRunner: "runner-a", labelAttempt: "job-1", labelKillAfter: "30000"}, // it ran for a minute
	}
	hs, err := d.executor().Recover(t.Context())
	if err != nil || len(hs) != 1 {
		t.Fatalf("Recover: %v, %v", hs, err)
	}
	if x := mustWait(t, hs[0]); !x.DeadlineKill || x.ExternalKill {
		t.Errorf("got %+v, want a DeadlineKill", x)
	}
}

// TestStartsAreCapped wants no more containers in the making than configured.
func TestStartsAreCapped(t *testing.T) {
	d := newDaemon(t)
	var now, most atomic.Int32
	d.on("POST /containers/create", func(w http.ResponseWriter, _ *http.Request) {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		time.Sleep(5 * time.Millisecond)
		now.Add(-1)
		problem(w, http.StatusInternalServerError, "enough")
	})
	e := d.executor(func(c *Config) { c.MaxStarts = 2 })
	var wg sync.WaitGroup
	spec := testSpec(t)
	for i := range 8 {
		wg.Go(func() {
			s := spec
			s.AttemptID = "job-" + string(rune('a'+i))
			_, _ = e.Start(t.Context(), s)
		})
	}
	wg.Wait()
	if most.Load() != 2 {
		t.Errorf("%d at once, want 2", most.Load())
	}
}

// TestShimConfiguration looks at what the shim is told.
func TestShimConfiguration(t *testing.T) {
	d := newDaemon(t)
	d.init = fakeInit{Report: report(0)}
	spec := testSpec(t)
	spec.Telemetry = true
	e := d.executor()
	h := mustStart(t, e, spec)
	b, err := os.ReadFile(filepath.Join(spec.RuntimeDir, "shim.json"))
	if err != nil {
		t.Fatal(err)
	}
	var got shim.Config
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	want := shim.Config{
		Argv: []string{"/job"}, Env: []string{"A=b"}, Dir: "/lynx/work",
		ControlSocket: "/lynx/run/control.sock", TelemetrySocket: "/lynx/run/telemetry.sock", TelemetryListen: "127.0.0.1:50051",
		Stdout: "/lynx/log/stdout.log", Stderr: "/lynx/log/stderr.log", LogHead: 1 << 20, LogTail: 1 << 20, KillAfterMillis: 3_610_000,
		Report: "/lynx/log/.exit.json",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("shim.json (-want +got):\n%s", diff)
	}
	if _, err := h.Kill(t.Context()); err != nil {
		t.Error(err)
	}
	mustWait(t, h)
	if err := h.Remove(t.Context()); err != nil {
		t.Error(err)
	}
	if entries, _ := os.ReadDir(spec.RuntimeDir); len(entries) > 0 {
		t.Errorf("left in the runtime directory: %v", entries)
	}
}

// TestWaitAfterClose wants an error from a closed executor, not a wait for ever.
func TestWaitAfterClose(t *testing.T) {
	d := newDaemon(t)
	d.init = fakeInit{Report: report(0)}
	e := d.executor()
	h := mustStart(t, e, testSpec(t))
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Wait(t.Context()); !errors.Is(err, errClosed) {
		t.Errorf("Wait: %v", err)
	}
}
