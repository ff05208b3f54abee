//go:build engine

package soak

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/tetryx/lynx-runner/api"
)

// waiting is how many jobs there are at a time, that run or wait for a slot.
const waiting = 20

// load submits batches, cancels, drains and resumes, as users do, who try again
// what fails.
type load struct {
	site   *site
	random *rand.Rand

	// open is how many jobs of a batch have not ended; cancel when a batch is to be
	// cancelled.
	open   map[string]int
	cancel map[string]time.Time
	// drained is a runner that is to be resumed, by its id.
	drained map[string]time.Time
	drainAt time.Time

	mu   sync.Mutex
	rest bool // nothing more is to be submitted
	idle bool // and nothing is open
}

func newLoad(s *site, seed uint64) *load {
	return &load{
		site: s, random: rand.New(rand.NewPCG(seed, 1)), open: map[string]int{}, cancel: map[string]time.Time{},
		drained: map[string]time.Time{}, drainAt: time.Now().Add(10 * time.Second),
	}
}

// stop has nothing more be submitted.
func (l *load) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = true
}

// done reports whether every job has ended that there is.
func (l *load) done() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.idle
}

// run is the load until the context ends. Every step may fail, and is done again.
func (l *load) run(ctx context.Context, t *testing.T) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		step, cancel := context.WithTimeout(ctx, 5*time.Second)
		_ = l.step(step, t)
		cancel()
	}
}

func (l *load) step(ctx context.Context, t *testing.T) error {
	if err := l.look(ctx, t); err != nil {
		return err
	}
	total := 0
	for _, n := range l.open {
		total += n
	}
	l.mu.Lock()
	rest := l.rest
	l.idle = rest && total == 0 && len(l.drained) == 0
	l.mu.Unlock()
	for batch, when := range l.cancel {
		if l.open[batch] > 0 && time.Now().After(when) {
			if _, err := l.site.Client.CancelBatch(ctx, batch); err != nil {
				return err
			}
			delete(l.cancel, batch)
		}
	}
	if err := l.drain(ctx, rest); err != nil {
		return err
	}
	if rest || total >= waiting {
		return nil
	}
	// The answer may be lost: look finds the batch.
	_, err := l.site.Client.Submit(ctx, []byte(draw(l.random).study(1+l.random.IntN(6))), api.YAML)
	return err
}

// look learns of every batch, the answer to whose submission may have been lost.
func (l *load) look(ctx context.Context, t *testing.T) error {
	for cursor := ""; ; {
		page, err := l.site.Client.Batches(ctx, api.List{Cursor: cursor, Limit: 100})
		if err != nil {
			return err
		}
		for _, b := range page.Items {
			k, err := kindOf(b.SimulationName)
			if err != nil {
				t.Error(err)
			}
			if _, known := l.open[b.BatchID]; !known && k.outcome == api.OutcomeCancelled {
				l.cancel[b.BatchID] = time.Now().Add(time.Duration(l.random.IntN(4000)) * time.Millisecond)
			}
			l.open[b.BatchID] = b.TotalJobs - b.CompletedJobs - b.FailedJobs - b.CancelledJobs
		}
		// The newest come first; what has ended stays as it is.
		if page.NextCursor == nil || l.settled(page.Items) {
			return nil
		}
		cursor = *page.NextCursor
	}
}

// settled reports whether nothing older than these is open.
func (l *load) settled(newest []api.Batch) bool {
	on := map[string]bool{}
	for _, b := range newest {
		on[b.BatchID] = true
	}
	for batch, n := range l.open {
		if n > 0 && !on[batch] {
			return false
		}
	}
	return true
}

// drain drains a runner now and then, and resumes it.
func (l *load) drain(ctx context.Context, rest bool) error {
	for id, until := range l.drained {
		if rest || time.Now().After(until) {
			if _, err := l.site.Client.Resume(ctx, id); err != nil {
				return err
			}
			delete(l.drained, id)
		}
	}
	if rest || time.Now().Before(l.drainAt) {
		return nil
	}
	l.drainAt = time.Now().Add(10*time.Second + time.Duration(l.random.IntN(20))*time.Second)
	id := l.site.workers[names[l.random.IntN(len(names))]].ID
	l.drained[id] = time.Now().Add(time.Duration(1+l.random.IntN(5)) * time.Second)
	if _, err := l.site.Client.Drain(ctx, id); err != nil {
		return err
	}
	l.site.tally.add("drains", 1)
	return nil
}
