package platform

import (
	"sync"
	"time"
)

// passed remembers which batches runners passed over, because their jobs did not
// fit into what was free. It is forgotten when the process ends.
type passed struct {
	mu sync.Mutex
	// batches has them by id.
	batches map[string]*passedBatch
}

// passedBatch is one that runners pass over since a time, or are held back by.
type passedBatch struct {
	since time.Time
	holds bool
}

// over notes that a batch is passed over, and reports whether it has been for long
// enough to hold runners back.
func (p *passed) over(batchID string, now time.Time, patience time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.batches[batchID]
	if b == nil {
		if p.batches == nil {
			p.batches = map[string]*passedBatch{}
		}
		b = &passedBatch{since: now}
		p.batches[batchID] = b
	}
	b.holds = b.holds || now.Sub(b.since) >= patience
	return b.holds
}

// served forgets batches of which jobs were claimed, or that have none any more;
// it reports whether one of them held runners back.
func (p *passed) served(batchIDs []string) (held bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range batchIDs {
		if b := p.batches[id]; b != nil {
			held = held || b.holds
			delete(p.batches, id)
		}
	}
	return held
}

// move moves all that is remembered with a clock that is set.
func (p *passed) move(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range p.batches {
		b.since = b.since.Add(d)
	}
}
