// Package memory is a [platform.Store] in memory. Bodies are following.
package memory

import (
	"context"
	"errors"

	"github.com/tetryx/lynx-runner/internal/platform"
)

// Store is a [platform.Store] in memory.
type Store struct{}

// New makes an empty store.
func New() *Store { return &Store{} }

// Epoch is the number of times that the store was opened.
func (s *Store) Epoch() uint64 { return 1 }

// Update runs fn as one transaction.
func (s *Store) Update(ctx context.Context, fn func(platform.Tx) error) error {
	return errors.New("not written yet")
}

// View runs fn on a snapshot.
func (s *Store) View(ctx context.Context, fn func(platform.ReadTx) error) error {
	return errors.New("not written yet")
}
