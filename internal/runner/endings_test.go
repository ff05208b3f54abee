package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tetryx/lynx-runner/executor"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// Each ending of a job by itself, with what a person reads about it.
func TestEndings(t *testing.T) {
	oom := func(x executor.Exit) executor.Exit {
		x.OOM = executor.OOM{Killed: 1, Engine: true, Limit: 1 << 30}
		x.Usage.PeakMemory = 1 << 30
		return x
	}
	for _, tc := range []struct {
		name    string
		exit    executor.Exit
		outcome string
		message string
		code    int32 // -1: none
		signal  int32
	}{
		{"exit 3", exited(3), "nonzero_exit", "status 3. The last line of its stderr: ValueError: \\x1b[31mtoo low", 3, 0},
		{"segmentation fault", signaled(11), "signaled", "signal 11 (SIGSEGV)", 139, 11},
		{"killed from outside", executor.Exit{ExternalKill: true, Notes: []string{"The engine says 137."}}, "infrastructure", "The engine says 137.", -1, 0},
		{"out of memory", oom(signaled(9)), "out_of_memory", "limit of 1Gi (its peak was 1Gi)", 137, 9},
		{"child out of memory, main exits", oom(exited(1)), "nonzero_exit", "1 of its child processes ran out of memory", 1, 0},
		{"child out of memory, main succeeds", oom(exited(0)), "completed", "", 0, 0},
		{"file too large", signaled(25), "output_limit", "more than 1Mi in one file", 153, 25},
		{"shim killed it", executor.Exit{Known: true, Code: 137, Signal: 9, DeadlineKill: true}, "timeout", "while the runner was away", 137, 9},
		{"no interpreter", executor.Exit{Known: true, Code: 127, ExecError: "/usr/bin/python3: no such file"}, "invalid_job", "python_executable (/usr/bin/python3) must be a program in the image", -1, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t)
			b.executor.script = func(_ context.Context, p *program) executor.Exit {
				p.write("kept", "1")
				p.log("stderr.log", "Traceback\n  ...\nValueError: \x1b[31mtoo low\n\n")
				return tc.exit
			}
			result := runOne(t, b, assignment("job", 0))
			if result.GetOutcome() != tc.outcome || !strings.Contains(result.GetErrorMessage(), tc.message) {
				t.Errorf("%s: %q\nwant %s: …%q…", result.GetOutcome(), result.GetErrorMessage(), tc.outcome, tc.message)
			}
			if tc.code < 0 && result.ExitCode != nil || tc.code >= 0 && result.GetExitCode() != tc.code || result.GetSignal() != tc.signal {
				t.Errorf("exit code %v, signal %d", result.ExitCode, result.GetSignal())
			}
			if strings.ContainsFunc(result.GetErrorMessage(), func(r rune) bool { return r < ' ' }) {
				t.Errorf("control characters in %q", result.GetErrorMessage())
			}
			if tc.name == "child out of memory, main succeeds" && !slices.ContainsFunc(result.GetWarnings(), func(s string) bool { return strings.Contains(s, "want of memory") }) {
				t.Errorf("warnings %q", result.GetWarnings())
			}
			for _, name := range []string{"output/kept", "log/stderr.log"} {
				if !slices.Contains(files(t, result.GetDirectory()), name) {
					t.Errorf("%s is not kept", name)
				}
			}
			readManifest(t, result)
		})
	}
}

func TestOutputLimit(t *testing.T) {
	for name, fill := range map[string]func(p *program){
		"bytes": func(p *program) {
			p.write("a", strings.Repeat("x", 700<<10))
			p.write("b", strings.Repeat("x", 700<<10))
		},
		"files": func(p *program) {
			for i := range 60 {
				p.write(fmt.Sprint(i), "")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.executor.script = func(ctx context.Context, p *program) executor.Exit {
				fill(p)
				return untilKilled(ctx, p)
			}
			result := runOne(t, b, assignment("job", 0))
			if result.GetOutcome() != "output_limit" || !strings.Contains(result.GetErrorMessage(), "sandbox.output") {
				t.Errorf("%s: %s", result.GetOutcome(), result.GetErrorMessage())
			}
		})
		t.Run(name+", found at the end", func(t *testing.T) {
			b := newBench(t)
			b.pace.usage = time.Hour
			b.executor.script = func(_ context.Context, p *program) executor.Exit {
				fill(p)
				return exited(0)
			}
			if result := runOne(t, b, assignment("job", 0)); result.GetOutcome() != "output_limit" {
				t.Errorf("%s: %s", result.GetOutcome(), result.GetErrorMessage())
			}
		})
	}
}

