package cli

import (
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/tetryx/lynx-runner/api"
)

const (
	// barWidth is the width of the bar itself, its brackets included, barMin what
	// of it is left on a narrow terminal before the words beside it become fewer.
	barWidth, barMin = 40, 14
)

// bar is a progress bar with counts and the time left, redrawn in place several
// times a second. What it says is made when it is drawn, so that the clock goes
// on while nothing else happens.
type bar struct {
	container *mpb.Progress
	bar       *mpb.Bar // nil before the first update
	now       func() time.Time

	mu     sync.Mutex
	rest   estimate
	began  time.Time
	latest *api.BatchStatus
}

func newBar(w io.Writer, now func() time.Time) *bar {
	return &bar{
		container: mpb.New(mpb.WithOutput(w), mpb.WithWidth(barWidth), mpb.WithAutoRefresh()),
		now:       now, began: now(),
	}
}

func (b *bar) update(s *api.BatchStatus) {
	b.mu.Lock()
	b.latest = s
	b.rest.left(s, b.now())
	b.mu.Unlock()
	// Not under the lock: the goroutine that these wait for may be in text.
	if b.bar == nil {
		b.bar = b.container.AddBar(int64(s.Batch.TotalJobs), mpb.AppendDecorators(decor.Any(b.text)))
	}
	b.bar.SetCurrent(int64(finished(s)))
}

// text is what stands beside the bar.
func (b *bar) text(stats decor.Statistics) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	words := describe(b.latest)
	if left := b.rest.left(b.latest, now); left != "" {
		words = append(words, left)
	}
	words = append(words, now.Sub(b.began).Round(time.Second).String())
	return " " + fit(words, stats.AvailableWidth-barMin-1)
}

// fit joins as many words as have room; the first always has.
func fit(words []string, width int) string {
	for n := len(words); n > 1; n-- {
		if text := strings.Join(words[:n], ", "); utf8.RuneCountInString(text) <= width {
			return text
		}
	}
	return words[0]
}

// note writes a line above the bar. It begins by clearing what the terminal may
// have drawn there itself: it echoes Ctrl-C.
func (b *bar) note(line string) { _, _ = b.container.Write([]byte("\r\x1b[K" + line + "\n")) }

func (b *bar) done() {
	if b.bar != nil && !b.bar.Completed() {
		b.bar.Abort(false)
	}
	b.container.Wait()
}
