package runner

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/runner/artifact"
	"github.com/tetryx/lynx-runner/internal/runner/config"
)

// A job that has ended is not blamed for what else is due when we come to look.
func TestExitCountsFirst(t *testing.T) {
	exits, timeout, stopped := make(chan ended, 1), make(chan time.Time, 1), make(chan struct{})
	for range 100 { // select picks at random among what is ready
		exits <- ended{exit: exited(7)}
		timeout <- time.Now()
		if e, what := next(exits, nil, timeout, nil); what != happenedExit || e.exit.Code != 7 {
			t.Fatalf("%v, %+v", what, e)
		}
		select {
		case <-timeout:
		default:
		}
	}
	timeout <- time.Now()
	if _, what := next(exits, nil, timeout, nil); what != happenedTimeout {
		t.Errorf("timeout: %v", what)
	}
	close(stopped)
	if _, what := next(exits, nil, timeout, stopped); what != happenedStop {
		t.Errorf("stop: %v", what)
	}
	vacated := make(chan struct{})
	close(vacated)
	for range 100 {
		if _, what := next(exits, vacated, timeout, stopped); what != happenedVacated {
			t.Fatalf("an end without a record: %v", what)
		}
	}
}

// No kill waits until a large tree was looked through.
func TestKillDoesNotWaitForALook(t *testing.T) {
	b := newBench(t)
	b.executor.script = untilKilled
	looking := make(chan struct{}, 1)
	b.measure = func(ctx context.Context, _ artifact.Limits, _ ...string) (artifact.Use, error) {
		looking <- struct{}{}
		<-ctx.Done()
		return artifact.Use{}, ctx.Err()
	}
	b.start()
	b.platform.submit(assignment("job", 0))
	<-looking
	b.platform.change(func() { b.platform.cancel["job-1"] = true })
	if result := b.platform.result("job-1"); result.GetOutcome() != "cancelled" {
		t.Errorf("%s: %s", result.GetOutcome(), result.GetErrorMessage())
	}
	b.drain()
}

// Output that cannot be measured ends nothing, and is measured again.
func TestOutputThatCannotBeMeasured(t *testing.T) {
	b := newBench(t)
	finish := make(chan struct{})
	b.executor.script = func(context.Context, *program) executor.Exit { <-finish; return exited(0) }
	looks := 0
	b.measure = func(context.Context, artifact.Limits, ...string) (artifact.Use, error) {
		if looks++; looks == 3 {
			close(finish)
		}
		return artifact.Use{Bytes: math.MaxInt64}, errors.New("I/O error")
	}
	if result := runOne(t, b, assignment("job", 0)); result.GetOutcome() != "completed" {
		t.Errorf("%s: %s", result.GetOutcome(), result.GetErrorMessage())
	}
}

// A result does not wait for an engine that cannot remove the container, and the
// container goes when the engine can.
func TestRemovalIsTriedAgain(t *testing.T) {
	b := newBench(t)
	tries := 0
	b.executor.remove = func(id string) error {
		tries++
		b.platform.mu.Lock()
		defer b.platform.mu.Unlock()
		if b.platform.results[id] == nil {
			return errors.New("the engine is away until the result is delivered")
		}
		return nil
	}
	b.pace.engine = patience
	b.start()
	b.platform.submit(assignment("job", 0))
	b.platform.result("job-1")
	b.drain()
	if tries < 1 {
		t.Error("never removed")
	}
}

