package runner

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/runner/journal"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

type specsRlimit = specs.POSIXRlimit

func (r *Runner) gateOpen() bool {
	r.gate.mu.Lock()
	defer r.gate.mu.Unlock()
	return !r.gate.shut
}

func TestRegistration(t *testing.T) {
	b := newBench(t).start()
	b.platform.await("a heartbeat", func() bool { return len(b.platform.heartbeats) > 0 })
	b.drain()
	in := b.platform.registers[0]
	c := in.GetCapabilities()
	if in.GetRunnerId() != "test" || in.GetInstallationId() != mustOpen(t, b).HolderID() || in.GetVersion() != "1.2.3" || in.GetExecutor() != "docker" {
		t.Errorf("registered as %v", in)
	}
	if c.GetMaxConcurrentJobs() != 2 || c.GetCpuCores() != 2 || c.GetMemoryGb() != 4 || !slices.Equal(c.GetSupportedSimulationTypes(), []string{"basilisk"}) {
		t.Errorf("capabilities %v", c)
	}
}

// A platform that does not want this runner at all is an error at once, and one
// that is away is waited for.
func TestFirstRegistration(t *testing.T) {
	t.Run("bad token", func(t *testing.T) {
		b := newBench(t)
		b.platform.fail = func(string) error {
			return runnerv1.NewError(codes.Unauthenticated, runnerv1.ReasonBadToken, "wrong token")
		}
		b.start()
		if err := b.wait(); status.Code(err) != codes.Unauthenticated || !strings.Contains(err.Error(), "wrong token") {
			t.Errorf("Run: %v", err)
		}
	})
	t.Run("away, then in use", func(t *testing.T) {
		b := newBench(t)
		tries := 0
		b.platform.fail = func(string) error {
			switch tries++; {
			case tries < 3:
				return status.Error(codes.Unavailable, "away")
			case tries < 6:
				return runnerv1.NewError(codes.AlreadyExists, runnerv1.ReasonRunnerIDInUse, "in use")
			}
			return nil
		}
		b.start()
		b.platform.await("a registration", func() bool { return len(b.platform.registers) == 1 })
		b.drain()
	})
}

// A session that the platform has forgotten is renewed by whichever loop hears of
// it first, and what was under way goes on.
func TestUnknownSession(t *testing.T) {
	b := newBench(t)
	finish := make(chan struct{})
	b.executor.script = func(context.Context, *program) executor.Exit { <-finish; return exited(0) }
	b.start()
	b.platform.submit(assignment("job", 0))
	b.platform.await("the start", func() bool { return len(b.platform.started) == 1 })
	b.platform.change(func() { b.platform.sessions = nil })
	b.platform.await("a new session that holds the job", func() bool {
		if len(b.platform.heartbeats) == 0 {
			return false
		}
		last := b.platform.heartbeats[len(b.platform.heartbeats)-1]
		return len(b.platform.registers) >= 2 && len(last.GetHeld()) == 1 && last.GetHeld()[0].GetToken().GetCounter() == 1
	})
	close(finish)
	if result := b.platform.result("job-1"); result.GetOutcome() != "completed" {
		t.Errorf("%s: %s", result.GetOutcome(), result.GetErrorMessage())
	}
	b.drain()
}

// All the loops that hear of it together make one new session, not one each.
func TestSessionIsRenewedOnce(t *testing.T) {
	b := newBench(t).start()
	b.platform.await("a session", func() bool { return len(b.platform.heartbeats) > 0 })
	b.platform.change(func() { b.platform.sessions = nil })
	var loops sync.WaitGroup
	for range 8 {
		loops.Go(func() { b.runner.session.renew(t.Context(), "session-1") })
	}
	loops.Wait()
	b.drain()
	if n := len(b.platform.registers); n != 2 {
		t.Errorf("%d registrations, want 2", n)
	}
}

