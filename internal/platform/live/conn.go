package live

import (
	"context"
	"errors"
	"sync"

	telemetryv1 "github.com/tetryx/lynx-runner/proto/lynx/telemetry/v1"
)

// errClosed is a connection that was closed or replaced.
var errClosed = errors.New("live: the connection has ended")

// Request says what is watched of an attempt from now on.
type Request struct {
	AttemptID string
	What      What
}

// Conn is a runner's connection. The methods that bring what the runner sent
// (Log, Telemetry, End) are called in the order in which it was sent; they never
// block on a watcher.
type Conn struct {
	hub      *Hub
	runnerID string
	// signal has an element when a tail is dirty; done is closed at the end.
	signal, done chan struct{}

	mu    sync.Mutex // guards what follows, and the tails' and watchers' fields
	ended bool
	tails map[string]*tail // by attempt
}

// tail is what is watched of one attempt. Each request for nothing that the runner
// was sent begins a new generation, when its answer has come.
type tail struct {
	watchers map[*watcher]struct{}
	// want is what all watchers want together, sent what the runner was asked for
	// last; restart says that it is to begin anew.
	want, sent     What
	restart, dirty bool
	// asked counts the requests for nothing, answered their answers: what comes from
	// the runner is of generation answered.
	asked, answered int
	// samples counts those that came in this generation.
	samples uint64
}

// join adds a watcher.
func (c *Conn) join(attemptID string, w *watcher) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		w.finish()
		return
	}
	t := c.tails[attemptID]
	if t == nil {
		t = &tail{watchers: map[*watcher]struct{}{}}
		c.tails[attemptID] = t
	}
	t.watchers[w] = struct{}{}
	t.restart = t.sent != What{}
	w.generation = t.asked
	if t.restart {
		w.generation++
	}
	c.changed(attemptID, t)
}

// leave takes a watcher off.
func (c *Conn) leave(attemptID string, w *watcher) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.tails[attemptID]
	if t == nil {
		return
	}
	if _, ok := t.watchers[w]; !ok {
		return // the tail ended, and this is a later one
	}
	delete(t.watchers, w)
	c.changed(attemptID, t)
}

// changed follows a change of a tail's watchers.
func (c *Conn) changed(attemptID string, t *tail) {
	t.want = What{}
	for w := range t.watchers {
		t.want = t.want.or(w.what)
	}
	c.drop(attemptID, t)
	t.dirty = true
	select {
	case c.signal <- struct{}{}:
	default: // it has one
	}
}

// drop forgets a tail that nobody watches and of which nothing is to come.
func (c *Conn) drop(attemptID string, t *tail) {
	if len(t.watchers) == 0 && t.sent == (What{}) && t.asked == t.answered {
		delete(c.tails, attemptID)
	}
}

// Next waits until something else is watched than before, and returns what to ask
// the runner for, in order. An error when ctx or the connection has ended.
func (c *Conn) Next(ctx context.Context) ([]Request, error) {
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-c.done:
			return nil, errClosed
		case <-c.signal:
		}
		if list := c.take(); len(list) > 0 {
			return list, nil
		}
	}
}

// take makes requests of what has changed.
func (c *Conn) take() []Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []Request
	for id, t := range c.tails {
		if !t.dirty {
			continue
		}
		t.dirty = false
		if t.sent != (What{}) && (t.restart || t.want == What{}) {
			list = append(list, Request{AttemptID: id})
			t.sent = What{}
			t.asked++
		}
		t.restart = false
		if t.want != t.sent {
			list = append(list, Request{AttemptID: id, What: t.want})
			t.sent = t.want
		}
	}
	return list
}

// Done is closed when the connection was closed or replaced.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Log brings a piece of a log to those who watch it.
func (c *Conn) Log(attemptID string, chunk LogChunk) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.tails[attemptID]
	if t == nil {
		return
	}
	for w := range t.watchers {
		if w.what.Logs && w.generation <= t.answered {
			w.log(chunk)
		}
	}
}

// Telemetry brings samples to those who watch them; dropped is how many the runner
// left out of the stream so far.
func (c *Conn) Telemetry(attemptID string, samples []*telemetryv1.Sample, dropped uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.tails[attemptID]
	if t == nil {
		return
	}
	first := t.samples + dropped
	t.samples += uint64(len(samples))
	for w := range t.watchers {
		if w.what.Telemetry && w.generation <= t.answered {
			w.telemetry(first, samples)
		}
	}
}

// End says that no more comes of an attempt, or answers a request for nothing.
func (c *Conn) End(attemptID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.tails[attemptID]
	if t == nil {
		return
	}
	if t.answered < t.asked {
		t.answered++
		t.samples = 0
		c.drop(attemptID, t)
		return
	}
	if t.sent == (What{}) {
		return // of a request before these watchers came, who will be asked for
	}
	delete(c.tails, attemptID)
	t.finish()
}

func (t *tail) finish() {
	for w := range t.watchers {
		w.finish()
	}
}

// Close ends the connection and with it the watching of its attempts.
func (c *Conn) Close() {
	c.hub.mu.Lock()
	if c.hub.conns[c.runnerID] == c {
		delete(c.hub.conns, c.runnerID)
	}
	c.hub.mu.Unlock()
	c.end()
}

func (c *Conn) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return
	}
	c.ended = true
	close(c.done)
	for _, t := range c.tails {
		t.finish()
	}
	clear(c.tails)
}
