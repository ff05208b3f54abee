package cli

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/tetryx/lynx-runner/api"
)

// progress shows how a batch gets on. update may be called with the same status
// again; note prints a line beside it; done ends the display and leaves its last
// state on the screen.
type progress interface {
	update(*api.BatchStatus)
	note(line string)
	done()
}

// newProgress shows a bar to a person at a terminal, and plain lines to a pipe.
func newProgress(w io.Writer, terminal bool, now func() time.Time) progress {
	if terminal {
		return newBar(w)
	}
	return &lines{w: w, now: now}
}

// finished counts the jobs that are terminal.
func finished(s *api.BatchStatus) int {
	return s.Batch.CompletedJobs + s.Batch.FailedJobs + s.Batch.CancelledJobs
}

// describe says in a few words where the batch is.
func describe(s *api.BatchStatus) string {
	text := fmt.Sprintf("%d of %d runs done", finished(s), s.Batch.TotalJobs)
	if n := s.Batch.FailedJobs; n > 0 {
		text += fmt.Sprintf(", %d failed", n)
	}
	if n := s.Batch.CancelledJobs; n > 0 {
		text += fmt.Sprintf(", %d cancelled", n)
	}
	if n := s.JobsByStatus[api.JobRunning] + s.JobsByStatus[api.JobClaimed]; n > 0 {
		text += fmt.Sprintf(", %d running", n)
	}
	return text
}

// lines prints a line when the number of finished runs has changed, at most one
// a second, and always the last.
type lines struct {
	w       io.Writer
	now     func() time.Time
	printed time.Time
	shown   int
	started bool
	latest  *api.BatchStatus
}

func (l *lines) update(s *api.BatchStatus) {
	l.latest = s
	over := s.Batch.Status.Terminal()
	if l.started && (finished(s) == l.shown || (!over && l.now().Sub(l.printed) < time.Second)) {
		return
	}
	l.print(s)
}

func (l *lines) print(s *api.BatchStatus) {
	l.started, l.shown, l.printed = true, finished(s), l.now()
	fmt.Fprintln(l.w, describe(s))
}

func (l *lines) note(line string) { fmt.Fprintln(l.w, line) }

func (l *lines) done() {
	if l.latest != nil && finished(l.latest) != l.shown {
		l.print(l.latest)
	}
}

// bar is a progress bar with counts and the time left.
type bar struct {
	container *mpb.Progress
	bar       *mpb.Bar

	mu   sync.Mutex
	text string
}

func newBar(w io.Writer) *bar {
	b := &bar{container: mpb.New(mpb.WithOutput(w), mpb.WithWidth(40), mpb.WithAutoRefresh())}
	return b
}

func (b *bar) update(s *api.BatchStatus) {
	b.mu.Lock()
	b.text = describe(s)
	b.mu.Unlock()
	if b.bar == nil {
		b.bar = b.container.AddBar(int64(s.Batch.TotalJobs),
			mpb.AppendDecorators(
				decor.Any(func(decor.Statistics) string {
					b.mu.Lock()
					defer b.mu.Unlock()
					return " " + b.text
				}),
				decor.OnComplete(decor.Elapsed(decor.ET_STYLE_GO, decor.WC{W: 6}), ""),
			))
	}
	b.bar.SetCurrent(int64(finished(s)))
}

func (b *bar) note(line string) { _, _ = b.container.Write([]byte(line + "\n")) }

func (b *bar) done() {
	if b.bar != nil && !b.bar.Completed() {
		b.bar.Abort(false)
	}
	b.container.Wait()
}
