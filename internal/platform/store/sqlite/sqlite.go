// Package sqlite is a [platform.Store] in a SQLite database. Bodies are following.
package sqlite

import (
	"context"
	"errors"

	"github.com/tetryx/lynx-runner/internal/platform"
)

// Store is a [platform.Store] in a SQLite database.
type Store struct{}

// Open opens the database in the directory dir and makes both if need be. A
// second Open of the same directory, by any process, is refused with ErrInUse.
func Open(ctx context.Context, dir string) (*Store, error) { return nil, errors.New("not written yet") }

// ErrInUse is a database that a process has open already.
var ErrInUse = errors.New("the database is in use by another process")

// Close closes the database.
func (s *Store) Close() error { return nil }

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
