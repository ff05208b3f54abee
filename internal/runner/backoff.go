package runner

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// backoff is the wait between tries: doubling, and random in its upper half, so
// that runners which lost a platform together do not come back together. The
// zero n is the first try.
type backoff struct {
	min, max time.Duration
	n        int
}

func (p pace) backoff() backoff { return backoff{min: p.backoffMin, max: p.backoffMax} }

func (b *backoff) next() time.Duration {
	d := b.max
	if shift := min(b.n, 30); b.min<<shift > 0 {
		d = min(b.min<<shift, b.max)
	}
	b.n++
	return jitter(d)
}

// jitter is at least half of d, at most d.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }

// wait sleeps and reports whether ctx still lives.
func (b *backoff) wait(ctx context.Context) bool { return sleep(ctx, b.next()) }

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// gate lets claims through unless the platform has drained this runner.
type gate struct {
	mu   sync.Mutex
	open chan struct{} // closed while the gate is open
	shut bool
}

func newGate() *gate {
	g := &gate{open: make(chan struct{})}
	close(g.open)
	return g
}

// set shuts or opens the gate and reports whether that changed anything.
func (g *gate) set(shut bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if shut == g.shut {
		return false
	}
	g.shut = shut
	if shut {
		g.open = make(chan struct{})
	} else {
		close(g.open)
	}
	return true
}

// pass waits until the gate is open and reports whether ctx still lives.
func (g *gate) pass(ctx context.Context) bool {
	g.mu.Lock()
	open := g.open
	g.mu.Unlock()
	select {
	case <-open:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

func (g *gate) isShut() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.shut
}