// A result that cannot be delivered is held, and delivered when it can be. Its
// slot is free meanwhile.
func TestPlatformAwayWhileReporting(t *testing.T) {
	b := newBench(t)
	b.cfg.MaxConcurrentJobs = 1
	b.platform.fail = unavailable("ReportResult")
	b.start()
	b.platform.submit(assignment("one", 0), assignment("two", 1))
	b.platform.await("both to be held", func() bool {
		return slices.ContainsFunc(b.platform.heartbeats, func(h *runnerv1.HeartbeatRequest) bool { return len(h.GetHeld()) == 2 })
	})
	b.platform.change(func() { b.platform.fail = nil })
	b.platform.result("one-1")
	b.platform.result("two-1")
	b.drain()
	if reports, _, err := mustOpen(t, b).Pending(); err != nil || len(reports) > 0 {
		t.Errorf("left in the outbox: %v %v", reports, err)
	}
}

// What one process could not deliver, the next one does.
func TestOutboxSurvivesTheProcess(t *testing.T) {
	b := newBench(t)
	b.pace.deliver = time.Millisecond
	b.platform.fail = unavailable("ReportResult")
	b.start()
	b.platform.submit(assignment("job", 0))
	b.platform.await("the result to be due", func() bool { return b.runner.outbox.has("job-1") })
	b.stop()
	if b.platform.results["job-1"] != nil {
		t.Fatal("delivered to a platform that was away")
	}
	b.platform.change(func() { b.platform.fail = nil })
	b.start()
	if result := b.platform.result("job-1"); result.GetOutcome() != "completed" {
		t.Errorf("%s: %s", result.GetOutcome(), result.GetErrorMessage())
	}
	b.drain()
	if len(b.platform.registers) != 2 || b.platform.registers[0].GetInstallationId() != b.platform.registers[1].GetInstallationId() {
		t.Errorf("registrations %v", b.platform.registers)
	}
}

// A result that the platform will never take is dropped, and does not block the
// next one.
func TestRefusedResults(t *testing.T) {
	for name, refusal := range map[string]error{
		"stale token": runnerv1.NewError(codes.FailedPrecondition, runnerv1.ReasonStaleToken, "stale"),
		"not found":   status.Error(codes.NotFound, "no such job"),
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			refused := 0
			b.platform.fail = func(method string) error {
				if method == "ReportResult" && refused == 0 {
					refused++
					return refusal
				}
				return nil
			}
			b.start()
			b.platform.submit(assignment("one", 0))
			b.platform.await("the refusal", func() bool { return refused == 1 })
			b.platform.submit(assignment("two", 1))
			b.platform.result("two-1")
			b.drain()
			if b.platform.results["one-1"] != nil {
				t.Error("a refused result was sent again")
			}
			if reports, _, err := mustOpen(t, b).Pending(); err != nil || len(reports) > 0 {
				t.Errorf("left in the outbox: %v %v", reports, err)
			}
		})
	}
}

// A result that the platform calls invalid is kept for a person, and another says so
// in its place. Where that is refused too, nothing more is sent.
func TestInvalidResults(t *testing.T) {
	for name, refusals := range map[string]int{"once": 1, "for good": 2} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.platform.failFor = map[string]error{"one-1": status.Error(codes.InvalidArgument, "result.metrics: \x1btoo many")}
			b.platform.refused = func() {
				if b.platform.refusals == 1 && refusals == 1 {
					b.platform.failFor = nil
				}
			}
			b.start()
			b.platform.submit(assignment("one", 0), assignment("two", 1))
			b.platform.result("two-1")
			b.platform.await("the refusals", func() bool { return b.platform.refusals == refusals })
			b.drain()
			got := b.platform.results["one-1"]
			if b.platform.refusals != refusals || (got == nil) != (refusals > 1) {
				t.Errorf("refused %d times, then %v", b.platform.refusals, got)
			}
			for _, want := range []string{"result.metrics: \\x1btoo many.", `"completed"`, "rejected/", b.cfg.OutputRoot} {
				if got != nil && (got.GetOutcome() != "infrastructure" || !strings.Contains(got.GetErrorMessage(), want)) {
					t.Errorf("%s: %q, want %q in it", got.GetOutcome(), got.GetErrorMessage(), want)
				}
			}
			if reports, rejected, err := mustOpen(t, b).Pending(); err != nil || len(reports)+len(rejected) > 0 {
				t.Errorf("left in the outbox: %v, %v, %v", reports, rejected, err)
			}
			if data, err := os.ReadFile(filepath.Join(b.cfg.StateDir, "rejected", "one-1")); err != nil || !strings.Contains(string(data), `"completed"`) {
				t.Errorf("put aside: %q, %v", data, err)
			}
		})
	}
}

