package runner

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tetryx/lynx-runner/executor"
)

// A host that answers and starts nothing takes no jobs for a while, says why, tries
// one at a time, and goes on when one has started.
func TestASickHost(t *testing.T) {
	b := newBench(t)
	b.pace.sickMin, b.pace.sickMax = 200*time.Millisecond, 200*time.Millisecond
	b.cfg.MaxConcurrentJobs = 3
	var sick atomic.Bool
	sick.Store(true)
	b.executor.start = func(context.Context, executor.Spec) error {
		if sick.Load() {
			return errors.New("no such device")
		}
		return nil
	}
	b.start()
	for i := range sickAfter {
		b.platform.submit(assignment(fmt.Sprintf("bad%d", i), uint64(i)))
		if result := b.platform.result(fmt.Sprintf("bad%d-1", i)); result.GetOutcome() != "infrastructure" {
			t.Fatalf("%s: %s", result.GetOutcome(), result.GetErrorMessage())
		}
	}
	b.paused("no such device")
	b.platform.change(func() { b.platform.claims = nil })
	b.platform.await("one question for one job", func() bool {
		return len(b.platform.claims) > 0 && b.platform.claims[len(b.platform.claims)-1].GetMaxJobs() == 1
	})
	sick.Store(false)
	b.platform.submit(assignment("good", 10))
	if result := b.platform.result("good-1"); result.GetOutcome() != "completed" {
		t.Errorf("%s: %s", result.GetOutcome(), result.GetErrorMessage())
	}
	b.paused("")
	b.platform.await("questions for more", func() bool { return b.platform.claims[len(b.platform.claims)-1].GetMaxJobs() == 3 })
	b.drain()
}

// However much an engine has to say, and however many reasons there are, the platform
// takes what it is told of them.
func TestReasonsToPauseAreShort(t *testing.T) {
	p := newPauses()
	for kind := range pauseKinds {
		p.set(kind, strings.Repeat("€", 1<<20))
	}
	if n := len(p.text()); n == 0 || n > 4096 {
		t.Errorf("%d bytes", n)
	}
}

// What is the job's fault, or ended by the runner, is no sign of a sick host; nor is
// an attempt that started and ended badly.
func TestAHostThatIsNotSick(t *testing.T) {
	for name, fault := range map[string]error{"the job's": executor.ErrInvalidSpec, "an engine's that is away": executor.ErrUnavailable} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.pace.engine = time.Millisecond
			b.executor.start = func(context.Context, executor.Spec) error { return fmt.Errorf("start: %w", fault) }
			b.start()
			for i := range 2 * sickAfter {
				b.platform.submit(assignment(fmt.Sprintf("job%d", i), uint64(i)))
				b.platform.result(fmt.Sprintf("job%d-1", i))
			}
			b.runner.pauses.mu.Lock()
			said := b.runner.pauses.reasons[pauseStarts]
			b.runner.pauses.mu.Unlock()
			if said != "" {
				t.Errorf("paused: %q", said)
			}
			b.drain()
		})
	}
}

// The pauses grow while every try fails, attempts that fail beside each other are one
// pause, and a start ends the row.
func TestPausesOfASickHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reason atomic.Value // pauses end in a goroutine of their own
		reason.Store("")
		s := newStarts(backoff{min: time.Second, max: time.Hour}, func(now string) { reason.Store(now) })
		said := func() string { return reason.Load().(string) }
		fail := func() {
			s.begin()
			s.decided(errors.New("broken"), false)
		}
		for range sickAfter - 1 {
			fail()
		}
		if said() != "" || s.most(5) != 5 {
			t.Fatalf("sick before its time: %q", said())
		}
		for longest := time.Second; longest < time.Minute; longest *= 2 {
			fail()
			fail() // beside it
			if !strings.Contains(said(), "broken") || s.most(5) != 1 {
				t.Fatalf("%q, asking for %d", said(), s.most(5))
			}
			time.Sleep(longest/2 - 1)
			synctest.Wait()
			if said() == "" {
				t.Fatalf("a pause of less than %v", longest/2)
			}
			time.Sleep(longest/2 + 2)
			synctest.Wait()
			if said() != "" {
				t.Fatalf("a pause of more than %v", longest)
			}
		}
		s.begin()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if s.pass(ctx) {
			t.Error("asks for more while one is tried")
		}
		s.decided(nil, true)
		if s.most(5) != 5 || !s.pass(t.Context()) || s.wait.n != 0 {
			t.Error("a start does not end it")
		}
		s.close()
	})
}

// A study of some runs on the only host that there is comes to its end soon, though
// none can be started; beside other hosts this one leaves them the time to take over.
func TestPausesOfTheOnlyHost(t *testing.T) {
	const attempts = 5 * 4 // of five runs, with all that they may be requeued
	pauses := func(alone bool) (all time.Duration) {
		wait := defaultPace.sick(alone)
		for range attempts - sickAfter {
			all += wait.next()
		}
		return all
	}
	if d := pauses(true); d > 30*time.Second {
		t.Errorf("the only host pauses for %v", d)
	}
	if d := pauses(false); d < 10*time.Minute {
		t.Errorf("one of several pauses for %v", d)
	}
}
