package platform

import (
	"context"
	"sync"
)

// watchers are those who wait for a batch to change.
type watchers struct {
	mu sync.Mutex
	// next has, for each batch that somebody waits for, a channel that its next
	// change closes.
	next map[string]*change
}

type change struct {
	happened chan struct{}
	waiting  int
}

// join returns the next change of a batch; leave must follow.
func (ws *watchers) join(id string) *change {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.next == nil {
		ws.next = map[string]*change{}
	}
	c := ws.next[id]
	if c == nil {
		c = &change{happened: make(chan struct{})}
		ws.next[id] = c
	}
	c.waiting++
	return c
}

func (ws *watchers) leave(id string, c *change) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	c.waiting--
	if c.waiting == 0 && ws.next[id] == c {
		delete(ws.next, id)
	}
}

func (ws *watchers) changed(id string) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if c := ws.next[id]; c != nil {
		close(c.happened)
		delete(ws.next, id)
	}
}

// WaitBatch returns the batch as soon as its revision is above since or it is
// terminal, at once if so already; when ctx ends first, it returns the batch as
// it was last, without an error.
func (s *Service) WaitBatch(ctx context.Context, id string, since uint64) (Batch, error) {
	for {
		c := s.watchers.join(id) // before the look, so that no change is missed
		b, err := s.Batch(context.WithoutCancel(ctx), id)
		if err != nil || b.Revision > since || b.State.Terminal() {
			s.watchers.leave(id, c)
			return b, err
		}
		select {
		case <-c.happened:
			s.watchers.leave(id, c)
		case <-ctx.Done():
			s.watchers.leave(id, c)
			return b, nil
		}
	}
}
