package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tetryx/lynx-runner/executor"
)

// stepping is a job that does one step after the other, each when it is told to.
type stepping struct {
	steps chan func(context.Context, *program)
	done  chan struct{}
}

func (s *stepping) run(ctx context.Context, p *program) executor.Exit {
	for step := range s.steps {
		step(ctx, p)
		s.done <- struct{}{}
	}
	return exited(0)
}

func (s *stepping) step(f func(context.Context, *program)) {
	s.steps <- f
	<-s.done
}

// print appends to a log, as the shim would to its head.
func (s *stepping) print(name, text string) {
	s.step(func(_ context.Context, p *program) {
		f, err := os.OpenFile(filepath.Join(p.spec.LogDir, name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err == nil {
			_, err = f.WriteString(text)
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			p.t.Error(err)
		}
	})
}

func (s *stepping) measure(times ...float64) {
	s.step(func(ctx context.Context, p *program) {
		for _, at := range times {
			p.publish(ctx, at, "x", at, "")
		}
	})
}

// watching is a bench whose one job is steered.
func watching(t *testing.T) (*bench, *stepping, *scriptedTail) {
	t.Helper()
	b := newBench(t)
	job := &stepping{steps: make(chan func(context.Context, *program)), done: make(chan struct{})}
	b.executor.script = job.run
	b.start()
	b.platform.submit(assignment("job", 0))
	b.platform.await("the start", func() bool { return len(b.platform.started) == 1 })
	return b, job, b.platform.tail(0)
}

// Who watches gets what there is from the beginning, then what comes, and the end.
func TestTail(t *testing.T) {
	b, job, tail := watching(t)
	job.print("stdout.log", "before\n")
	job.measure(1, 2)
	b.platform.watch(tail, "job-1", true, true)
	b.platform.await("what was before", func() bool {
		s := tail.seen("job-1", 1)
		return s.stdout == "before\n" && slices.Equal(s.times, []float64{1, 2})
	})
	job.print("stdout.log", "while\n")
	job.print("stderr.log", "trouble\n")
	job.measure(3)
	b.platform.await("what comes", func() bool {
		s := tail.seen("job-1", 1)
		return s.stdout == "before\nwhile\n" && s.stderr == "trouble\n" && slices.Equal(s.times, []float64{1, 2, 3})
	})
	job.print("stdout.log", "last\n")
	job.measure(4)
	close(job.steps)
	b.platform.await("the end", func() bool { return tail.seen("job-1", 1).ends == 1 })
	b.drain()
	s := tail.seen("job-1", 1)
	if s.stdout != "before\nwhile\nlast\n" || s.stderr != "trouble\n" || !slices.Equal(s.times, []float64{1, 2, 3, 4}) || s.dropped > 0 {
		t.Errorf("in the end %+v", s)
	}
	if again := tail.seen("job-1", 2); again.ends != 1 {
		t.Errorf("%d ends", again.ends)
	}
}

// What is asked for is what comes; what is asked for anew begins anew, behind the
// end of what was before.
func TestTailBeginsAnew(t *testing.T) {
	b, job, tail := watching(t)
	job.print("stdout.log", "one\n")
	job.measure(1)
	b.platform.watch(tail, "job-1", true, false)
	b.platform.await("the log", func() bool { return tail.seen("job-1", 1).stdout == "one\n" })
	b.platform.watch(tail, "job-1", true, true) // the log goes on
	b.platform.await("telemetry as well", func() bool { return len(tail.seen("job-1", 1).times) == 1 })
	b.platform.watch(tail, "job-1", false, true)
	b.platform.watch(tail, "job-1", false, false)
	b.platform.watch(tail, "job-1", false, true)
	b.platform.await("telemetry again", func() bool { return len(tail.seen("job-1", 2).times) == 1 })
	job.print("stdout.log", "two\n")
	job.measure(2)
	b.platform.await("more telemetry", func() bool { return len(tail.seen("job-1", 2).times) == 2 })
	b.platform.watch(tail, "job-1", true, true)
	// A job that has ended before the request is dealt with has nothing to show.
	b.platform.await("the log again", func() bool { return tail.seen("job-1", 2).stdout == "one\ntwo\n" })
	close(job.steps)
	b.platform.await("both", func() bool { return tail.seen("job-1", 2).ends == 2 })
	b.drain()
	if s := tail.seen("job-1", 1); s.stdout != "one\n" || !slices.Equal(s.times, []float64{1}) {
		t.Errorf("first %+v", s)
	}
	if s := tail.seen("job-1", 2); s.stdout != "one\ntwo\n" || !slices.Equal(s.times, []float64{1, 2}) {
		t.Errorf("then %+v", s)
	}
}

// A request about an attempt that the runner does not have is answered with its
// end, whatever it asks for.
func TestTailOfUnknownAttempts(t *testing.T) {
	b := newBench(t).start()
	tail := b.platform.tail(0)
	for i, what := range [][2]bool{{true, true}, {true, false}, {false, false}} {
		b.platform.watch(tail, "no-1", what[0], what[1])
		b.platform.await("the end", func() bool { return tail.seen("no-1", 9).ends == i+1 })
	}
	b.drain()
}

// A job that has not started yet is waited for, and one that never does has an end.
func TestTailBeforeTheStart(t *testing.T) {
	for name, fails := range map[string]error{"starts": nil, "does not": errors.New("no")} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			starting, asked := make(chan struct{}), make(chan struct{})
			b.executor.start = func(context.Context, executor.Spec) error { close(starting); <-asked; return fails }
			b.executor.script = leaving(nil)
			b.start()
			b.platform.submit(assignment("job", 0))
			<-starting
			tail := b.platform.tail(0)
			b.platform.watch(tail, "job-1", true, true)
			close(asked)
			b.platform.await("the end", func() bool { return tail.seen("job-1", 1).ends == 1 })
			b.drain()
			if s := tail.seen("job-1", 1); fails == nil && (s.stdout != "printed\n" || len(s.times) != 1) {
				t.Errorf("seen %+v", s)
			}
		})
	}
}

