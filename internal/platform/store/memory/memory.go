// Package memory is a [platform.Store] in memory, for tests and simulations. It
// keeps every promise of the contract but durability: what it holds lives as long
// as the process. Its lists are found by looking at every record.
package memory

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/tetryx/lynx-runner/internal/platform"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// Store is a [platform.Store] in memory.
type Store struct {
	epoch   atomic.Uint64
	mu      sync.RWMutex
	records records
}

// records is everything that is stored. A transaction that fails is undone step
// by step.
type records struct {
	batches  map[string]platform.Batch
	order    []string            // batch ids by Seq
	byBatch  map[string][]string // job ids by run index
	jobs     map[string]platform.Job
	attempts map[string][]platform.Attempt // by number
	results  map[resultKey]*runnerv1.Result
	runners  map[string]platform.Runner
}

type resultKey struct {
	jobID  string
	number int
}

// New makes an empty store, opened for the first time.
func New() *Store {
	s := &Store{records: records{
		batches:  map[string]platform.Batch{},
		byBatch:  map[string][]string{},
		jobs:     map[string]platform.Job{},
		attempts: map[string][]platform.Attempt{},
		results:  map[resultKey]*runnerv1.Result{},
		runners:  map[string]platform.Runner{},
	}}
	s.Reopen()
	return s
}

// Reopen does what closing and opening does to a durable store: it raises the
// epoch and keeps the records.
func (s *Store) Reopen() { s.epoch.Add(1) }

// Epoch implements [platform.Store].
func (s *Store) Epoch() uint64 { return s.epoch.Load() }

// Update implements [platform.Store].
func (s *Store) Update(ctx context.Context, fn func(platform.Tx) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	t := &tx{records: &s.records}
	done := false
	defer func() {
		if !done { // an error or a panic
			t.undoAll()
		}
	}()
	err := fn(t)
	done = err == nil
	return err
}

// View implements [platform.Store].
func (s *Store) View(ctx context.Context, fn func(platform.ReadTx) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	return fn(&tx{records: &s.records})
}

// tx is one transaction; undo has what takes each of its writes back.
type tx struct {
	*records

	undo []func()
}

func (t *tx) undoAll() {
	for i := len(t.undo) - 1; i >= 0; i-- {
		t.undo[i]()
	}
}

// put sets a key of a map and notes how to undo that.
func put[K comparable, V any](t *tx, m map[K]V, k K, v V) {
	old, had := m[k]
	t.undo = append(t.undo, func() {
		if had {
			m[k] = old
		} else {
			delete(m, k)
		}
	})
	m[k] = v
}

func get[K comparable, V any](m map[K]V, kind string, k K) (V, error) {
	v, ok := m[k]
	if !ok {
		return v, fmt.Errorf("%s %v: %w", kind, k, platform.ErrNotFound)
	}
	return v, nil
}
