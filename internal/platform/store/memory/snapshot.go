package memory

import (
	"maps"
	"slices"

	"github.com/tetryx/lynx-runner/internal/platform"
)

// Snapshot keeps what is stored now, and returns what brings it back: together
// with Reopen, a simulation's disk that lost its last writes in a crash. The epoch
// is not lost: a store writes it down for certain before it is used.
func (s *Store) Snapshot() (restore func()) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	kept := s.records.clone()
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.records = kept.clone()
	}
}

// clone copies what transactions change in place.
func (r *records) clone() records {
	c := *r
	c.batches, c.jobs, c.runners = maps.Clone(r.batches), maps.Clone(r.jobs), maps.Clone(r.runners)
	c.byBatch, c.results = maps.Clone(r.byBatch), maps.Clone(r.results)
	c.order = slices.Clone(r.order)
	c.attempts = make(map[string][]platform.Attempt, len(r.attempts))
	for id, list := range r.attempts {
		c.attempts[id] = slices.Clone(list)
	}
	return c
}
