package memory

import (
	"fmt"
	"iter"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/platform"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// InsertBatch implements [platform.Tx].
func (t *tx) InsertBatch(b *platform.Batch, jobs iter.Seq[platform.Job]) error {
	if _, ok := t.batches[b.ID]; ok {
		return fmt.Errorf("batch %s is there already", b.ID)
	}
	order := t.order
	t.undo = append(t.undo, func() { t.order = order })
	t.order = append(slices.Clip(order), b.ID)
	b.Seq = int64(len(t.order))
	put(t, t.batches, b.ID, *b)
	var ids []string
	for j := range jobs {
		if _, ok := t.jobs[j.ID]; ok {
			return fmt.Errorf("job %s is there already", j.ID)
		}
		put(t, t.jobs, j.ID, j)
		ids = append(ids, j.ID)
	}
	put(t, t.byBatch, b.ID, ids)
	return nil
}

// UpdateBatch implements [platform.Tx].
func (t *tx) UpdateBatch(b platform.Batch) error {
	old, err := t.Batch(b.ID)
	if err != nil {
		return err
	}
	b.Seq, b.CreatedAt, b.Spec = old.Seq, old.CreatedAt, old.Spec
	put(t, t.batches, b.ID, b)
	return nil
}

// UpdateJob implements [platform.Tx].
func (t *tx) UpdateJob(j platform.Job) error {
	old, err := t.Job(j.ID)
	if err != nil {
		return err
	}
	j.BatchID, j.RunIndex, j.CreatedAt = old.BatchID, old.RunIndex, old.CreatedAt
	j.Seed, j.Values = old.Seed, old.Values
	put(t, t.jobs, j.ID, j)
	return nil
}

// CancelPending implements [platform.Tx].
func (t *tx) CancelPending(batchID string, at time.Time, message string) (int, error) {
	n := 0
	for _, id := range t.byBatch[batchID] {
		j := t.jobs[id]
		if j.State != api.JobPending {
			continue
		}
		j.State, j.CancelRequested, j.CompletedAt = api.JobCancelled, true, at
		j.Outcome, j.ErrorMessage = api.OutcomeCancelled, message
		put(t, t.jobs, id, j)
		n++
	}
	return n, nil
}

// InsertAttempt implements [platform.Tx].
func (t *tx) InsertAttempt(a platform.Attempt) error {
	as := t.attempts[a.JobID]
	if a.Number != len(as)+1 {
		return fmt.Errorf("attempt %s follows attempt %d", a.ID(), len(as))
	}
	put(t, t.attempts, a.JobID, append(slices.Clip(as), a))
	return nil
}

// UpdateAttempt implements [platform.Tx].
func (t *tx) UpdateAttempt(a platform.Attempt) error {
	if _, err := t.Attempt(a.JobID, a.Number); err != nil {
		return err
	}
	as := slices.Clone(t.attempts[a.JobID])
	as[a.Number-1] = a
	put(t, t.attempts, a.JobID, as)
	return nil
}

// PutResult implements [platform.Tx].
func (t *tx) PutResult(jobID string, number int, r *runnerv1.Result) error {
	key := resultKey{jobID, number}
	if _, ok := t.results[key]; ok {
		return fmt.Errorf("attempt %s has a result already", platform.AttemptID(jobID, number))
	}
	put(t, t.results, key, proto.CloneOf(r))
	return nil
}

// PutRunner implements [platform.Tx].
func (t *tx) PutRunner(r platform.Runner) error {
	r.Capabilities.SupportedSimulationTypes = slices.Clone(r.Capabilities.SupportedSimulationTypes)
	put(t, t.runners, r.ID, r)
	return nil
}
