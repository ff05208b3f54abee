// Package sqlite is a [platform.Store] in one SQLite database, without cgo.
//
// The database lies in a directory that one process has open at a time: a lock
// file, held by flock, refuses a second one, and goes with the process however it
// ends.
//
// It is in WAL mode with synchronous=FULL: a transaction that was acknowledged
// survives the loss of power, not only of the process, because what is in it
// (results above all) is acknowledged to a runner that then forgets it. The price,
// one fsync a transaction, is shared: transactions that wait for the writer while
// another is under way are committed together (writer.go).
//
// One connection writes; a few others read snapshots beside it and never wait for
// it. SQL is in query/*.sql, from which sqlc generates query/*.go; the schema is in
// migrations/, which Open applies.
package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/pressly/goose/v3"
	"golang.org/x/sys/unix"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/tetryx/lynx-runner/internal/platform"
	"github.com/tetryx/lynx-runner/internal/platform/store/sqlite/query"
)

// ErrInUse is a database that a process has open already.
var ErrInUse = errors.New("the database is in use by another process")

// ErrClosed is a call on a store that was closed.
var ErrClosed = errors.New("the database is closed")

const (
	databaseName = "lynx.db"
	lockName     = "lynx.lock"
	// readers is how many snapshots can be read at the same time.
	readers = 4
	// busy is how long to wait for a lock on the database, which only a foreign
	// process, such as a backup or the sqlite3 shell, can hold.
	busy = 5 * time.Second
)

//go:embed migrations/*.sql
var migrations embed.FS

// Store is a [platform.Store] in a SQLite database.
type Store struct {
	path  string
	epoch uint64
	lock  *os.File

	write   *sql.DB
	writer  *writer
	read    *sql.DB
	reading *query.Queries
	specs   specCache

	close    sync.Once
	closeErr error
}

// Open opens the database in the directory dir, makes both (readable by their
// owner only) if need be, and raises the epoch. A second Open of the same
// directory while the first lasts is refused with ErrInUse.
func Open(ctx context.Context, dir string) (*Store, error) {
	return open(ctx, dir, busy)
}

func open(ctx context.Context, dir string, busy time.Duration) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("database directory: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("database directory: %w", err)
	}
	s := &Store{path: filepath.Join(dir, databaseName)}
	if s.lock, err = lock(filepath.Join(dir, lockName)); err != nil {
		return nil, err
	}
	if err := s.connect(ctx, busy); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", s.path, explain(err)), s.Close())
	}
	return s, nil
}

// lock takes the lock file of a database for this process.
func lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the database: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return f, nil
	}
	_ = f.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, fmt.Errorf("%w: %s is locked; stop that process, or use another data directory", ErrInUse, path)
	}
	return nil, fmt.Errorf("lock %s: %w", path, err)
}

func (s *Store) connect(ctx context.Context, busy time.Duration) error {
	var err error
	if s.write, err = sql.Open("sqlite", dsn(s.path, busy, false)); err != nil {
		return err
	}
	s.write.SetMaxOpenConns(1)
	if err := migrate(ctx, s.write); err != nil {
		return err
	}
	if s.writer, err = newWriter(ctx, s.write); err != nil {
		return err
	}
	epoch, err := s.writer.q.RaiseEpoch(ctx)
	if err != nil {
		return fmt.Errorf("raise the epoch: %w", err)
	}
	s.epoch = uint64(epoch)
	if s.read, err = sql.Open("sqlite", dsn(s.path, busy, true)); err != nil {
		return err
	}
	s.read.SetMaxOpenConns(readers)
	s.read.SetMaxIdleConns(readers)
	if s.reading, err = query.Prepare(ctx, s.read); err != nil {
		return err
	}
	s.writer.start(&tx{store: s, q: s.writer.q, ctx: context.Background()})
	return nil
}

// dsn names the database and how a connection is set up.
func dsn(path string, busy time.Duration, readOnly bool) string {
	q := url.Values{}
	q.Add("_pragma", "busy_timeout("+strconv.FormatInt(busy.Milliseconds(), 10)+")")
	q.Add("_pragma", "journal_mode(WAL)")
	q.Add("_pragma", "synchronous(FULL)")
	q.Add("_pragma", "foreign_keys(1)")
	q.Add("_pragma", "journal_size_limit(67108864)") // what a big batch leaves of the log
	if readOnly {
		q.Add("_pragma", "query_only(1)")
	}
	u := url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}
	return u.String()
}

// migrate brings the schema up to date. A database of a newer version of this
// program is an error.
func migrate(ctx context.Context, db *sql.DB) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	have, err := p.GetDBVersion(ctx)
	if err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	sources := p.ListSources()
	if newest := sources[len(sources)-1].Version; have > newest {
		return fmt.Errorf("its schema has version %d and this program knows %d; use the newer program that wrote it", have, newest)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("bring the schema up to date: %w", err)
	}
	return nil
}

// Close ends the writer after what it has taken on, and closes the database.
func (s *Store) Close() error {
	s.close.Do(func() {
		var errs []error
		if s.writer != nil {
			errs = append(errs, s.writer.close())
		}
		if s.reading != nil {
			errs = append(errs, s.reading.Close())
		}
		for _, db := range []*sql.DB{s.read, s.write} {
			if db != nil {
				errs = append(errs, db.Close())
			}
		}
		if s.closeErr = errors.Join(append(errs, s.lock.Close())...); s.closeErr != nil {
			s.closeErr = fmt.Errorf("close %s: %w", s.path, s.closeErr)
		}
	})
	return s.closeErr
}

// Epoch implements [platform.Store].
func (s *Store) Epoch() uint64 { return s.epoch }

// Update implements [platform.Store].
func (s *Store) Update(ctx context.Context, fn func(platform.Tx) error) error {
	return s.writer.do(ctx, fn)
}

// View implements [platform.Store].
func (s *Store) View(ctx context.Context, fn func(platform.ReadTx) error) error {
	t, err := s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("read %s: %w", s.path, explain(err))
	}
	defer func() { _ = t.Rollback() }() // there is nothing to lose
	err = fn(&tx{store: s, q: s.reading.WithTx(t), ctx: ctx})
	if cause := ctx.Err(); err != nil && cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("%w: %w", cause, err) // SQLite says "interrupted"
	}
	return err
}
