package cli

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/tetryx/lynx-runner/api"
)

// progress shows how a batch gets on. update may be called with the same status
// again; note prints a line beside it; done ends the display and leaves its last
// state on the screen. One goroutine calls update and, at last, done; note may be
// called by any, before done.
type progress interface {
	update(*api.BatchStatus)
	note(line string)
	done()
}

// newProgress shows a bar to a person at a terminal, and plain lines to a pipe.
func newProgress(w io.Writer, terminal bool, now func() time.Time) progress {
	if terminal {
		return newBar(w, now)
	}
	return &lines{w: w, now: now}
}

// finished counts the jobs that are terminal.
func finished(s *api.BatchStatus) int {
	return s.Batch.CompletedJobs + s.Batch.FailedJobs + s.Batch.CancelledJobs
}

// describe says in a few words where the batch is, the most important first.
func describe(s *api.BatchStatus) []string {
	words := []string{fmt.Sprintf("%d of %s done", finished(s), runs(s.Batch.TotalJobs))}
	for _, part := range []struct {
		n    int
		what string
	}{
		{s.Batch.FailedJobs, "failed"},
		{s.Batch.CancelledJobs, "cancelled"},
		{s.JobsByStatus[api.JobRunning] + s.JobsByStatus[api.JobClaimed], "running"},
	} {
		if part.n > 0 {
			words = append(words, fmt.Sprintf("%d %s", part.n, part.what))
		}
	}
	return words
}

func runs(n int) string { return counted(n, "run") }

// counted is a number of things by their name, which takes an s.
func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// estimate tells how long a batch will take from how long it took so far.
type estimate struct {
	began    time.Time
	finished int
}

// left says how long the rest of the batch will take, as "about 8s left"; empty
// where nobody can tell.
func (e *estimate) left(s *api.BatchStatus, now time.Time) string {
	if e.began.IsZero() {
		e.began, e.finished = now, finished(s)
	}
	done, todo := finished(s)-e.finished, s.Batch.TotalJobs-finished(s)
	if done <= 0 || todo <= 0 || s.Batch.CancelRequested {
		return ""
	}
	rest := time.Duration(float64(now.Sub(e.began)) / float64(done) * float64(todo))
	return "about " + roughly(rest) + " left"
}

// roughly is a duration as people say it: 45s, 12m, 3h5m.
func roughly(d time.Duration) string {
	if d < 2*time.Minute {
		return max(d.Round(time.Second), time.Second).String()
	}
	minutes := int(d.Round(time.Minute).Minutes())
	if minutes < 60 {
		return fmt.Sprintf("%dm", minutes)
	}
	return fmt.Sprintf("%dh%02dm", minutes/60, minutes%60)
}

// lines prints a line when the number of finished runs has changed, at most one
// a second; those of a long batch for each hundredth part of it, or at least
// every ten seconds; and always the last.
type lines struct {
	w   io.Writer
	now func() time.Time

	mu      sync.Mutex
	rest    estimate
	printed time.Time
	shown   int
	latest  *api.BatchStatus
}

func (l *lines) update(s *api.BatchStatus) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := l.latest == nil
	l.latest = s
	left := l.rest.left(s, l.now())
	if first || l.due(s) {
		l.print(s, left)
	}
}

// due reports whether a status is worth a line.
func (l *lines) due(s *api.BatchStatus) bool {
	step, since := finished(s)-l.shown, l.now().Sub(l.printed)
	switch {
	case step == 0:
		return false
	case s.Batch.Status.Terminal() || since >= 10*time.Second:
		return true
	default:
		return since >= time.Second && step*100 >= s.Batch.TotalJobs
	}
}

func (l *lines) print(s *api.BatchStatus, left string) {
	l.shown, l.printed = finished(s), l.now()
	words := describe(s)
	if left != "" {
		words = append(words, left)
	}
	fmt.Fprintln(l.w, strings.Join(words, ", "))
}

func (l *lines) note(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintln(l.w, line)
}

func (l *lines) done() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.latest != nil && finished(l.latest) != l.shown {
		l.print(l.latest, "")
	}
}
