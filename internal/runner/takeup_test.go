package runner

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/runner/config"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// once kills the runner the first time that an attempt is at a point.
func (m *mortal) once(point string) (killed <-chan struct{}) {
	var first sync.Once
	done := make(chan struct{})
	m.at = func(at, _ string) bool {
		ok := true
		if at == point {
			first.Do(func() { m.die(); close(done); ok = false })
		}
		return ok
	}
	return done
}

// A runner that is killed at any point of a job's life and started again tells its
// true end, once.
func TestKilledRunnerTakesJobsUp(t *testing.T) {
	for point, want := range map[string]struct {
		outcome, message string
		untaken          bool // it was never started
	}{
		"claimed":  {outcome: "infrastructure", message: "runner_restart", untaken: true},
		"creating": {outcome: "infrastructure", message: "runner_restart", untaken: true},
		"started":  {outcome: "nonzero_exit"},
		"ended":    {outcome: "nonzero_exit"},
		"removing": {outcome: "nonzero_exit"},
	} {
		t.Run(point, func(t *testing.T) {
			m := newMortal(t)
			killed := m.once(point)
			goOn := make(chan struct{})
			close(goOn)
			m.executor.script = steady(make(chan struct{}), goOn, 3)
			m.live()
			m.platform.submit(assignment("job", 0))
			m.until(killed)
			before := m.beats()
			m.live()
			m.platform.await("a heartbeat", func() bool { return len(m.platform.heartbeats) > before })
			result := m.platform.result("job-1")
			m.rest()
			if result.GetOutcome() != want.outcome || !strings.Contains(result.GetErrorMessage(), want.message) {
				t.Errorf("%s: %s", result.GetOutcome(), result.GetErrorMessage())
			}
			// While its container is removed, a result may be on its way already.
			if n := m.platform.accepted["job-1"]; n != 1 && point != "removing" {
				t.Errorf("%d results", n)
			}
			if !want.untaken && (result.GetExitCode() != 3 || result.GetTelemetry().GetSamples() != 20) {
				t.Errorf("exit code %v, %d samples", result.ExitCode, result.GetTelemetry().GetSamples())
			}
			if point != "removing" {
				m.held(before, assignment("job", 0))
			}
			m.inOrder(result)
		})
	}
}

// until waits for what must happen.
func (m *mortal) until(happened <-chan struct{}) {
	m.t.Helper()
	select {
	case <-happened:
	case <-time.After(patience):
		m.t.Fatal("it never happened")
	}
}

// beats is how many heartbeats there were.
func (m *mortal) beats() (n int) {
	m.platform.change(func() { n = len(m.platform.heartbeats) })
	return n
}

// held checks that the first heartbeat after as many as there were names an attempt,
// by its token.
func (m *mortal) held(before int, a *runnerv1.Assignment) {
	m.t.Helper()
	if len(m.platform.heartbeats) <= before {
		m.t.Error("no heartbeat after the restart")
		return
	}
	for _, ref := range m.platform.heartbeats[before].GetHeld() {
		if ref.GetAttemptId() == a.GetAttemptId() && proto.Equal(ref.GetToken(), a.GetToken()) {
			return
		}
	}
	m.t.Errorf("the first heartbeat after the restart holds %v", m.platform.heartbeats[before].GetHeld())
}

// inOrder checks an attempt's files: the manifest, their owner, nothing half made.
func (m *mortal) inOrder(result *runnerv1.Result) {
	m.t.Helper()
	readManifest(m.t, result)
	list := files(m.t, result.GetDirectory())
	for _, name := range list {
		if name == "telemetry.log" || strings.HasPrefix(name, ".") {
			m.t.Errorf("%s is left", name)
		}
	}
	for _, name := range append(list, ".", "output", "log") {
		if uid, _, err := ownerOf(filepath.Join(result.GetDirectory(), name)); err != nil || uid != os.Geteuid() {
			m.t.Errorf("%s belongs to %d (%v)", name, uid, err)
		}
	}
}

