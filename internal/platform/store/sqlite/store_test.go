package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/platform"
	"github.com/tetryx/lynx-runner/internal/platform/store/storetest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		writeForever(dir)
	}
	goleak.VerifyTestMain(m)
}

func openTest(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) platform.Store { return openTest(t, t.TempDir()) })
}

// addBatch adds a batch of that many jobs, each with size bytes of values.
func addBatch(tx platform.Tx, id string, runs, size int) error {
	b := platform.Batch{
		ID: id, State: api.BatchPending, Counts: platform.Counts{Pending: runs},
		CreatedAt: time.Unix(1, 0).UTC(), Revision: 1, Spec: &platform.Spec{Name: id, Runs: runs},
	}
	return tx.InsertBatch(&b, func(yield func(platform.Job) bool) {
		for k := range runs {
			j := platform.Job{
				ID: platform.AttemptID(id, k), BatchID: id, RunIndex: k,
				Values: make([]float64, size/8), State: api.JobPending,
			}
			if !yield(j) {
				return
			}
		}
	})
}

func batchIDs(t *testing.T, s *Store) string {
	t.Helper()
	var ids []string
	err := s.View(t.Context(), func(tx platform.ReadTx) error {
		list, err := tx.Batches(0, 1000)
		for _, b := range list {
			ids = append(ids, b.ID)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(ids, " ")
}

func TestReopenKeepsAllAndRaisesEpoch(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a dir?with#odd%20name&", "data")
	last := uint64(0)
	for n := range 3 {
		s, err := Open(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		if s.Epoch() <= last {
			t.Errorf("open %d has epoch %d after %d", n, s.Epoch(), last)
		}
		last = s.Epoch()
		if want := strings.Join([]string{"second", "first"}[2-n:], " "); batchIDs(t, s) != want {
			t.Errorf("open %d has batches %q; want %q", n, batchIDs(t, s), want)
		}
		err = s.Update(t.Context(), func(tx platform.Tx) error {
			return addBatch(tx, []string{"first", "second", "third"}[n], 3, 8)
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, databaseName): 0o644} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&^want != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
	}
}

func TestSecondOpenIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, dir)
	_, err := Open(t.Context(), dir)
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), filepath.Join(dir, lockName)) {
		t.Errorf("second open: %v; want ErrInUse with the lock's path", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	openTest(t, dir)
}

func TestOpenFails(t *testing.T) {
	t.Run("not a directory", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), file); err == nil {
			t.Error("a file was opened as a directory")
		}
	})
	t.Run("not a database", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, databaseName), []byte(strings.Repeat("no database", 1000)), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Open(t.Context(), dir)
		if err == nil || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("%v; want it to say that the database is damaged", err)
		}
		if _, err := Open(t.Context(), dir); errors.Is(err, ErrInUse) {
			t.Error("the lock stayed after an open that failed")
		}
	})
}

