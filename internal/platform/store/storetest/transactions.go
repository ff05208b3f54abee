package storetest

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/tetryx/lynx-runner/internal/platform"
)

var errOnPurpose = errors.New("on purpose")

// everything writes one record of each kind.
func everything(tx platform.Tx) error {
	_, err := insert(tx, "b", 2)
	id := jobID("b", 0)
	j := newJob("b", 0)
	j.Retries = 1
	_, cancelErr := tx.CancelPending("b", at(1), "why")
	return errors.Join(err, cancelErr, tx.UpdateJob(j), tx.InsertAttempt(newAttempt(id, 1)), tx.PutRunner(newRunner("r")))
}

// empty checks that there is nothing of it.
func empty(t *testing.T, s platform.Store) {
	t.Helper()
	absent := func(what string, err error) {
		if !errors.Is(err, platform.ErrNotFound) {
			t.Errorf("%s: %v; want ErrNotFound", what, err)
		}
	}
	view(t, s, func(tx platform.ReadTx) error {
		_, err := tx.Batch("b")
		absent("batch", err)
		_, err = tx.Job(jobID("b", 0))
		absent("job", err)
		_, err = tx.Attempt(jobID("b", 0), 1)
		absent("attempt", err)
		_, err = tx.Runner("r")
		absent("runner", err)
		batches, err := tx.Batches(0, 9)
		equal(t, "batches", batchIDs(batches), []string(nil))
		return err
	})
}

func rollback(t *testing.T, s platform.Store) {
	err := s.Update(t.Context(), func(tx platform.Tx) error {
		return errors.Join(everything(tx), errOnPurpose)
	})
	if !errors.Is(err, errOnPurpose) {
		t.Errorf("Update: %v; want the function's own error", err)
	}
	empty(t, s)
	update(t, s, everything) // it is as if it had never been tried
}

