package executortest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tetryx/lynx-runner/executor"
)

// endings are the ways in which a job ends by itself, and how often that can be
// asked about.
var endings = map[string]func(*testing.T, *bench){
	"exit code 0":                          func(_ *testing.T, b *bench) { b.exits(0) },
	"exit code 3":                          func(_ *testing.T, b *bench) { b.exits(3) },
	"exit code 255":                        func(_ *testing.T, b *bench) { b.exits(255) },
	"exit code that looks like a signal":   func(_ *testing.T, b *bench) { b.exits(137) },
	"killed by a signal of its own":        signalled,
	"command is not there":                 notThere,
	"command can't be executed":            notExecutable,
	"Wait twice, and at once":              waitAgain,
	"Wait that is given up":                waitGivenUp,
	"times and usage":                      usage,
	"killed by the shim at its deadline":   deadlineKill,
	"children outlive the main process":    orphans,
	"a child holds the output open":        heldPipe,
	"Remove twice":                         removeTwice,
	"Remove of a running attempt":          removeRunning,
	"invalid specifications":               invalidSpecs,
	"attempts of two runners keep apart":   twoRunners,
	"Start with a context that has ended":  startCancelled,
	"two attempts at the same time":        sideBySide,
	"a specification's environment is all": environment,
}

func (b *bench) exits(code int) {
	b.t.Helper()
	a := b.attempt("exit", itoa(code))
	x := b.run(a)
	if !x.Known || x.Code != code || x.Signal != 0 || x.ExecError != "" || x.ExternalKill || x.DeadlineKill {
		b.t.Errorf("got %+v, want a known exit with code %d", x, code)
	}
	if x.OOM.Killed != 0 || x.OOM.Engine {
		b.t.Errorf("out of memory: %+v", x.OOM)
	}
	if len(x.Notes) > 0 {
		b.t.Errorf("notes on an ordinary end: %q", x.Notes)
	}
	if p := a.processes(); len(p) > 0 {
		b.t.Errorf("processes are left: %v", p)
	}
}

func signalled(t *testing.T, b *bench) {
	for _, sig := range []int{9, 15} {
		x := b.run(b.attempt("kill-self", itoa(sig)))
		if !x.Known || x.Signal != sig || x.Code != 128+sig || x.ExternalKill {
			t.Errorf("signal %d: got %+v", sig, x)
		}
	}
}

func notThere(t *testing.T, b *bench) {
	a := b.attempt()
	a.Argv = []string{"/no/such/program"}
	if x := b.run(a); x.ExecError == "" || x.Code != 127 {
		t.Errorf("got %+v, want an ExecError and code 127", x)
	}
	a = b.attempt()
	a.Argv = []string{"no-such-program-in-path"}
	if x := b.run(a); x.ExecError == "" || x.Code != 127 || !strings.Contains(x.ExecError, "no-such-program-in-path") {
		t.Errorf("got %+v, want an ExecError that names the program and code 127", x)
	}
}

func notExecutable(t *testing.T, b *bench) {
	a := b.attempt()
	a.Argv = []string{b.in(a.RunConfig, executor.ContainerRunConfig)}
	if x := b.run(a); x.ExecError == "" || x.Code != 126 {
		t.Errorf("got %+v, want an ExecError and code 126", x)
	}
}

