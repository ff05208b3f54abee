package platform_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/platform"
)

func TestPositions(t *testing.T) {
	for _, p := range []platform.Position{{}, {Epoch: 1, Number: 2}, {Epoch: 1<<64 - 1, Number: 1<<64 - 1}} {
		if got, err := platform.ParsePosition(p.String()); err != nil || got != p {
			t.Errorf("%v became %v, %v", p, got, err)
		}
	}
	for _, s := range []string{"", "1", "-", "1-", "-1", "01-2", "1-2-3", "1-+2", " 1-2", "1-18446744073709551616"} {
		if p, err := platform.ParsePosition(s); err == nil {
			t.Errorf("%q became %v", s, p)
		}
	}
}

// next returns what changed behind a position, and the position behind that.
func (w *world) next(after platform.Position) ([]platform.Change, platform.Position) {
	w.Helper()
	changes, p, err := w.svc.Changes(w.Context(), after)
	w.ok(err)
	return changes, p
}

func TestFeedNamesWhatChanges(t *testing.T) {
	w := newWorld(t)
	at := w.svc.Position()
	r := w.register("r")
	b := w.submit(3, "")
	claimed := w.one(r)
	job, _, err := platform.ParseAttemptID(claimed.AttemptID)
	w.ok(err)
	changes, at := w.next(at)
	for _, want := range []platform.Change{{RunnerID: "r"}, {BatchID: b.ID}, {BatchID: b.ID, JobID: job}} {
		if !slices.Contains(changes, want) {
			t.Errorf("%v is not among %v", want, changes)
		}
	}
	_, err = w.svc.CancelBatch(w.Context(), b.ID)
	w.ok(err)
	if changes, _ = w.next(at); !slices.Contains(changes, platform.Change{BatchID: b.ID, ManyJobs: true}) {
		t.Errorf("changes of a cancelled batch: %v", changes)
	}
	// What is refused changes nothing.
	at = w.svc.Position()
	_, err = w.svc.CancelBatch(w.Context(), "none")
	w.is("cancel", err, platform.ErrNotFound)
	if w.svc.Position() != at {
		t.Error("a refused call is in the feed")
	}
}

func TestFeedWaitsAndGivesUp(t *testing.T) {
	w := newWorld(t)
	at := w.svc.Position()
	got := make(chan []platform.Change)
	for range 2 {
		go func() {
			changes, _, _ := w.svc.Changes(t.Context(), at)
			got <- changes
		}()
	}
	w.register("r")
	for range 2 {
		if changes := <-got; len(changes) == 0 {
			t.Error("no changes")
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	end := w.svc.Position()
	if changes, p, err := w.svc.Changes(ctx, end); len(changes) != 0 || p != end || err != nil {
		t.Errorf("%v, %v, %v", changes, p, err)
	}
}

func TestFeedForgets(t *testing.T) {
	w := newWorld(t)
	start := w.svc.Position()
	r := w.register("r")
	for range 9000 { // more than the feed remembers
		w.beat(r)
	}
	for _, p := range []platform.Position{
		start, {Epoch: start.Epoch, Number: w.svc.Position().Number + 1}, {Epoch: start.Epoch + 1},
	} {
		if _, _, err := w.svc.Changes(t.Context(), p); !errors.Is(err, platform.ErrMissed) {
			t.Errorf("%v: %v", p, err)
		}
	}
	end := w.svc.Position()
	at := platform.Position{Epoch: end.Epoch, Number: end.Number - 8000}
	changes, at := w.next(at)
	if len(changes) != 8000 || at != end || changes[0] != (platform.Change{RunnerID: "r"}) {
		t.Errorf("%d changes up to %v, want 8000 up to %v", len(changes), at, end)
	}
	w.restart()
	if _, _, err := w.svc.Changes(t.Context(), end); !errors.Is(err, platform.ErrMissed) {
		t.Errorf("after a restart: %v", err)
	}
}

func TestAttemptResult(t *testing.T) {
	w := newWorld(t)
	w.submit(1, "max_retries: 1")
	r := w.register("r")
	_, err := w.svc.AttemptResult(t.Context(), "none", 0)
	w.is("no job", err, platform.ErrNotFound)
	first := w.one(r)
	job, _, err := platform.ParseAttemptID(first.AttemptID)
	w.ok(err)
	w.ok(w.report(r, first, api.OutcomeNonzeroExit))
	w.one(r)
	for number, want := range map[int]bool{0: false, 1: true, 2: false} {
		got, err := w.svc.AttemptResult(t.Context(), job, number)
		w.ok(err)
		if (got.Result != nil) != want || number > 0 && got.Attempt.Number != number || got.Spec == nil {
			t.Errorf("attempt %d: %+v", number, got)
		}
	}
	_, err = w.svc.AttemptResult(t.Context(), job, 3)
	w.is("no attempt", err, platform.ErrNotFound)
}