// foreign is another program's connection to the database of a store.
func foreign(t *testing.T, dir string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", dsn(filepath.Join(dir, databaseName), time.Second, false))
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func run(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.Exec(statement); err != nil {
		t.Fatal(err)
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := openTest(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	db := foreign(t, dir)
	run(t, db, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)")
	_, err := Open(t.Context(), dir)
	if err == nil || !strings.Contains(err.Error(), "version 9999") {
		t.Errorf("%v; want it to name the version", err)
	}
}

func TestForeignLock(t *testing.T) {
	dir := t.TempDir()
	s, err := open(t.Context(), dir, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	db := foreign(t, dir)
	run(t, db, "BEGIN IMMEDIATE")
	err = s.Update(t.Context(), func(tx platform.Tx) error { return addBatch(tx, "b", 1, 8) })
	if err == nil || !strings.Contains(err.Error(), "another program holds a lock") {
		t.Errorf("%v; want it to say what is in the way", err)
	}
	if got := batchIDs(t, s); got != "" {
		t.Errorf("batches %q while locked", got)
	}
	run(t, db, "ROLLBACK")
	if err := s.Update(t.Context(), func(tx platform.Tx) error { return addBatch(tx, "b", 1, 8) }); err != nil {
		t.Errorf("after the lock is gone: %v", err)
	}
}

// limit is how a full disk shows: SQLite can't add pages beyond it.
func limit(t *testing.T, s *Store, pages string) {
	t.Helper()
	if err := s.writer.exec("PRAGMA max_page_count = " + pages); err != nil {
		t.Fatal(err)
	}
}

func TestFullDisk(t *testing.T) {
	s := openTest(t, t.TempDir())
	add := func(id string, runs int) error {
		return s.Update(t.Context(), func(tx platform.Tx) error { return addBatch(tx, id, runs, 800) })
	}
	if err := add("before", 1); err != nil {
		t.Fatal(err)
	}
	limit(t, s, "100")
	err := add("big", 2000)
	if err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("%v; want it to say that there is no space", err)
	}
	if got := batchIDs(t, s); got != "before" {
		t.Errorf("batches %q; want nothing of what failed", got)
	}
	limit(t, s, "1000000")
	if err := add("big", 2000); err != nil {
		t.Errorf("with space again: %v", err)
	}
}

// group runs updates as one group of the writer: all of them wait, in this order,
// while it is held by another one. To be called in a bubble of synctest, in which
// the store was opened, so that it can tell who waits.
func group(t *testing.T, s *Store, updates ...func(platform.Tx) error) []error {
	t.Helper()
	hold := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { // the group's first member, so that its error is the group's
		_ = s.Update(t.Context(), func(platform.Tx) error { <-hold; return nil })
	})
	errs := make([]error, len(updates))
	for i, fn := range updates {
		synctest.Wait()
		wg.Go(func() { errs[i] = s.Update(t.Context(), fn) })
	}
	synctest.Wait()
	close(hold)
	wg.Wait()
	return errs
}

func TestGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openTest(t, t.TempDir())
		onPurpose := errors.New("on purpose")
		errs := group(t, s,
			func(tx platform.Tx) error { return addBatch(tx, "a", 1, 8) },
			func(tx platform.Tx) error { return errors.Join(addBatch(tx, "b", 1, 8), onPurpose) },
			func(tx platform.Tx) error { return addBatch(tx, "c", 1, 8) },
			func(tx platform.Tx) error { return addBatch(tx, "a", 1, 8) }, // violates a constraint
			func(tx platform.Tx) error { return addBatch(tx, "d", 1, 8) },
		)
		if errs[0] != nil || !errors.Is(errs[1], onPurpose) || errs[2] != nil || errs[3] == nil || errs[4] != nil {
			t.Errorf("errors %v", errs)
		}
		if got := batchIDs(t, s); got != "d c a" {
			t.Errorf("batches %q; want those that succeeded", got)
		}
	})
}

// TestNobodyIsAnsweredBeforeTheCommit has a member look, when it is answered, for
// what it wrote, with another member after it in the same group.
func TestNobodyIsAnsweredBeforeTheCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openTest(t, t.TempDir())
		var seen string
		errs := group(t, s,
			func(tx platform.Tx) error { return addBatch(tx, "a", 1, 8) },
			func(tx platform.Tx) error {
				seen = batchIDs(t, s) // by a reader, which sees what is committed
				return nil
			},
		)
		if seen != "" || errs[0] != nil || batchIDs(t, s) != "a" {
			t.Errorf("seen %q in the group, then %q, errors %v; want one commit at its end", seen, batchIDs(t, s), errs)
		}
	})
}

// TestGroupWithFullDisk has one member fill the disk: SQLite may undo them all, so
// all are told so.
func TestGroupWithFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openTest(t, t.TempDir())
		limit(t, s, "100")
		errs := group(t, s,
			func(tx platform.Tx) error { return addBatch(tx, "a", 1, 8) },
			func(tx platform.Tx) error { return addBatch(tx, "big", 2000, 800) },
			func(tx platform.Tx) error { return addBatch(tx, "c", 1, 8) },
		)
		if errs[0] == nil || errs[1] == nil || errs[2] != nil || !strings.Contains(errs[0].Error(), "no space left") {
			t.Errorf("errors %v; want the group's members told why, and the next group to work", errs)
		}
		if got := batchIDs(t, s); got != "c" {
			t.Errorf("batches %q; want those without an error", got)
		}
	})
}

func TestClosed(t *testing.T) {
	s := openTest(t, t.TempDir())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
	if err := s.Update(t.Context(), func(platform.Tx) error { return nil }); !errors.Is(err, ErrClosed) {
		t.Errorf("Update: %v; want ErrClosed", err)
	}
	if err := s.View(t.Context(), func(platform.ReadTx) error { return nil }); err == nil {
		t.Error("View of a closed store succeeded")
	}
}

// TestUpdateIsNotInterrupted has a context end in the midst of a transaction: to
// interrupt SQLite then would undo the transactions of others.
func TestUpdateIsNotInterrupted(t *testing.T) {
	s := openTest(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	err := s.Update(ctx, func(tx platform.Tx) error {
		cancel()
		return addBatch(tx, "b", 100, 8)
	})
	if err != nil || batchIDs(t, s) != "b" {
		t.Errorf("%v, batches %q; want the whole transaction", err, batchIDs(t, s))
	}
}
