package runner

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/tetryx/lynx-runner/executor"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

func TestCancel(t *testing.T) {
	b := newBench(t).start()
	b.executor.script = func(ctx context.Context, p *program) executor.Exit {
		p.write("so_far", "1")
		return untilKilled(ctx, p)
	}
	b.platform.submit(assignment("job", 0))
	b.platform.await("the start", func() bool { return len(b.platform.started) == 1 })
	b.platform.change(func() { b.platform.cancel["job-1"] = true })
	result := b.platform.result("job-1")
	b.drain()
	if result.GetOutcome() != "cancelled" || !slices.Contains(files(t, result.GetDirectory()), "output/so_far") {
		t.Errorf("%s: %s; files %q", result.GetOutcome(), result.GetErrorMessage(), files(t, result.GetDirectory()))
	}
}

// A cancellation also ends the wait for an image.
func TestCancelBeforeTheStart(t *testing.T) {
	b := newBench(t)
	resolving := make(chan struct{})
	b.executor.resolve = func(ctx context.Context, _ string) (string, error) {
		close(resolving)
		<-ctx.Done()
		return "", ctx.Err()
	}
	b.start()
	b.platform.submit(assignment("job", 0))
	<-resolving
	b.platform.change(func() { b.platform.cancel["job-1"] = true })
	result := b.platform.result("job-1")
	b.drain()
	if result.GetOutcome() != "cancelled" || result.GetStartedAt() != nil {
		t.Errorf("%s, started %v", result.GetOutcome(), result.GetStartedAt())
	}
}

func TestLeaseLost(t *testing.T) {
	for _, how := range []string{"heartbeat", "stale start report"} {
		t.Run(how, func(t *testing.T) {
			b := newBench(t)
			running := make(chan struct{})
			b.executor.script = func(ctx context.Context, p *program) executor.Exit {
				close(running)
				return untilKilled(ctx, p)
			}
			if how == "stale start report" {
				b.platform.fail = func(method string) error {
					if method == "ReportStarted" {
						return runnerv1.NewError(codes.FailedPrecondition, runnerv1.ReasonStaleToken, "stale")
					}
					return nil
				}
			}
			b.start()
			b.platform.submit(assignment("job", 0))
			<-running
			if how == "heartbeat" {
				b.platform.await("the start", func() bool { return len(b.platform.started) == 1 })
				b.platform.change(func() { b.platform.lost["job-1"] = true })
			}
			<-b.executor.handle("job-1").done
			b.drain()
			if b.platform.results["job-1"] != nil {
				t.Errorf("a lost attempt was reported: %v", b.platform.results["job-1"])
			}
			data, err := os.ReadFile(filepath.Join(attemptDir(b, 0), "manifest.json"))
			if err != nil || !strings.Contains(string(data), "lease_lost") {
				t.Errorf("manifest %s %v", data, err)
			}
			if reports, _, _ := mustOpen(t, b).Pending(); len(reports) > 0 {
				t.Errorf("outbox %v", reports)
			}
		})
	}
}

func TestHardStop(t *testing.T) {
	b := newBench(t).start()
	b.executor.script = untilKilled
	b.platform.submit(assignment("one", 0), assignment("two", 1))
	b.platform.await("both to start", func() bool { return len(b.platform.started) == 2 })
	b.stop()
	for _, id := range []string{"one-1", "two-1"} {
		result := b.platform.results[id]
		if result.GetOutcome() != "infrastructure" || !strings.Contains(result.GetErrorMessage(), "runner_shutdown") {
			t.Errorf("%s: %s: %s", id, result.GetOutcome(), result.GetErrorMessage())
		}
		readManifest(t, result)
	}
}

// An engine that hangs does not keep a hard stop from ending.
func TestHardStopOfAHungEngine(t *testing.T) {
	b := newBench(t)
	b.pace.stop = 50 * time.Millisecond
	release := make(chan struct{})
	b.executor.script = func(context.Context, *program) executor.Exit { <-release; return signaled(9) }
	b.start()
	b.platform.submit(assignment("job", 0))
	b.platform.await("the start", func() bool { return len(b.platform.started) == 1 })
	b.stop()
	close(release)
	<-b.executor.handle("job-1").done
	if result := b.platform.results["job-1"]; result.GetOutcome() != "infrastructure" {
		t.Errorf("%s: %s", result.GetOutcome(), result.GetErrorMessage())
	}
}

func TestDrain(t *testing.T) {
	b := newBench(t)
	b.cfg.MaxConcurrentJobs = 3
	finish := make(chan struct{})
	b.executor.script = func(context.Context, *program) executor.Exit { <-finish; return exited(0) }
	b.start()
	b.platform.submit(assignment("one", 0), assignment("two", 1))
	b.platform.await("both to start", func() bool { return len(b.platform.started) == 2 })
	b.runner.Drain()
	b.runner.Drain() // again does nothing
	b.platform.await("a draining heartbeat", func() bool {
		return slices.ContainsFunc(b.platform.heartbeats, func(h *runnerv1.HeartbeatRequest) bool { return h.GetDraining() && len(h.GetHeld()) == 2 })
	})
	b.platform.submit(assignment("late", 2))
	close(finish)
	b.drain()
	if len(b.platform.results) != 2 || len(b.platform.queue) != 1 {
		t.Errorf("%d results, %d jobs left, want 2 and the late one", len(b.platform.results), len(b.platform.queue))
	}
}

// A runner that was drained before it could register just ends.
func TestDrainWhilePlatformIsAway(t *testing.T) {
	b := newBench(t)
	b.platform.down()
	b.start()
	b.drain()
}

// The platform's drain is a pause: nothing is claimed until it resumes.
func TestMaintenance(t *testing.T) {
	b := newBench(t)
	b.pace.poll = 10 * time.Millisecond
	b.platform.drained = true
	b.start()
	b.platform.await("two heartbeats", func() bool { return len(b.platform.heartbeats) >= 2 })
	// What was asked before the drain was heard of may still be under way.
	b.platform.await("the claims to pause", func() bool { return !b.runner.gateOpen() })
	b.platform.await("a poll's time", func() bool { return len(b.platform.heartbeats) >= 6 })
	b.platform.submit(assignment("job", 0))
	b.platform.await("more heartbeats", func() bool { return len(b.platform.heartbeats) >= 10 })
	b.platform.change(func() {
		if b.platform.claimed != 0 {
			t.Error("a drained runner claimed a job")
		}
		b.platform.drained = false
	})
	b.platform.result("job-1")
	b.drain()
}
