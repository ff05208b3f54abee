package runner

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"

	"github.com/tetryx/lynx-runner/executor"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// fate is what becomes of a job when nothing else happens to it.
type fate struct {
	outcome string
	script  func(ctx context.Context, p *program) executor.Exit
	// change makes the assignment what the fate needs.
	change func(*runnerv1.Assignment)
}

var fates = map[string]fate{
	"completes": {"completed", func(_ context.Context, p *program) executor.Exit { p.write("x", "y"); return exited(0) }, nil},
	"fails":     {"nonzero_exit", func(context.Context, *program) executor.Exit { return exited(3) }, nil},
	"crashes":   {"signaled", func(context.Context, *program) executor.Exit { return signaled(11) }, nil},
	"hangs":     {"cancelled", untilKilled, nil}, // the test cancels it in the end
	"too long":  {"timeout", untilKilled, func(a *runnerv1.Assignment) { withTimeout(a, time.Millisecond) }},
	"breaches": {"early_termination", func(ctx context.Context, p *program) executor.Exit {
		p.publish(ctx, 1, "orbit.radius_km", 1, "km")
		return untilKilled(ctx, p)
	}, func(a *runnerv1.Assignment) { radiusBelow(a) }},
	"no such file": {"invalid_job", nil, func(a *runnerv1.Assignment) { a.Simulation.Entrypoint = "none.py" }},
	"cannot start": {"infrastructure", nil, nil},
}

// trouble is what goes wrong around the jobs, how many times.
type trouble struct {
	calls   map[string]int // failing calls to the platform, by method
	kills   int
	removes int
}

// event happens while the jobs run.
type event struct {
	what string // cancel, lose, forget, restart
	job  int
}

// plan is one run of the test.
type plan struct {
	slots   int
	fates   []string
	trouble trouble
	events  []event
}

func drawPlan(t *rapid.T) plan {
	names := slices.Sorted(maps.Keys(fates))
	p := plan{slots: rapid.IntRange(1, 3).Draw(t, "slots"), fates: rapid.SliceOfN(rapid.SampledFrom(names), 1, 6).Draw(t, "fates")}
	p.trouble.calls = rapid.MapOfN(
		rapid.SampledFrom([]string{"Register", "ClaimJobs", "Heartbeat", "ReportStarted", "ReportResult", "ListFiles", "PutFiles", "Tail"}), rapid.IntRange(1, 3), 0, 8).Draw(t, "failing calls")
	p.trouble.kills = rapid.IntRange(0, 2).Draw(t, "failing kills")
	p.trouble.removes = rapid.IntRange(0, 2).Draw(t, "failing removals")
	p.events = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) event {
		return event{rapid.SampledFrom([]string{"cancel", "lose", "forget", "restart", "nothing"}).Draw(t, "event"), rapid.IntRange(0, len(p.fates)-1).Draw(t, "job")}
	}), 0, 5).Draw(t, "events")
	return p
}

// arena counts what runs at a time.
type arena struct {
	mu       sync.Mutex
	users    map[uint32]int
	running  int
	problems []string
}

func (a *arena) enter(limit int, uid uint32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.running++
	a.users[uid]++
	if a.running > limit {
		a.problems = append(a.problems, fmt.Sprintf("%d jobs run on %d slots", a.running, limit))
	}
	if os.Geteuid() == 0 && a.users[uid] > 1 {
		a.problems = append(a.problems, fmt.Sprintf("user %d has %d jobs at a time", uid, a.users[uid]))
	}
}

func (a *arena) leave(uid uint32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.running--
	a.users[uid]--
}

// Whatever happens, in whatever order: every attempt that was given out ends in
// exactly one result, or was taken away; the platform has every file of those that
// have one; slots and users are never exceeded; and nothing is left behind.
func TestWhateverHappens(t *testing.T) {
	plans := 0
	rapid.Check(t, func(rt *rapid.T) {
		p := drawPlan(rt)
		plans++
		// A test of its own, cleaned up before the next one.
		ok := t.Run(strconv.Itoa(plans), func(t *testing.T) { p.play(t) })
		if !ok {
			rt.Fatalf("%+v", p)
		}
	})
}

func (p plan) play(t *testing.T) {
	b := newBench(t)
	keepFiles(b)
	b.cfg.MaxConcurrentJobs = p.slots
	b.pace.engine = patience // what fails works in the end, however busy the machine is
	a := &arena{users: map[uint32]int{}}
	p.script(b, a)
	for i, name := range p.fates {
		job := assignment(fmt.Sprintf("job%d", i), uint64(i))
		if change := fates[name].change; change != nil {
			change(job)
		}
		b.platform.queue = append(b.platform.queue, job)
	}
	b.start()
	for _, e := range p.events {
		p.happen(b, e)
	}
	for i := range p.fates { // in the end, what hangs is cancelled
		b.platform.change(func() { b.platform.cancel[attemptID(i)] = !b.platform.lost[attemptID(i)] })
	}
	b.platform.await("every job to be given out and settled", func() bool {
		for i := range p.fates {
			if id := attemptID(i); b.platform.results[id] == nil && !b.platform.lost[id] {
				return false
			}
		}
		return true
	})
	b.drain()
	p.judge(t, b, a)
}