// A job owns the directory of its logs. What it puts there instead of them is not
// shown, and a strange log ends nothing but itself.
func TestTailOfHostileLogs(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	b, job, tail := watching(t)
	job.step(func(_ context.Context, p *program) {
		if err := os.Symlink(secret, filepath.Join(p.spec.LogDir, "stdout.log")); err != nil {
			t.Error(err)
		}
	})
	job.print("stderr.log", "fine\n")
	b.platform.watch(tail, "job-1", true, false)
	b.platform.await("the other log", func() bool { return tail.seen("job-1", 1).stderr == "fine\n" })
	close(job.steps)
	b.platform.await("the end", func() bool { return tail.seen("job-1", 1).ends == 1 })
	b.drain()
	if s := tail.seen("job-1", 1); s.stdout != "" {
		t.Errorf("shown %q", s.stdout)
	}
}

// A stream that breaks is opened again, in the session that counts then, and what
// is watched is asked for anew.
func TestTailIsReopened(t *testing.T) {
	b, job, tail := watching(t)
	job.print("stdout.log", "text\n")
	b.platform.watch(tail, "job-1", true, false)
	tail.cut(status.Error(codes.Unavailable, "scripted"))
	second := b.platform.tail(1)
	b.platform.watch(second, "job-1", true, false)
	b.platform.await("the log", func() bool { return second.seen("job-1", 1).stdout == "text\n" })
	b.platform.change(func() { b.platform.sessions = nil })
	second.cut(nil)
	third := b.platform.tail(2)
	if third.session == tail.session {
		t.Errorf("opened in session %s again", third.session)
	}
	close(job.steps)
	b.drain()
}

// A platform that does not know the call is no trouble, and is not asked on and on.
func TestPlatformWithoutTail(t *testing.T) {
	b := newBench(t)
	b.pace.backoffMax = patience
	asked := 0
	b.platform.fail = func(method string) error {
		if method == "Tail" {
			asked++
			return status.Error(codes.Unimplemented, "no live output")
		}
		return nil
	}
	b.start()
	b.platform.submit(assignment("job", 0))
	b.platform.result("job-1")
	b.platform.await("a question", func() bool { return asked > 0 })
	b.drain()
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}

// A platform that does not read what it watches delays neither a verdict nor a
// job's end, and a runner that stops does not wait for it.
func TestSlowWatcher(t *testing.T) {
	b := newBench(t)
	reads := make(chan struct{})
	var once sync.Once
	release := func() { once.Do(func() { close(reads) }) }
	t.Cleanup(release)
	line := strings.Repeat("x", 1023) + "\n"
	ready := make(chan struct{})
	b.executor.script = func(ctx context.Context, p *program) executor.Exit {
		p.log("stdout.log", strings.Repeat(line, 1000))
		<-ready
		for i := range 200 {
			p.publish(ctx, float64(i), fmt.Sprintf("%0200d", i%10), 1, "")
		}
		p.publish(ctx, 1000, "orbit.radius_km", 6000, "km")
		return untilKilled(ctx, p)
	}
	b.start()
	b.platform.submit(radiusBelow(assignment("job", 0)))
	b.platform.await("the start", func() bool { return len(b.platform.started) == 1 })
	tail := b.platform.tail(0)
	tail.mu.Lock()
	tail.slow = func() { <-reads }
	tail.mu.Unlock()
	b.platform.watch(tail, "job-1", true, true)
	close(ready)
	if result := b.platform.result("job-1"); result.GetOutcome() != "early_termination" || result.GetTelemetry().GetSamples() != 201 {
		t.Errorf("%s: %s", result.GetOutcome(), result.GetErrorMessage())
	}
	b.drain() // nor does the end of the runner wait
	release()
}

// The messages of several attempts on one stream do not hinder each other, and all
// of it is right when many begin, change and end.
func TestTailOfManyJobs(t *testing.T) {
	b := newBench(t)
	b.cfg.MaxConcurrentJobs = 4
	b.executor.script = func(ctx context.Context, p *program) executor.Exit {
		for i := range 5 {
			p.publish(ctx, float64(i), "x", 1, "")
		}
		return leaving(nil)(ctx, p)
	}
	b.start()
	tail := b.platform.tail(0)
	var ids []string
	for i := range 16 {
		a := assignment(fmt.Sprintf("job%d", i), uint64(i))
		ids = append(ids, a.GetAttemptId())
		b.platform.submit(a)
	}
	for round := range 3 {
		for i, id := range ids {
			b.platform.watch(tail, id, (i+round)%3 != 0, (i+round)%2 != 0)
		}
	}
	for _, id := range ids {
		b.platform.result(id)
		b.platform.watch(tail, id, false, false)
	}
	b.platform.await("every answer", func() bool {
		return !slices.ContainsFunc(ids, func(id string) bool { return tail.seen(id, 99).ends == 0 })
	})
	b.drain()
	for _, in := range tail.got {
		if log := in.GetLog(); log != nil && len(log.GetData()) == 0 {
			t.Errorf("an empty chunk of %s", log.GetAttemptId())
		}
	}
}