// rollbackAmongOthers has transactions fail and succeed side by side.
func rollbackAmongOthers(t *testing.T, s platform.Store) {
	update(t, s, func(tx platform.Tx) error { return tx.PutRunner(newRunner("r")) })
	const n = 40
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			err := s.Update(t.Context(), func(tx platform.Tx) error {
				if err := addSecond(tx); err != nil || i%2 == 0 {
					return err
				}
				return errOnPurpose
			})
			if i%2 == 0 && err != nil || i%2 == 1 && !errors.Is(err, errOnPurpose) {
				t.Errorf("update %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	r := read(t, s, func(tx platform.ReadTx) (platform.Runner, error) { return tx.Runner("r") })
	equal(t, "the sum of what succeeded", r.SeenAt, newRunner("r").SeenAt.Add(n/2*second))
}

func constraint(t *testing.T, s platform.Store) {
	put(t, s, "b", 2)
	err := s.Update(t.Context(), func(tx platform.Tx) error {
		if err := tx.PutRunner(newRunner("r")); err != nil {
			return err
		}
		_, err := insert(tx, "b", 1)
		return err
	})
	if err == nil || errors.Is(err, platform.ErrNotFound) {
		t.Errorf("a batch id was given twice: %v", err)
	}
	err = s.View(t.Context(), func(tx platform.ReadTx) error { _, err := tx.Runner("r"); return err })
	if !errors.Is(err, platform.ErrNotFound) {
		t.Errorf("runner: %v; want ErrNotFound", err)
	}
	equal(t, "batch", read(t, s, func(tx platform.ReadTx) (platform.Batch, error) { return tx.Batch("b") }).Spec.Runs, 2)
}

func panics(t *testing.T, s platform.Store) {
	func() {
		defer func() {
			if p, _ := recover().(error); !errors.Is(p, errOnPurpose) {
				t.Errorf("recovered %v; want what the function panicked with", p)
			}
		}()
		_ = s.Update(t.Context(), func(tx platform.Tx) error {
			if err := everything(tx); err != nil {
				return err
			}
			panic(errOnPurpose)
		})
	}()
	empty(t, s)
	update(t, s, everything)
}

func endedContext(t *testing.T, s platform.Store) {
	ctx := cancelled(t.Context())
	if err := s.Update(ctx, everything); !errors.Is(err, context.Canceled) {
		t.Errorf("Update: %v; want context.Canceled", err)
	}
	err := s.View(ctx, func(tx platform.ReadTx) error { _, err := tx.Runners(); return err })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("View: %v; want context.Canceled", err)
	}
	empty(t, s)
}

func ownWrites(t *testing.T, s platform.Store) {
	update(t, s, func(tx platform.Tx) error {
		if err := everything(tx); err != nil {
			return err
		}
		j, err := tx.Job(jobID("b", 0))
		equal(t, "retries", j.Retries, 1)
		open, err2 := tx.OpenBatches(0, 9)
		equal(t, "open batches", batchIDs(open), []string{"b"})
		return errors.Join(err, err2)
	})
}

func snapshot(t *testing.T, s platform.Store) {
	update(t, s, func(tx platform.Tx) error { return tx.PutRunner(newRunner("r")) })
	reading, written := make(chan struct{}), make(chan error, 1)
	go func() {
		<-reading
		written <- s.Update(t.Context(), addSecond)
	}()
	view(t, s, func(tx platform.ReadTx) error {
		before, err := tx.Runner("r")
		close(reading)
		// A store that lets the writer pass must not show it; one that makes it wait
		// can't.
		for range 200 {
			now, err := tx.Runner("r")
			if err != nil {
				return err
			}
			if !now.SeenAt.Equal(before.SeenAt) {
				t.Error("a view changed under its reader")
				return nil
			}
		}
		return err
	})
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	r := read(t, s, func(tx platform.ReadTx) (platform.Runner, error) { return tx.Runner("r") })
	equal(t, "a view after the update", r.SeenAt, newRunner("r").SeenAt.Add(second))
}

const second = 1_000_000_000

// addSecond reads, changes and writes.
func addSecond(tx platform.Tx) error {
	r, err := tx.Runner("r")
	if err != nil {
		return err
	}
	r.SeenAt = r.SeenAt.Add(second)
	return tx.PutRunner(r)
}

func concurrent(t *testing.T, s platform.Store) {
	update(t, s, func(tx platform.Tx) error { return tx.PutRunner(newRunner("r")) })
	const n, each = 8, 10
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for range each {
				if err := s.Update(t.Context(), addSecond); err != nil {
					t.Error(err)
				}
				if err := s.View(t.Context(), func(tx platform.ReadTx) error { _, err := tx.Runner("r"); return err }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	r := read(t, s, func(tx platform.ReadTx) (platform.Runner, error) { return tx.Runner("r") })
	equal(t, "the sum of all updates", r.SeenAt, newRunner("r").SeenAt.Add(n*each*second))
}

func ownership(t *testing.T, s platform.Store) {
	put(t, s, "b", 1)
	r := newRunner("r")
	update(t, s, func(tx platform.Tx) error { return tx.PutRunner(r) })
	r.Capabilities.SupportedSimulationTypes[0] = "changed"
	get := func(tx platform.ReadTx) (platform.Runner, error) { return tx.Runner("r") }
	got := read(t, s, get)
	equal(t, "runner", got, newRunner("r"))
	got.Capabilities.SupportedSimulationTypes[0] = "changed"
	equal(t, "runner", read(t, s, get), newRunner("r"))
}

// reusedSeq has a batch read inside the transaction that is undone: nothing that
// was kept of it may show in the next batch, whatever number that gets.
func reusedSeq(t *testing.T, s platform.Store) {
	_ = s.Update(t.Context(), func(tx platform.Tx) error {
		if _, err := insert(tx, "undone", 5); err != nil {
			return err
		}
		if _, err := tx.Batch("undone"); err != nil {
			return err
		}
		return errOnPurpose
	})
	b := put(t, s, "b", 2)
	equal(t, "batch", read(t, s, func(tx platform.ReadTx) (platform.Batch, error) { return tx.Batch("b") }), b)
}