// A container that nobody could kill is not removed, but left to the next start.
func TestRemovalNeedsAnEnd(t *testing.T) {
	b := newBench(t)
	b.pace.stop = 20 * time.Millisecond
	release := make(chan struct{})
	b.executor.script = func(context.Context, *program) executor.Exit { <-release; return signaled(9) }
	b.executor.kill = func(context.Context) error { return errors.New("the engine hangs") }
	b.executor.remove = func(id string) error {
		t.Errorf("%s was removed while it ran", id)
		return nil
	}
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

// Kills are tried until one succeeds: the slot must not go to another job before.
func TestKillIsTriedAgain(t *testing.T) {
	b := newBench(t)
	b.executor.script = untilKilled
	tries := 0
	b.executor.kill = func(context.Context) error {
		if tries++; tries < 4 {
			return errors.New("the engine does not answer")
		}
		return nil
	}
	result := runOne(t, b, withTimeout(assignment("job", 0), 10*time.Millisecond))
	if result.GetOutcome() != "timeout" || tries < 4 {
		t.Errorf("%s after %d kills: %s", result.GetOutcome(), tries, result.GetErrorMessage())
	}
}

// A job whose directory could only be made in part is reported with what there
// is, and that is given to the owner too.
func TestDirectoryMadeInPart(t *testing.T) {
	b := newBench(t)
	a := assignment("job", 0)
	a.Parameters[0].Value = math.NaN() // JSON has no word for it
	result := runOne(t, b, a)
	if result.GetOutcome() != "invalid_job" || result.GetDirectory() != attemptDir(b, 0) {
		t.Errorf("%s in %q: %s", result.GetOutcome(), result.GetDirectory(), result.GetErrorMessage())
	}
	for _, name := range []string{".", "output", "log"} {
		if uid, _, err := ownerOf(filepath.Join(attemptDir(b, 0), name)); err != nil || uid != os.Geteuid() {
			t.Errorf("%s belongs to %d (%v)", name, uid, err)
		}
	}
	if !slices.ContainsFunc(result.GetWarnings(), func(s string) bool { return strings.Contains(s, "manifest.json could not be written") }) {
		t.Errorf("warnings %q", result.GetWarnings())
	}
	if got := files(t, attemptDir(b, 0)); len(got) > 0 {
		t.Errorf("half a file: %q", got)
	}
}

// Who may rename things in the output root cannot make a root runner write to,
// or give away, a directory elsewhere.
func TestSwappedDirectory(t *testing.T) {
	b := newBench(t)
	victim := t.TempDir()
	if err := os.WriteFile(filepath.Join(victim, "file"), nil, 0o604); err != nil {
		t.Fatal(err)
	}
	b.cfg.OutputOwner = config.Owner{UID: os.Geteuid(), GID: os.Getegid() + 1, Set: true}
	b.executor.script = func(_ context.Context, p *program) executor.Exit {
		dir := filepath.Dir(p.spec.OutputDir)
		if err := errors.Join(os.Rename(dir, dir+"-moved"), os.Symlink(victim, dir)); err != nil {
			p.t.Error(err)
		}
		return exited(0)
	}
	result := runOne(t, b, assignment("job", 0))
	if result.GetOutcome() != "completed" {
		t.Errorf("%s: %s", result.GetOutcome(), result.GetErrorMessage())
	}
	if got := files(t, victim); !slices.Equal(got, []string{"file"}) {
		t.Errorf("written elsewhere: %q", got)
	}
	if info, err := os.Stat(filepath.Join(victim, "file")); err != nil || info.Mode() != 0o604 {
		t.Errorf("mode %v (%v) of a file elsewhere", info.Mode(), err)
	}
	if _, gid, err := ownerOf(filepath.Join(victim, "file")); err != nil || gid != os.Getegid() {
		t.Errorf("given to group %d (%v)", gid, err)
	}
	if got := files(t, attemptDir(b, 0)+"-moved"); !slices.Contains(got, "manifest.json") || !slices.Contains(got, "telemetry.parquet") {
		t.Errorf("files %q", got)
	}
}

// What other programs say is made fit for a report, which is UTF-8, and for a
// terminal.
func TestWordsOfOthers(t *testing.T) {
	b := newBench(t)
	b.executor.script = func(context.Context, *program) executor.Exit {
		return executor.Exit{Notes: []string{"The engine says \xff\x1b[2J."}}
	}
	result := runOne(t, b, assignment("job", 0))
	for _, text := range append(result.GetWarnings(), result.GetErrorMessage()) {
		if !utf8.ValidString(text) || !strings.Contains(text, `says \xff\x1b[2J.`) {
			t.Errorf("%q", text)
		}
	}
	if len(result.GetWarnings()) != 1 {
		t.Errorf("warnings %q", result.GetWarnings())
	}
}

// Messages name the files as people know them.
func TestMessagesNameTheRealDirectory(t *testing.T) {
	b := newBench(t)
	b.executor.script = func(_ context.Context, p *program) executor.Exit {
		if err := os.RemoveAll(p.spec.OutputDir); err != nil {
			p.t.Error(err)
		}
		return exited(0)
	}
	result := runOne(t, b, assignment("job", 0))
	if m := result.GetErrorMessage(); result.GetOutcome() != "infrastructure" || !strings.Contains(m, attemptDir(b, 0)+"/output") || strings.Contains(m, "/proc/") {
		t.Errorf("%s: %s", result.GetOutcome(), m)
	}
}

// A result that the platform has trouble with does not keep others from being
// delivered.
func TestTroublesomeResult(t *testing.T) {
	b := newBench(t)
	b.platform.failFor = map[string]error{"a-1": status.Error(codes.Internal, "constraint failed")}
	b.start()
	b.platform.submit(assignment("a", 0))
	b.platform.await("the trouble", func() bool { return b.platform.refusals > 0 })
	b.platform.submit(assignment("b", 1))
	b.platform.result("b-1")
	b.platform.change(func() { b.platform.failFor = nil })
	b.platform.result("a-1")
	b.drain()
}

// A result that cannot be written down is delivered all the same.
func TestOutboxCannotBeWritten(t *testing.T) {
	b := newBench(t).start()
	b.platform.await("a heartbeat", func() bool { return len(b.platform.heartbeats) > 0 })
	outbox := filepath.Join(b.cfg.StateDir, "outbox")
	if err := errors.Join(os.RemoveAll(outbox), os.WriteFile(outbox, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	b.platform.submit(assignment("job", 0))
	if result := b.platform.result("job-1"); result.GetOutcome() != "completed" {
		t.Errorf("%s: %s", result.GetOutcome(), result.GetErrorMessage())
	}
	b.drain()
}

// A reason that cannot be written down does not keep a job alive.
func TestCauseCannotBeWritten(t *testing.T) {
	b := newBench(t)
	b.executor.script = untilKilled
	b.start()
	b.platform.await("a heartbeat", func() bool { return len(b.platform.heartbeats) > 0 })
	causes := filepath.Join(b.cfg.StateDir, "causes")
	if err := errors.Join(os.RemoveAll(causes), os.WriteFile(causes, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	b.platform.submit(withTimeout(assignment("job", 0), 10*time.Millisecond))
	if result := b.platform.result("job-1"); result.GetOutcome() != "timeout" {
		t.Errorf("%s: %s", result.GetOutcome(), result.GetErrorMessage())
	}
	b.drain()
}

// A telemetry socket that cannot be served ends the attempt, not the runner.
func TestTelemetryCannotBeServed(t *testing.T) {
	b := newBench(t)
	deep := filepath.Join(b.cfg.RuntimeDir, strings.Repeat("x", 90)) // too long for a socket
	b.cfg.RuntimeDir = deep
	b.executor.script = func(context.Context, *program) executor.Exit {
		t.Error("started")
		return exited(0)
	}
	result := runOne(t, b, assignment("job", 0))
	if result.GetOutcome() != "infrastructure" || !strings.Contains(result.GetErrorMessage(), "telemetry socket") {
		t.Errorf("%s: %s", result.GetOutcome(), result.GetErrorMessage())
	}
}

// A platform that answers at once with nothing is not asked without end.
func TestEmptyAnswers(t *testing.T) {
	b := newBench(t)
	b.pace.backoffMin, b.pace.backoffMax = time.Hour, time.Hour
	b.platform.impatient = true
	b.start()
	b.platform.await("a claim and some time", func() bool { return b.platform.asked > 0 && len(b.platform.heartbeats) > 8 })
	b.platform.mu.Lock()
	asked := b.platform.asked
	b.platform.mu.Unlock()
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	b.drain()
}

// What others can write to is not used as a private directory.
func TestDirectoriesThatOthersCanWriteTo(t *testing.T) {
	for name, dir := range map[string]func(*config.Config) string{
		"state_dir":   func(c *config.Config) string { return c.StateDir },
		"runtime_dir": func(c *config.Config) string { return c.RuntimeDir },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			open := dir(b.cfg)
			if err := errors.Join(os.MkdirAll(open, 0o700), os.Chmod(open, 0o777)); err != nil {
				t.Fatal(err)
			}
			r, err := New(b.cfg, Deps{Executor: b.executor, Platform: b.platform.client()})
			if err == nil {
				err = r.Run(t.Context())
			}
			if err == nil || !strings.Contains(err.Error(), "chmod go-w "+open) {
				t.Errorf("error %v", err)
			}
		})
	}
	open := t.TempDir()
	if err := os.Chmod(open, 0o775); err != nil {
		t.Fatal(err)
	}
	if _, err := newSlots(slotConfig(open, 1), 0, 0); err == nil || !strings.Contains(err.Error(), "lock_dir: ") {
		t.Errorf("lock_dir: %v", err)
	}
}

// A new runner that cannot have its slots or its state gives back what it has.
func TestNewGivesBack(t *testing.T) {
	b := newBench(t)
	if err := os.WriteFile(b.cfg.StateDir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b.cfg.UIDs.Last = b.cfg.UIDs.First + b.cfg.MaxConcurrentJobs - 1
	for range 3 {
		if _, err := New(b.cfg, Deps{Executor: b.executor}); err == nil || !strings.Contains(err.Error(), "state directory") {
			t.Fatalf("error %v", err)
		}
	}
	if err := os.Remove(b.cfg.StateDir); err != nil {
		t.Fatal(err)
	}
	result := runOne(t, b, assignment("job", 0))
	if result.GetOutcome() != "completed" {
		t.Errorf("%s: %s", result.GetOutcome(), result.GetErrorMessage())
	}
}

// A context that outlives another does so for its time, and no longer than it is
// needed.
func TestOutlive(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	longer, done := outlive(ctx, 0)
	if longer.Err() != nil {
		t.Error("ended before")
	}
	cancel()
	<-longer.Done()
	done()
	longer, done = outlive(ctx, time.Hour)
	if longer.Err() != nil {
		t.Error("ended with the other")
	}
	done()
	<-longer.Done()
}
