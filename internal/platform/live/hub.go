package live

import (
	"context"
	"sync"
)

// maxWatchers bounds the watchers of a hub.
const maxWatchers = 256

// Hub brings runners and watchers together. It is safe for concurrent use.
type Hub struct {
	mu       sync.Mutex
	closed   bool
	conns    map[string]*Conn // by runner
	watchers int
}

// New makes a hub.
func New() *Hub { return &Hub{conns: map[string]*Conn{}} }

// Attach connects a runner, in place of its earlier connection if it has one. The
// caller ends it with Close.
func (h *Hub) Attach(runnerID string) *Conn {
	c := &Conn{
		hub: h, runnerID: runnerID, tails: map[string]*tail{},
		signal: make(chan struct{}, 1), done: make(chan struct{}),
	}
	h.mu.Lock()
	old, closed := h.conns[runnerID], h.closed
	if !closed {
		h.conns[runnerID] = c
	}
	h.mu.Unlock()
	if old != nil {
		old.end()
	}
	if closed {
		c.end()
	}
	return c
}

// Close ends all connections, and with them all watching, for good.
func (h *Hub) Close() {
	h.mu.Lock()
	h.closed = true
	conns := h.conns
	h.conns = map[string]*Conn{}
	h.mu.Unlock()
	for _, c := range conns {
		c.end()
	}
}

// Watch subscribes to an attempt that runs on a runner until ctx ends, the attempt
// ends or the runner's connection does; then the channel is closed. What there
// is from the attempt's beginning comes first. The caller takes from the channel
// until it is closed, or ends ctx. Watching nothing ends at once. ErrNotConnected,
// ErrTooManyWatchers.
func (h *Hub) Watch(ctx context.Context, runnerID, attemptID string, what What) (<-chan Item, error) {
	if what == (What{}) {
		nothing := make(chan Item)
		close(nothing)
		return nothing, nil
	}
	h.mu.Lock()
	c := h.conns[runnerID]
	if c == nil {
		h.mu.Unlock()
		return nil, ErrNotConnected
	}
	if h.watchers >= maxWatchers {
		h.mu.Unlock()
		return nil, ErrTooManyWatchers
	}
	h.watchers++
	h.mu.Unlock()
	w := &watcher{
		conn: c, what: what, offsets: map[string]int64{},
		signal: make(chan struct{}, 1), out: make(chan Item),
	}
	c.join(attemptID, w)
	go func() {
		w.pump(ctx)
		c.leave(attemptID, w)
		h.mu.Lock()
		h.watchers--
		h.mu.Unlock()
		close(w.out)
	}()
	return w.out, nil
}
