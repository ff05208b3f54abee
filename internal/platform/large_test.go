package platform_test

import (
	"testing"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/platform"
	"github.com/tetryx/lynx-runner/internal/study"
)

// TestLargeBatch submits, lists, claims from and cancels a batch of many runs on
// the store that is meant for it.
func TestLargeBatch(t *testing.T) {
	const runs = 5_000 // several pages; BenchmarkSubmit has 100,000
	w := newWorld(t)
	w.svc = openService(t)
	r := parse(t, runs, "")
	b, err := w.svc.Submit(t.Context(), r)
	w.ok(err)
	design, err := study.Sample(r, b.Spec.Seed)
	w.ok(err)

	next := 0
	for page := (platform.Page{}); ; {
		jobs, after, err := w.svc.Jobs(t.Context(), platform.JobFilter{BatchID: b.ID}, page)
		w.ok(err)
		if len(jobs) > platform.MaxPage {
			t.Fatalf("a page of %d", len(jobs))
		}
		for _, j := range jobs {
			if j.RunIndex != next || j.Seed != design.RunSeed(next) || j.Values[6] != design.Row(next)[6] {
				t.Fatalf("job %d is run %d with values %v", next, j.RunIndex, j.Values)
			}
			next++
		}
		if page.After = after; after == "" {
			break
		}
	}
	w.equal("jobs", next, runs)

	s := w.register("r")
	a := w.one(s)
	b, err = w.svc.CancelBatch(t.Context(), b.ID)
	w.ok(err)
	w.equal("cancelled", b.Counts, platform.Counts{Claimed: 1, Cancelled: runs - 1})
	w.ok(w.report(s, a, api.OutcomeCancelled))
	w.equal("state", w.batch(b.ID).State, api.BatchCancelled)
}