func waitAgain(t *testing.T, b *bench) {
	h := b.start(b.attempt("await", "exit", "4"))
	ctx, cancel := deadline()
	defer cancel()
	var wg sync.WaitGroup
	exits := make([]executor.Exit, 8)
	for i := range exits {
		wg.Go(func() {
			var err error
			if exits[i], err = h.Wait(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	b.kill(h)
	wg.Wait()
	again := b.wait(h)
	for i, x := range exits {
		if !reflect.DeepEqual(x, again) {
			t.Errorf("waiter %d got %+v, a later one %+v", i, x, again)
		}
	}
}

func waitGivenUp(t *testing.T, b *bench) {
	a := b.attempt("sleep")
	h := b.start(a)
	b.ready(a)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait: %v, want the context's error", err)
	}
	if p := a.processes(); len(p) != 1 {
		t.Errorf("giving up waiting touched the job: its processes are %v", p)
	}
	b.kill(h)
	b.wait(h)
}

func usage(t *testing.T, b *bench) {
	before := time.Now()
	h := b.start(b.attempt("echo", "10"))
	x := b.wait(h)
	after := time.Now()
	if x.Started.Before(before) || x.Ended.After(after) || x.Ended.Before(x.Started) {
		t.Errorf("started %v, ended %v, asked between %v and %v", x.Started, x.Ended, before, after)
	}
	if !h.Started().Equal(x.Started) {
		t.Errorf("the handle says it started at %v, the exit %v", h.Started(), x.Started)
	}
	if x.Usage.Wall <= 0 || x.Usage.CPU <= 0 || x.Usage.PeakMemory <= 0 {
		t.Errorf("usage is incomplete: %+v", x.Usage)
	}
	if x.Logs.Stdout.Written != 60 || x.Logs.Stderr.Written != 60 {
		t.Errorf("logs: %+v, want 60 bytes each", x.Logs)
	}
}

func deadlineKill(t *testing.T, b *bench) {
	a := b.attempt("ignore-term")
	a.Timeout, a.Grace = 300*time.Millisecond, 100*time.Millisecond
	x := b.run(a)
	if !x.DeadlineKill || x.ExternalKill {
		t.Errorf("got %+v, want a DeadlineKill", x)
	}
	if p := a.processes(); len(p) > 0 {
		t.Errorf("processes are left: %v", p)
	}
}

func orphans(t *testing.T, b *bench) {
	a := b.attempt("orphan")
	if x := b.run(a); !x.Known || x.Code != 0 {
		t.Errorf("got %+v", x)
	}
	if p := a.processes(); len(p) > 0 {
		t.Errorf("processes are left after Wait: %v", p)
	}
}

func heldPipe(t *testing.T, b *bench) {
	a := b.attempt("hold-pipe")
	if x := b.run(a); !x.Known || x.Code != 0 {
		t.Errorf("got %+v", x)
	}
	if got := b.log(a, "stdout.log"); got != "before the end\n" {
		t.Errorf("stdout.log holds %q", got)
	}
}

func removeTwice(t *testing.T, b *bench) {
	h := b.start(b.attempt("exit", "0"))
	b.wait(h)
	for range 2 {
		ctx, cancel := deadline()
		if err := h.Remove(ctx); err != nil {
			t.Error(err)
		}
		cancel()
	}
	if left := b.recover(b.another()); len(left) > 0 {
		t.Errorf("%d attempts are left", len(left))
	}
	if x := b.wait(h); x.Code != 0 || !x.Known {
		t.Errorf("Wait after Remove: %+v", x)
	}
}

func removeRunning(t *testing.T, b *bench) {
	a := b.attempt("sleep")
	h := b.start(a)
	b.ready(a)
	if err := h.Remove(t.Context()); err == nil {
		t.Error("Remove of a running attempt: no error")
	}
	if p := a.processes(); len(p) != 1 {
		t.Errorf("Remove touched the job: its processes are %v", p)
	}
}

func invalidSpecs(t *testing.T, b *bench) {
	for name, spoil := range map[string]func(*attempt){
		"no command":         func(a *attempt) { a.Argv = nil },
		"relative output":    func(a *attempt) { a.OutputDir = "output" },
		"no limits":          func(a *attempt) { a.Sandbox = executor.Sandbox{} },
		"attempt id":         func(a *attempt) { a.AttemptID = "../x" },
		"long socket path":   func(a *attempt) { a.RuntimeDir = "/tmp/" + strings.Repeat("x", 100) },
		"no output":          func(a *attempt) { a.OutputDir = "" },
		"user 0 of the host": func(a *attempt) { a.User.UID, a.User.GID = 0, 0 },
	} {
		a := b.attempt("exit", "0")
		spoil(a)
		if _, err := b.exec.Start(t.Context(), a.Spec); !errors.Is(err, executor.ErrInvalidSpec) {
			t.Errorf("%s: %v, want ErrInvalidSpec", name, err)
		}
	}
	if left := b.recover(b.another()); len(left) > 0 {
		t.Errorf("%d attempts are left", len(left))
	}
}

func twoRunners(t *testing.T, b *bench) {
	a := b.attempt("sleep")
	b.start(a)
	other := b.New(t, unique("runner"))
	defer other.Close() //nolint:errcheck // the test is over
	if got := b.recover(other); len(got) > 0 {
		t.Errorf("another runner recovered %d attempts", len(got))
	}
}

func startCancelled(t *testing.T, b *bench) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a := b.attempt("sleep")
	if _, err := b.exec.Start(ctx, a.Spec); err == nil {
		t.Error("no error")
	}
	if left := b.recover(b.another()); len(left) > 0 {
		t.Errorf("%d attempts are left after a Start that failed", len(left))
	}
}

func sideBySide(t *testing.T, b *bench) {
	first, second := b.attempt("await", "exit", "1"), b.attempt("await", "exit", "2")
	h1, h2 := b.start(first), b.start(second)
	b.release(second)
	if x := b.wait(h2); x.Code != 2 {
		t.Errorf("second: %+v", x)
	}
	b.release(first)
	if x := b.wait(h1); x.Code != 1 {
		t.Errorf("first: %+v", x)
	}
}

// release lets a job that awaits go on.
func (b *bench) release(a *attempt) {
	b.t.Helper()
	b.ready(a)
	if err := os.WriteFile(filepath.Join(a.OutputDir, "go"), nil, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

func environment(t *testing.T, b *bench) {
	a := b.looker()
	a.Env = append(a.Env, "WITH=blanks and = signs")
	got := b.facts(a)
	want := map[string]bool{}
	for _, e := range a.Env {
		want[e] = true
	}
	for _, e := range got.Env {
		// Where no engine keeps GPUs from a job, variables do.
		if _, gpus, ok := strings.Cut(e, "_VISIBLE_DEVICES="); ok && !b.Container && (gpus == "" || gpus == "void") {
			continue
		}
		if !want[e] {
			t.Errorf("the job's environment has %q, which nobody asked for", e)
		}
		delete(want, e)
	}
	for e := range want {
		t.Errorf("the job's environment lacks %q", e)
	}
}