// While the runner is away the job goes on. What its stream could not send comes
// again, and the table has no hole and nothing twice.
func TestSeriesGoesOn(t *testing.T) {
	m := newMortal(t)
	halfway, goOn := make(chan struct{}), make(chan struct{})
	m.executor.script = steady(halfway, goOn, 0)
	m.live()
	m.platform.submit(assignment("job", 0))
	m.until(halfway)
	m.die()
	close(goOn) // it sends to nobody
	m.live()
	result := m.platform.result("job-1")
	m.rest()
	s := result.GetTelemetry()
	if result.GetOutcome() != "completed" || s.GetSamples() != 20 || s.GetDroppedSamples() != 0 || s.GetVariables()[0].GetCount() != 20 {
		t.Errorf("%s: %s, %v", result.GetOutcome(), result.GetErrorMessage(), s)
	}
	if w := result.GetWarnings(); len(w) > 0 {
		t.Errorf("warnings of a series that is whole: %q", w)
	}
	if len(m.platform.given) != 1 {
		t.Errorf("given out: %q", m.platform.given)
	}
	m.inOrder(result)
}

// A hole that nobody can rule out is told.
func TestHoleIsTold(t *testing.T) {
	for name, ends := range map[string]bool{"one by one": false, "ended meanwhile": true} {
		t.Run(name, func(t *testing.T) {
			m := newMortal(t)
			halfway, goOn := make(chan struct{}), make(chan struct{})
			m.executor.script = func(ctx context.Context, p *program) executor.Exit {
				p.publish(ctx, 1, "x", 1, "")
				close(halfway)
				<-goOn
				return exited(0)
			}
			m.live()
			m.platform.submit(assignment("job", 0))
			m.until(halfway)
			m.die()
			if ends {
				close(goOn)
				m.until(m.executor.handle("job-1").done)
			}
			m.live()
			if !ends {
				m.platform.await("the job to be held again", func() bool { return len(m.platform.registers) == 2 })
				close(goOn)
			}
			result := m.platform.result("job-1")
			m.rest()
			told := slices.ContainsFunc(result.GetWarnings(), func(w string) bool { return strings.Contains(w, "is missing") })
			if result.GetOutcome() != "completed" || !told {
				t.Errorf("%s, warnings %q", result.GetOutcome(), result.GetWarnings())
			}
		})
	}
}

// The watchdog judges the whole series, also what comes after the restart, and a
// verdict that the killed process had reached stands.
func TestWatchdogGoesOn(t *testing.T) {
	falling := func(i int) float64 {
		if i == 15 {
			return 6300
		}
		return 7000
	}
	for name, point := range map[string]string{
		"halfway": "halfway", "killing": "killing", "killed": "killed", "killed before the sample was logged": "killed",
	} {
		t.Run(name, func(t *testing.T) {
			m := newMortal(t)
			killed := m.once(point)
			halfway := make(chan struct{})
			m.executor.script = func(ctx context.Context, p *program) executor.Exit {
				p.sends(ctx, 1, 10, falling)
				close(halfway)
				if point == "halfway" {
					<-killed
				}
				p.sends(ctx, 11, 20, falling)
				return untilKilled(ctx, p)
			}
			m.live()
			m.platform.submit(radiusBelow(assignment("job", 0)))
			m.until(halfway)
			if point == "halfway" {
				m.at("halfway", "")
			}
			m.until(killed)
			if strings.Contains(name, "logged") {
				m.loseTelemetry()
			}
			m.live()
			result := m.platform.result("job-1")
			m.rest()
			if result.GetOutcome() != "early_termination" || result.GetBreach().GetTimeSeconds() != 15 {
				t.Errorf("%s: %s, %v", result.GetOutcome(), result.GetErrorMessage(), result.GetBreach())
			}
			if told := strings.Contains(strings.Join(result.GetWarnings(), ""), "may be missing"); strings.Contains(name, "logged") && !told {
				t.Errorf("warnings %q", result.GetWarnings())
			}
			if n := m.platform.accepted["job-1"]; n != 1 {
				t.Errorf("%d results", n)
			}
			m.inOrder(result)
		})
	}
}

