package cli

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tetryx/lynx-runner/api"
)

// handClock is a clock that goes when it is told to.
type handClock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *handClock { return &handClock{at: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} }

func (c *handClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *handClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// progressOf is a batch of total runs.
func progressOf(total, completed, failed, running int) *api.BatchStatus {
	state := api.BatchRunning
	if completed+failed == total {
		state = api.BatchCompleted
	}
	return &api.BatchStatus{
		Batch:        api.Batch{Status: state, TotalJobs: total, CompletedJobs: completed, FailedJobs: failed},
		JobsByStatus: map[api.JobState]int{api.JobRunning: running},
	}
}

func TestLinesOfASmallBatch(t *testing.T) {
	c := newClock()
	var out bytes.Buffer
	l := newProgress(&out, false, c.now)
	l.update(progressOf(4, 0, 0, 2))
	l.update(progressOf(4, 0, 0, 2)) // nothing new
	c.advance(2 * time.Second)
	l.update(progressOf(4, 1, 0, 2))
	c.advance(100 * time.Millisecond)
	l.update(progressOf(4, 2, 0, 2)) // too soon
	l.note("run 3: nonzero_exit")
	c.advance(2 * time.Second)
	l.update(progressOf(4, 2, 1, 1))
	l.update(progressOf(4, 3, 1, 0)) // the end is never too soon
	l.done()
	want := `0 of 4 runs done, 2 running
1 of 4 runs done, 2 running, about 6s left
run 3: nonzero_exit
3 of 4 runs done, 1 failed, 1 running, about 1s left
4 of 4 runs done, 1 failed
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestLinesOfALargeBatch: a pipe gets a line for each hundredth part, and for a
// slow batch one every ten seconds, but none for each run.
func TestLinesOfALargeBatch(t *testing.T) {
	for _, tc := range []struct {
		name      string
		step      time.Duration
		low, high int
	}{{"10 ms a run", 10 * time.Millisecond, 95, 105}, {"1 ms a run", time.Millisecond, 8, 12}, {"1 s a run", time.Second, 995, 1005}} {
		t.Run(tc.name, func(t *testing.T) {
			c := newClock()
			var out bytes.Buffer
			l := newProgress(&out, false, c.now)
			for i := range 10_001 {
				l.update(progressOf(10_000, i, 0, 2))
				c.advance(tc.step)
			}
			l.done()
			if n := strings.Count(out.String(), "\n"); n < tc.low || n > tc.high {
				t.Errorf("%d lines, want %d to %d", n, tc.low, tc.high)
			}
			if !strings.HasSuffix(out.String(), "10000 of 10000 runs done, 2 running\n") {
				t.Errorf("the last line is missing: …%s", out.String()[max(0, out.Len()-200):])
			}
		})
	}
}

// TestLinesThatEndEarly: what came last is told, also where it was too soon.
func TestLinesThatEndEarly(t *testing.T) {
	var out bytes.Buffer
	l := newProgress(&out, false, newClock().now)
	l.update(progressOf(4, 0, 0, 2))
	l.update(progressOf(4, 3, 0, 1))
	l.done()
	if !strings.HasSuffix(out.String(), "3 of 4 runs done, 1 running\n") {
		t.Errorf("%q", out.String())
	}
	out.Reset()
	newProgress(&out, false, newClock().now).done() // nothing ever came
	if out.Len() > 0 {
		t.Errorf("%q", out.String())
	}
}

func TestEstimate(t *testing.T) {
	c := newClock()
	var e estimate
	if got := e.left(progressOf(10, 2, 0, 1), c.now()); got != "" {
		t.Errorf("with nothing seen: %q", got)
	}
	c.advance(30 * time.Second)
	// What was done before does not count.
	if got := e.left(progressOf(10, 5, 0, 1), c.now()); got != "about 50s left" {
		t.Errorf("got %q", got)
	}
	cancelled := progressOf(10, 5, 0, 1)
	cancelled.Batch.CancelRequested = true
	for _, s := range []*api.BatchStatus{cancelled, progressOf(10, 10, 0, 0)} {
		if got := e.left(s, c.now()); got != "" {
			t.Errorf("of a batch that is as good as over: %q", got)
		}
	}
}

func TestRoughly(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "1s", 400 * time.Millisecond: "1s", 89 * time.Second: "1m29s", 150 * time.Second: "3m",
		59*time.Minute + 40*time.Second: "1h00m", 3*time.Hour + 5*time.Minute: "3h05m", 50 * time.Hour: "50h00m",
	} {
		if got := roughly(d); got != want {
			t.Errorf("%v is %s, want %s", d, got, want)
		}
	}
}

// TestFit: as many words as have room, the first always.
func TestFit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOfN(rapid.StringMatching(`[a-zä]{1,9}`), 1, 5).Draw(t, "words")
		width := rapid.IntRange(-5, 60).Draw(t, "width")
		got := fit(words, width)
		n := strings.Count(got, ", ") + 1
		if got != strings.Join(words[:n], ", ") {
			t.Fatalf("%q is no beginning of %q", got, words)
		}
		if n > 1 && len([]rune(got)) > width {
			t.Fatalf("%q is wider than %d", got, width)
		}
		if n < len(words) && len([]rune(strings.Join(words[:n+1], ", "))) <= width {
			t.Fatalf("%q leaves room for another word in %d", got, width)
		}
	})
}

// TestBar looks at a real terminal of several widths: notes stay above, the bar is
// drawn in one line, in place, and its last state stays.
func TestBar(t *testing.T) {
	for _, width := range []int{40, 60, 120} {
		t.Run(fmt.Sprint(width), func(t *testing.T) {
			screen := openScreen(t, width)
			c := newClock()
			p := newProgress(screen.tty, true, c.now)
			p.update(progressOf(20, 0, 0, 2))
			c.advance(10 * time.Second)
			p.update(progressOf(20, 5, 0, 2))
			screen.shows(t, "5 of 20 runs done")
			if width == 120 {
				screen.shows(t, "5 of 20 runs done, 2 running, about 30s left, 10s")
			}
			// The terminal's echo of a key is not a part of the note.
			if _, err := screen.tty.WriteString("^C"); err != nil {
				t.Fatal(err)
			}
			p.note("run 3: nonzero_exit")
			screen.shows(t, "run 3: nonzero_exit")
			p.update(progressOf(20, 19, 1, 0))
			p.done()
			lines := screen.end(t)
			want := []string{"run 3: nonzero_exit", "20 of 20 runs done"}
			if len(lines) != len(want) {
				t.Fatalf("%d lines on the screen, want %d:\n%s", len(lines), len(want), strings.Join(lines, "\n"))
			}
			for i := range want {
				if i == 0 && lines[i] != want[i] || !strings.Contains(lines[i], want[i]) || len([]rune(lines[i])) > width {
					t.Errorf("line %d is %q, want %q in %d columns", i, lines[i], want[i], width)
				}
			}
		})
	}
}

// TestBarThatIsAborted leaves its last state on the screen.
func TestBarThatIsAborted(t *testing.T) {
	screen := openScreen(t, 100)
	p := newProgress(screen.tty, true, newClock().now)
	p.update(progressOf(20, 7, 2, 2))
	screen.shows(t, "9 of 20 runs done, 2 failed, 2 running")
	p.done()
	lines := screen.end(t)
	if len(lines) != 1 || !strings.Contains(lines[0], "9 of 20 runs done, 2 failed") {
		t.Errorf("screen:\n%s", strings.Join(lines, "\n"))
	}
	// One that nothing was told about does not hang, and draws nothing.
	screen = openScreen(t, 100)
	newProgress(screen.tty, true, newClock().now).done()
	if lines := screen.end(t); len(lines) != 0 {
		t.Errorf("screen:\n%s", strings.Join(lines, "\n"))
	}
}