func attemptID(job int) string { return fmt.Sprintf("job%d-1", job) }

// script sets up what jobs, engine and platform do.
func (p plan) script(b *bench, a *arena) {
	fateOf := func(id string) fate {
		var i int
		fmt.Sscanf(id, "job%d-1", &i)
		return fates[p.fates[i]]
	}
	b.executor.start = func(_ context.Context, spec executor.Spec) error {
		if f := fateOf(spec.AttemptID); f.script == nil {
			return executor.ErrUnavailable
		}
		return nil
	}
	b.executor.script = func(ctx context.Context, prog *program) executor.Exit {
		a.enter(p.slots, prog.spec.User.UID)
		defer a.leave(prog.spec.User.UID)
		return fateOf(prog.spec.AttemptID).script(ctx, prog)
	}
	var mu sync.Mutex
	countdown := func(left *int, err error) error {
		mu.Lock()
		defer mu.Unlock()
		if *left--; *left >= 0 {
			return err
		}
		return nil
	}
	kills, removes, calls := p.trouble.kills, p.trouble.removes, maps.Clone(p.trouble.calls)
	b.executor.kill = func(context.Context) error { return countdown(&kills, errors.New("scripted: no kill")) }
	b.executor.remove = func(string) error { return countdown(&removes, errors.New("scripted: no removal")) }
	b.platform.fail = func(method string) error { // under the platform's lock
		if calls[method]--; calls[method] >= 0 {
			return status.Error([]codes.Code{codes.Unavailable, codes.Internal, codes.DeadlineExceeded}[calls[method]%3], "scripted")
		}
		return nil
	}
}

func (p plan) happen(b *bench, e event) {
	id := attemptID(e.job)
	switch e.what {
	case "restart":
		b.stop()
		b.start()
	case "nothing": // but time passes
		n := 0
		b.platform.await("heartbeats", func() bool {
			if n == 0 {
				n = len(b.platform.heartbeats) + 1
			}
			return len(b.platform.heartbeats) >= n
		})
	default:
		b.platform.change(func() {
			switch {
			case e.what == "cancel":
				b.platform.cancel[id] = true
			case e.what == "forget":
				b.platform.sessions = nil
			case e.what == "lose" && slices.Contains(b.platform.given, id) && b.platform.results[id] == nil:
				b.platform.lost[id] = true
			}
		})
	}
}

// judge checks what must hold after any plan.
func (p plan) judge(t *testing.T, b *bench, a *arena) {
	for _, problem := range a.problems {
		t.Error(problem)
	}
	for i, name := range p.fates {
		id := attemptID(i)
		result, lost := b.platform.results[id], b.platform.lost[id]
		if n := b.platform.accepted[id]; n > 1 || (n == 0) != lost {
			t.Errorf("%s: %d results, lost %v", id, n, lost)
		}
		if result == nil {
			continue
		}
		// A cancellation or a stop may come before the job's own fate.
		stopped := strings.Contains(result.GetErrorMessage(), "runner_shutdown")
		if got := result.GetOutcome(); got != fates[name].outcome && got != "cancelled" && !stopped {
			t.Errorf("%s %s, and the outcome is %s: %s", id, name, got, result.GetErrorMessage())
		}
		readManifest(t, result)
		same(t, b, id, files(t, result.GetDirectory()))
		for _, file := range append(files(t, result.GetDirectory()), ".", "output", "log") {
			if uid, _, err := ownerOf(filepath.Join(result.GetDirectory(), file)); err != nil || uid != os.Geteuid() {
				t.Errorf("%s: %s belongs to %d (%v)", id, file, uid, err)
			}
		}
	}
	j := mustOpen(t, b)
	if reports, rejected, err := j.Pending(); err != nil || len(reports)+len(rejected) > 0 {
		t.Errorf("left in the outbox: %v, %v, %v", reports, rejected, err)
	}
	if reports, rejected, err := j.Uploads(); err != nil || len(reports)+len(rejected) > 0 {
		t.Errorf("left to send: %v, %v, %v", reports, rejected, err)
	}
	if causes, err := os.ReadDir(filepath.Join(b.cfg.StateDir, "causes")); err != nil || len(causes) > 0 {
		t.Errorf("left of the journal: %v, %v", causes, err)
	}
}