// loseTelemetry removes the log of the only attempt.
func (m *mortal) loseTelemetry() {
	m.t.Helper()
	logs, err := filepath.Glob(filepath.Join(m.cfg.OutputRoot, "*", "*", "*", "telemetry.log"))
	if err != nil || len(logs) != 1 {
		m.t.Fatalf("telemetry logs: %q, %v", logs, err)
	}
	if err := os.Remove(logs[0]); err != nil {
		m.t.Fatal(err)
	}
}

// What a runner had decided before it was killed is done by the next.
func TestDecisionsAreKept(t *testing.T) {
	for _, point := range []string{"killing", "killed"} {
		for _, want := range []string{"timeout", "cancelled"} {
			t.Run(want+" "+point, func(t *testing.T) {
				m := newMortal(t)
				killed := m.once(point)
				m.executor.script = untilKilled
				m.live()
				job := assignment("job", 0)
				if want == "timeout" {
					job = withTimeout(job, 50*time.Millisecond)
				}
				m.platform.submit(job)
				m.platform.await("the start", func() bool { return len(m.platform.started) == 1 })
				if want == "cancelled" {
					m.platform.change(func() { m.platform.cancel["job-1"] = true })
				}
				m.until(killed)
				m.platform.change(func() { m.platform.cancel["job-1"] = false })
				m.live()
				result := m.platform.result("job-1")
				m.rest()
				if result.GetOutcome() != want || m.platform.accepted["job-1"] != 1 {
					t.Errorf("%s: %s; %d results", result.GetOutcome(), result.GetErrorMessage(), m.platform.accepted["job-1"])
				}
				m.inOrder(result)
			})
		}
	}
}

// The deadline counts from the job's true start; but a job that ended in time while
// nobody looked is not late.
func TestDeadlineOfATakenJob(t *testing.T) {
	for name, inTime := range map[string]bool{"overdue": false, "ended in time": true} {
		t.Run(name, func(t *testing.T) {
			m := newMortal(t)
			started := make(chan struct{})
			goOn := make(chan struct{})
			m.executor.script = func(ctx context.Context, p *program) executor.Exit {
				close(started)
				if !inTime {
					return untilKilled(ctx, p)
				}
				<-goOn
				return exited(0)
			}
			const limit = 400 * time.Millisecond
			m.live()
			m.platform.submit(withTimeout(assignment("job", 0), limit))
			m.until(started)
			m.die()
			close(goOn)
			h := m.executor.handle("job-1")
			if inTime {
				m.until(h.done)
			}
			time.Sleep(time.Until(h.started.Add(limit + 50*time.Millisecond)))
			m.live()
			result := m.platform.result("job-1")
			m.rest()
			want := map[bool]string{true: "completed", false: "timeout"}[inTime]
			if inTime && h.ended.After(h.started.Add(limit)) { // on a machine that is too busy
				want = "timeout"
			}
			if result.GetOutcome() != want {
				t.Errorf("%s: %s", result.GetOutcome(), result.GetErrorMessage())
			}
		})
	}
}

// A result is delivered once more where its acknowledgement was lost, and it is the
// same.
func TestKilledWhileReporting(t *testing.T) {
	for name, takes := range map[string]bool{"before the platform has it": false, "after": true} {
		t.Run(name, func(t *testing.T) {
			m := newMortal(t)
			m.executor.script = func(context.Context, *program) executor.Exit { return exited(3) }
			reported := make(chan struct{})
			var once sync.Once
			m.platform.fail = func(method string) (err error) {
				if method == "ReportResult" {
					once.Do(func() {
						go func() { m.die(); close(reported) }()
						<-m.gone()
						if !takes {
							err = status.Error(codes.Unavailable, "scripted")
						}
					})
				}
				return err
			}
			m.live()
			m.platform.submit(assignment("job", 0))
			m.until(reported)
			var first *runnerv1.Result
			m.platform.change(func() { first = m.platform.results["job-1"]; m.platform.results = map[string]*runnerv1.Result{} })
			if (first != nil) != takes {
				t.Fatalf("the platform has %v", first)
			}
			m.live()
			result := m.platform.result("job-1")
			m.rest()
			if result.GetOutcome() != "nonzero_exit" || takes && !proto.Equal(first, result) {
				t.Errorf("%v, then %v", first, result)
			}
			m.inOrder(result)
		})
	}
}

