package platform_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/platform"
	"github.com/tetryx/lynx-runner/internal/study"
)

func TestSubmitStoresTheDesign(t *testing.T) {
	w := newWorld(t)
	r := parse(t, 50, "max_retries: 2, max_parallel_jobs: 7")
	limit, err := study.ParseMaxFailed("10%")
	w.ok(err)
	r.Config.MonteCarlo.MaxFailed = limit
	b, err := w.svc.Submit(t.Context(), r)
	w.ok(err)
	w.equal("batch", w.batch(b.ID), b)
	w.equal("what it fixes", []int{b.Spec.Runs, b.Spec.MaxRetries, b.Spec.MaxParallel, b.Spec.MaxFailed}, []int{50, 2, 7, 5})
	w.equal("state", []any{b.State, b.Counts, b.Revision}, []any{api.BatchPending, platform.Counts{Pending: 50}, uint64(1)})
	again, err := study.Parse(b.Spec.Request, "recorded.json")
	w.ok(err)
	if again.Runs() != 50 || len(again.Config.Dispersions) != 7 {
		t.Errorf("the recorded study has %d runs and %d dispersions", again.Runs(), len(again.Config.Dispersions))
	}

	design, err := study.Sample(r, 42)
	w.ok(err)
	jobs, _, err := w.svc.Jobs(t.Context(), platform.JobFilter{BatchID: b.ID}, platform.Page{})
	w.ok(err)
	for k, j := range jobs {
		w.equal("values", j.Values, design.Row(k))
		w.equal("run", []any{j.RunIndex, j.Seed}, []any{k, design.RunSeed(k)})
	}
	for i, name := range design.Names() {
		w.equal("column", b.Spec.Columns[i], platform.Column{Name: name, Unit: design.Units()[i]})
	}
}

func TestSubmitDrawsSeed(t *testing.T) {
	w := newWorld(t)
	r := parse(t, 1, "")
	r.Config.MonteCarlo.Seed = nil
	b, err := w.svc.Submit(t.Context(), r)
	w.ok(err)
	w.equal("seed", b.Spec.Seed, uint64(4711))

	svc := platform.New(w.store, platform.Options{})
	seen := map[uint64]bool{}
	for range 8 {
		b, err := svc.Submit(t.Context(), r)
		w.ok(err)
		seen[b.Spec.Seed] = true
		if b.Spec.Seed > study.MaxSeed {
			t.Errorf("seed %d; want at most %d", b.Spec.Seed, uint64(study.MaxSeed))
		}
	}
	if len(seen) != 8 {
		t.Errorf("8 studies without a seed got %d seeds", len(seen))
	}
}

func TestLists(t *testing.T) {
	w := newWorld(t)
	var ids []string
	for n := range 5 {
		ids = append([]string{w.submit(n+1, "").ID}, ids...)
	}
	var got []string
	page := platform.Page{Limit: 2}
	for pages := 1; ; pages++ {
		list, next, err := w.svc.Batches(t.Context(), page)
		w.ok(err)
		for _, b := range list {
			got = append(got, b.ID)
		}
		if page.After = next; next == "" {
			w.equal("pages", pages, 3)
			break
		}
	}
	w.equal("batches", got, ids)

	var jobs, want []string
	for _, id := range ids {
		for k := range w.batch(id).Spec.Runs {
			want = append(want, fmt.Sprint(id, k))
		}
	}
	for page := (platform.Page{Limit: 4}); ; {
		list, next, err := w.svc.Jobs(t.Context(), platform.JobFilter{}, page)
		w.ok(err)
		for _, j := range list {
			jobs = append(jobs, fmt.Sprint(j.BatchID, j.RunIndex))
			w.equal("spec", j.Spec.Runs, w.batch(j.BatchID).Spec.Runs)
		}
		if page.After = next; next == "" {
			break
		}
	}
	w.equal("jobs", jobs, want)
}

