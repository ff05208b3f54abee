package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"

	moderncsqlite "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/tetryx/lynx-runner/internal/platform"
	"github.com/tetryx/lynx-runner/internal/platform/store/sqlite/query"
)

// maxGroup is how many transactions are committed together at most.
const maxGroup = 128

// writer runs all transactions that write, one after the other, on its one
// connection, in one goroutine. Those that are waiting when one ends join its
// group: each runs between a savepoint and its release, so that one that fails
// takes nothing with it, and one COMMIT makes all of them durable. Nobody is
// answered before that.
//
// An error of SQLite itself, such as a full disk, may have undone the whole group:
// then all of it is rolled back and every member gets the error.
type writer struct {
	conn *sql.Conn
	q    *query.Queries

	requests chan *request
	stop     chan struct{}
	running  sync.WaitGroup
}

// request is one transaction.
type request struct {
	ctx  context.Context
	fn   func(platform.Tx) error
	err  error
	done chan struct{}
	// panicked is what fn panicked with; the caller goes on with that.
	panicked any
}

func newWriter(ctx context.Context, db *sql.DB) (*writer, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	q, err := query.Prepare(ctx, conn)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &writer{
		conn: conn, q: q,
		requests: make(chan *request), stop: make(chan struct{}),
	}, nil
}

// do runs fn as one transaction and returns when it is durable or undone. A ctx
// that ends first prevents fn from being run, but does not interrupt it.
func (w *writer) do(ctx context.Context, fn func(platform.Tx) error) error {
	r := &request{ctx: ctx, fn: fn, done: make(chan struct{})}
	select {
	case w.requests <- r:
	case <-ctx.Done():
		return ctx.Err()
	case <-w.stop:
		return ErrClosed
	}
	<-r.done
	if r.panicked != nil {
		panic(r.panicked)
	}
	return r.err
}

// start serves requests until close.
func (w *writer) start(tx platform.Tx) {
	w.running.Go(func() {
		for {
			select {
			case r := <-w.requests:
				w.group(r, tx)
			case <-w.stop:
				return
			}
		}
	})
}

// close waits for the group under way and refuses what comes after it.
func (w *writer) close() error {
	close(w.stop)
	w.running.Wait()
	return errors.Join(w.q.Close(), w.conn.Close())
}

// group runs first, and what else is waiting, as one transaction of SQLite.
func (w *writer) group(first *request, tx platform.Tx) {
	members := []*request{first}
	defer func() {
		for _, r := range members {
			close(r.done)
		}
	}()
	fail := func(err error) {
		_ = w.exec("ROLLBACK") // SQLite may have done it already
		for _, r := range members {
			if r.err == nil {
				r.err = fmt.Errorf("write the database: %w", err)
			}
		}
	}
	if err := w.exec("BEGIN IMMEDIATE"); err != nil {
		fail(err)
		return
	}
	for r := first; r != nil; {
		if err := w.member(r, tx); err != nil {
			fail(err)
			return
		}
		if r = w.next(len(members)); r != nil {
			members = append(members, r)
		}
	}
	if err := w.exec("COMMIT"); err != nil {
		fail(err)
	}
}

// next is a request that is waiting now, nil if there is none or the group is
// full.
func (w *writer) next(size int) *request {
	if size >= maxGroup {
		return nil
	}
	select {
	case r := <-w.requests:
		return r
	default:
		return nil
	}
}

// member runs one request inside the group's transaction. It sets the request's
// own error, and returns one that ends the group.
func (w *writer) member(r *request, tx platform.Tx) error {
	if r.err = r.ctx.Err(); r.err != nil {
		return nil
	}
	if err := w.exec("SAVEPOINT member"); err != nil {
		return err
	}
	if r.err = r.call(tx); r.err == nil && r.panicked == nil {
		return w.exec("RELEASE member")
	}
	if endsTransaction(r.err) {
		return r.err
	}
	if err := w.exec("ROLLBACK TO member"); err != nil {
		return err
	}
	return w.exec("RELEASE member")
}

func (r *request) call(tx platform.Tx) error {
	defer func() { r.panicked = recover() }()
	return r.fn(tx)
}

func (w *writer) exec(statement string) error {
	if _, err := w.conn.ExecContext(context.Background(), statement); err != nil {
		return fmt.Errorf("%s: %w", statement, explain(err))
	}
	return nil
}

// endsTransaction reports whether SQLite, or its driver, may have given up the
// whole transaction. A violated constraint undoes its statement only.
func endsTransaction(err error) bool {
	if errors.Is(err, sql.ErrConnDone) || errors.Is(err, sql.ErrTxDone) {
		return true
	}
	var e *moderncsqlite.Error
	return errors.As(err, &e) && e.Code()&0xff != sqlite3.SQLITE_CONSTRAINT
}

// explain adds to an error of SQLite what to do about it.
func explain(err error) error {
	var e *moderncsqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("no space left for the database; nothing was written, free some space and try again: %w", err)
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return fmt.Errorf("another program holds a lock on the database; end it: %w", err)
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN:
		return fmt.Errorf("the database can't be written; check who owns it and its directory: %w", err)
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("the database is damaged; restore it from a backup: %w", err)
	}
	return err
}