// briefly is for how long an engine may be away where it is away for good.
const briefly = 100 * time.Millisecond

func TestJobsThatCannotRun(t *testing.T) {
	for _, tc := range []struct {
		name    string
		change  func(a *runnerv1.Assignment, e *scriptedExecutor, b *bench)
		outcome string
		message string
	}{
		{"image missing", func(_ *runnerv1.Assignment, e *scriptedExecutor, _ *bench) {
			e.resolve = func(context.Context, string) (string, error) {
				return "", fmt.Errorf("%w: no such image: lynx-basilisk", executor.ErrImage)
			}
		}, "invalid_job", `Build or pull the image "lynx-basilisk"`},
		{"image not allowed", func(a *runnerv1.Assignment, _ *scriptedExecutor, _ *bench) { a.Compute.Image = "evil" }, "invalid_job", `"evil" is not allowed`},
		{"entrypoint missing", func(a *runnerv1.Assignment, _ *scriptedExecutor, _ *bench) { a.Simulation.Entrypoint = "none.py" }, "invalid_job", `"none.py" is not there`},
		{"entrypoint outside", func(a *runnerv1.Assignment, _ *scriptedExecutor, _ *bench) { a.Simulation.Entrypoint = "../etc" }, "invalid_job", "does not lie below"},
		{"configured entrypoint missing", func(_ *runnerv1.Assignment, _ *scriptedExecutor, b *bench) { b.cfg.BasiliskEntrypoint = "gone.py" }, "invalid_job", `basilisk_entrypoint "gone.py"`},
		{"too much memory", func(a *runnerv1.Assignment, _ *scriptedExecutor, _ *bench) { a.Compute.MemoryBytes = 3 << 30 }, "invalid_job", "allows 2Gi (sandbox.max_memory)"},
		{"too many cpus", func(a *runnerv1.Assignment, _ *scriptedExecutor, _ *bench) { a.Compute.CpuMillis = 2001 }, "invalid_job", "sandbox.max_cpu"},
		{"too long", func(a *runnerv1.Assignment, _ *scriptedExecutor, _ *bench) { withTimeout(a, 3*time.Hour) }, "invalid_job", "sandbox.max_timeout"},
		{"gpu", func(a *runnerv1.Assignment, _ *scriptedExecutor, _ *bench) { a.Compute.Gpus = 1 }, "invalid_job", "1 GPUs"},
		{"invalid specification", func(_ *runnerv1.Assignment, e *scriptedExecutor, _ *bench) {
			e.start = func(context.Context, executor.Spec) error {
				return fmt.Errorf("%w: 900 CPUs", executor.ErrInvalidSpec)
			}
		}, "invalid_job", "900 CPUs"},
		{"engine unavailable", func(_ *runnerv1.Assignment, e *scriptedExecutor, b *bench) {
			b.pace.engine = briefly
			e.start = func(context.Context, executor.Spec) error {
				return fmt.Errorf("%w: connection refused", executor.ErrUnavailable)
			}
		}, "infrastructure", "connection refused"},
		{"engine unavailable for the image", func(_ *runnerv1.Assignment, e *scriptedExecutor, b *bench) {
			b.pace.engine = briefly
			e.resolve = func(context.Context, string) (string, error) { return "", executor.ErrUnavailable }
		}, "infrastructure", "engine is not available"},
		{"engine loses the job", func(_ *runnerv1.Assignment, e *scriptedExecutor, b *bench) {
			b.pace.engine = briefly
			e.script = untilKilled
			e.wait = func() error { return errors.New("EOF from the engine") }
		}, "infrastructure", "EOF from the engine"},
		{"working directory gone", func(_ *runnerv1.Assignment, _ *scriptedExecutor, b *bench) { os.RemoveAll(b.cfg.WorkingDirectory) }, "infrastructure", "working directory"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t)
			a := assignment("job", 0)
			tc.change(a, b.executor, b)
			result := runOne(t, b, a)
			if result.GetOutcome() != tc.outcome || !strings.Contains(result.GetErrorMessage(), tc.message) {
				t.Errorf("%s: %q\nwant %s: …%q…", result.GetOutcome(), result.GetErrorMessage(), tc.outcome, tc.message)
			}
			if result.ExitCode != nil {
				t.Errorf("exit code %d of a job that nobody saw end", result.GetExitCode())
			}
			readManifest(t, result)
			if !slices.Contains(files(t, result.GetDirectory()), "run_config.json") {
				t.Error("no run_config.json")
			}
		})
	}
}