func TestBadCursors(t *testing.T) {
	w := newWorld(t)
	b := w.submit(1, "")
	for _, cursor := range []string{"x", "-1", "0", "1.x", "..", "1", strings.Repeat("9", 30)} {
		page := platform.Page{After: cursor}
		var bad *platform.InvalidError
		if _, _, err := w.svc.Batches(t.Context(), page); cursor != "1" && (!errors.As(err, &bad) || bad.Field != "cursor") {
			t.Errorf("batches after %q: %v; want an InvalidError", cursor, err)
		}
		if _, _, err := w.svc.Jobs(t.Context(), platform.JobFilter{}, page); !errors.As(err, &bad) || bad.Field != "cursor" {
			t.Errorf("jobs after %q: %v; want an InvalidError", cursor, err)
		}
		if _, _, err := w.svc.BatchResults(t.Context(), b.ID, page); !errors.As(err, &bad) {
			t.Errorf("results after %q: %v; want an InvalidError", cursor, err)
		}
	}
}

func TestAbsentViews(t *testing.T) {
	w := newWorld(t)
	_, err := w.svc.Batch(t.Context(), "x")
	w.is("batch", err, platform.ErrNotFound)
	_, err = w.svc.WaitBatch(t.Context(), "x", 0)
	w.is("waiting for a batch", err, platform.ErrNotFound)
	_, _, err = w.svc.Jobs(t.Context(), platform.JobFilter{BatchID: "x"}, platform.Page{})
	w.is("jobs", err, platform.ErrNotFound)
	_, _, err = w.svc.BatchResults(t.Context(), "x", platform.Page{})
	w.is("results", err, platform.ErrNotFound)
	_, err = w.svc.Job(t.Context(), "x")
	w.is("job", err, platform.ErrNotFound)
}

func TestBatchResults(t *testing.T) {
	w := newWorld(t)
	b := w.submit(5, "")
	s := w.register("r")
	var refs []platform.AttemptRef
	for range 4 {
		refs = append(refs, w.one(s))
	}
	w.ok(w.report(s, refs[3], api.OutcomeCompleted)) // in no order
	w.ok(w.report(s, refs[1], api.OutcomeTimeout))
	w.ok(w.report(s, refs[0], api.OutcomeInfrastructure))
	w.one(s)
	var states []api.JobState
	var outcomes []string
	for page := (platform.Page{Limit: 2}); ; {
		runs, next, err := w.svc.BatchResults(t.Context(), b.ID, page)
		w.ok(err)
		for _, r := range runs {
			w.equal("run index", r.RunIndex, len(states))
			w.equal("values", len(r.Values), len(r.Spec.Columns))
			w.equal("attempt with result", r.Attempt != nil, r.Result != nil)
			states = append(states, r.State)
			outcomes = append(outcomes, r.Result.GetOutcome())
		}
		if page.After = next; next == "" {
			break
		}
	}
	w.equal("states", states, []api.JobState{api.JobClaimed, api.JobTimeout, api.JobClaimed, api.JobCompleted, api.JobPending})
	w.equal("outcomes", outcomes, []string{"infrastructure", "timeout", "", "completed", ""})
}

func TestWaitBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		b := w.submit(2, "")
		s := w.register("r")
		got, err := w.svc.WaitBatch(t.Context(), b.ID, 0)
		w.ok(err)
		w.equal("what changed before", got, b)

		type answer struct {
			platform.Batch
			err error
		}
		wait := func(since uint64) chan answer {
			c := make(chan answer, 1)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			go func() {
				defer cancel()
				b, err := w.svc.WaitBatch(ctx, b.ID, since)
				c <- answer{b, err}
			}()
			synctest.Wait()
			return c
		}
		first, second := wait(b.Revision), wait(b.Revision)
		w.beat(s)
		w.submit(1, "")
		synctest.Wait()
		if len(first)+len(second) != 0 {
			t.Fatal("answered without a change of this batch")
		}
		a := w.one(s)
		synctest.Wait()
		for _, c := range []chan answer{first, second} {
			got := <-c
			w.ok(got.err)
			w.equal("after a claim", got.Counts, platform.Counts{Pending: 1, Claimed: 1})
		}
		now := w.batch(b.ID)
		begin := time.Now()
		late := <-wait(now.Revision)
		w.ok(late.err)
		w.equal("after the time", []any{late.Batch, time.Since(begin)}, []any{now, time.Minute})

		w.ok(w.report(s, a, api.OutcomeCompleted))
		_, err = w.svc.CancelBatch(t.Context(), b.ID)
		w.ok(err)
		over := <-wait(1 << 40)
		w.equal("terminal", over.State, api.BatchCancelled)
	})
}