// Claims that fail are tried again.
func TestClaimErrors(t *testing.T) {
	b := newBench(t)
	failures := 0
	b.platform.fail = func(method string) error {
		if method == "ClaimJobs" && failures < 3 {
			failures++
			return status.Error(codes.Internal, "scripted")
		}
		return nil
	}
	b.start()
	b.platform.submit(assignment("job", 0))
	b.platform.result("job-1")
	b.drain()
}

// A platform that restarts at the same address loses nothing.
func TestPlatformRestart(t *testing.T) {
	b := newBench(t)
	finish := make(chan struct{})
	b.executor.script = func(context.Context, *program) executor.Exit { <-finish; return exited(0) }
	b.start()
	b.platform.submit(assignment("job", 0))
	b.platform.await("the start", func() bool { return len(b.platform.started) == 1 })
	b.platform.down()
	close(finish)
	b.platform.change(func() { b.platform.sessions = nil })
	b.platform.up()
	b.platform.result("job-1")
	b.drain()
}

// What an earlier process left running is killed and removed before anything
// else, and held no more.
func TestLeftoversAreRemoved(t *testing.T) {
	b := newBench(t)
	left := newHandle("old-1", nil)
	left.run(func(ctx context.Context) executor.Exit { return untilKilled(ctx, nil) })
	b.executor.left = []executor.Handle{left}
	b.start()
	b.platform.await("a heartbeat", func() bool { return len(b.platform.heartbeats) > 0 })
	if kills, removed := left.state(); kills == 0 || !removed {
		t.Errorf("%d kills, removed %v", kills, removed)
	}
	b.drain()
	for _, h := range b.platform.heartbeats {
		if len(h.GetHeld()) > 0 {
			t.Errorf("held %v", h.GetHeld())
		}
	}
}

// A kill that fails at the start is tried again, and a runner whose engine does
// not do it says which attempt it is.
func TestLeftoversThatResist(t *testing.T) {
	left := func(b *bench, failures int) {
		h := newHandle("old-1", nil)
		h.killErr = func(context.Context) error {
			if failures--; failures >= 0 {
				return errors.New("the engine does not answer")
			}
			return nil
		}
		h.run(func(ctx context.Context) executor.Exit { return untilKilled(ctx, nil) })
		b.executor.left = []executor.Handle{h}
		b.t.Cleanup(func() { h.die(); <-h.done })
	}
	b := newBench(t)
	b.pace.engine = patience
	left(b, 3)
	b.start()
	b.platform.await("a heartbeat", func() bool { return len(b.platform.heartbeats) > 0 })
	b.drain()

	b = newBench(t)
	b.pace.engine = 5 * time.Millisecond
	left(b, math.MaxInt)
	b.start()
	if err := b.wait(); err == nil || !strings.Contains(err.Error(), "attempt old-1: the engine does not answer") {
		t.Errorf("error %v", err)
	}
	if b.platform.asked > 0 {
		t.Error("asked for jobs in spite of one that may still run")
	}
}

func TestOneProcessPerStateDirectory(t *testing.T) {
	b := newBench(t).start()
	b.cfg.LockDir = filepath.Join(t.TempDir(), "locks")
	if _, err := New(b.cfg, Deps{Executor: b.executor}); !errors.Is(err, journal.ErrLocked) {
		t.Errorf("second runner: %v", err)
	}
	b.drain()
}