// gone is closed when the process that lives now is gone.
func (m *mortal) gone() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.done
}

// An attempt that was given to another runner meanwhile is ended, and never
// reported.
func TestTakenJobThatWasLost(t *testing.T) {
	m := newMortal(t)
	started := make(chan struct{})
	m.executor.script = func(ctx context.Context, p *program) executor.Exit { close(started); return untilKilled(ctx, p) }
	m.live()
	m.platform.submit(assignment("job", 0))
	m.until(started)
	m.die()
	m.platform.change(func() { m.platform.lost["job-1"] = true })
	m.live()
	m.until(m.executor.handle("job-1").done)
	m.rest()
	if n := m.platform.accepted["job-1"]; n > 0 {
		t.Errorf("%d results", n)
	}
	for _, name := range []string{".", "output", "log"} {
		if uid, _, err := ownerOf(filepath.Join(attemptDir(m.bench, 0), name)); err != nil || uid != os.Geteuid() {
			t.Errorf("%s belongs to %d (%v)", name, uid, err)
		}
	}
}

// With on_runner_loss: kill the next process ends what the killed one had, and does
// not hold it; the files are their owner's.
func TestKillOnRunnerLoss(t *testing.T) {
	m := newMortal(t)
	m.onLoss = config.RunnerLossKill
	started := make(chan struct{})
	m.executor.script = func(ctx context.Context, p *program) executor.Exit { close(started); return untilKilled(ctx, p) }
	m.live()
	m.platform.submit(assignment("job", 0))
	m.until(started)
	m.die()
	before := m.beats()
	m.live()
	m.platform.await("a heartbeat", func() bool { return len(m.platform.heartbeats) > before })
	m.rest()
	for _, beat := range m.platform.heartbeats[before:] {
		if len(beat.GetHeld()) > 0 {
			t.Errorf("held %v", beat.GetHeld())
		}
	}
	if kills, removed := m.executor.handle("job-1").state(); kills == 0 || !removed || len(m.platform.results) > 0 {
		t.Errorf("%d kills, removed %v, results %v", kills, removed, m.platform.results)
	}
	if uid, _, err := ownerOf(filepath.Join(attemptDir(m.bench, 0), "output")); err != nil || uid != os.Geteuid() {
		t.Errorf("output belongs to %d (%v)", uid, err)
	}
}

// A taken job keeps its user and its resources: no other job gets them.
func TestTakenJobKeepsWhatItHas(t *testing.T) {
	m := newMortal(t)
	type user struct {
		attempt string
		uid     uint32
	}
	running := make(chan user, 10)
	finish := make(chan struct{})
	m.executor.script = func(_ context.Context, p *program) executor.Exit {
		running <- user{p.spec.AttemptID, p.spec.User.UID}
		<-finish
		return exited(0)
	}
	m.live()
	m.platform.submit(assignment("first", 0))
	first := <-running
	m.die()
	m.live()
	m.platform.submit(assignment("second", 1), assignment("third", 2)) // two slots, one of them free
	second := <-running
	if os.Geteuid() == 0 && second.uid == first.uid {
		t.Errorf("%v and %v have one user", first, second)
	}
	before := m.beats()
	m.platform.await("heartbeats", func() bool { return len(m.platform.heartbeats) > before+3 })
	if len(running) > 0 {
		t.Errorf("a third job runs in two slots: %v", <-running)
	}
	m.platform.change(func() {
		for _, c := range m.platform.claims[len(m.platform.claims)-1:] {
			if c.GetMaxJobs() > 1 {
				t.Errorf("asks for %d jobs", c.GetMaxJobs())
			}
		}
	})
	close(finish)
	for _, id := range []string{"first-1", "second-1", "third-1"} {
		if r := m.platform.result(id); r.GetOutcome() != "completed" {
			t.Errorf("%s: %s", id, r.GetErrorMessage())
		}
	}
	m.rest()
}
