package memory

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tetryx/lynx-runner/internal/platform"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// Batch implements [platform.ReadTx].
func (t *tx) Batch(id string) (platform.Batch, error) { return get(t.batches, "batch", id) }

// Batches implements [platform.ReadTx].
func (t *tx) Batches(before int64, limit int) ([]platform.Batch, error) {
	var list []platform.Batch
	for _, id := range slices.Backward(t.order) {
		if b := t.batches[id]; (before == 0 || b.Seq < before) && len(list) < limit {
			list = append(list, b)
		}
	}
	return list, nil
}

// OpenBatches implements [platform.ReadTx].
func (t *tx) OpenBatches(after int64, limit int) ([]platform.Batch, error) {
	var list []platform.Batch
	for _, id := range t.order {
		if b := t.batches[id]; b.Seq > after && b.Counts.Pending > 0 && len(list) < limit {
			list = append(list, b)
		}
	}
	return list, nil
}

// Job implements [platform.ReadTx].
func (t *tx) Job(id string) (platform.Job, error) { return get(t.jobs, "job", id) }

// Jobs implements [platform.ReadTx].
func (t *tx) Jobs(q platform.JobQuery) ([]platform.Job, error) {
	var list []platform.Job
	for _, id := range slices.Backward(t.order) {
		b := t.batches[id]
		if q.BatchID != "" && q.BatchID != id || q.After != nil && b.Seq > q.After.BatchSeq {
			continue
		}
		for k, jobID := range t.byBatch[id] {
			if len(list) == q.Limit {
				return list, nil
			}
			if q.After != nil && b.Seq == q.After.BatchSeq && k <= q.After.RunIndex {
				continue
			}
			if j := t.jobs[jobID]; (q.State == "" || j.State == q.State) &&
				(q.RunIndex == nil || j.RunIndex == *q.RunIndex) && strings.HasPrefix(j.ID, q.IDPrefix) {
				list = append(list, j)
			}
		}
	}
	return list, nil
}

// ActiveJobs implements [platform.ReadTx].
func (t *tx) ActiveJobs(runnerID string) ([]platform.Job, error) {
	var list []platform.Job
	for _, j := range t.jobs {
		if j.Active() && j.RunnerID == runnerID {
			list = append(list, j)
		}
	}
	return list, nil
}

// ActiveCounts implements [platform.ReadTx].
func (t *tx) ActiveCounts() (map[string]int, error) {
	counts := map[string]int{}
	for _, j := range t.jobs {
		if j.Active() {
			counts[j.RunnerID]++
		}
	}
	return counts, nil
}

// Attempt implements [platform.ReadTx].
func (t *tx) Attempt(jobID string, number int) (platform.Attempt, error) {
	as := t.attempts[jobID]
	if number < 1 || number > len(as) {
		return platform.Attempt{}, fmt.Errorf("attempt %s: %w", platform.AttemptID(jobID, number), platform.ErrNotFound)
	}
	return as[number-1], nil
}

// Attempts implements [platform.ReadTx].
func (t *tx) Attempts(jobID string) ([]platform.Attempt, error) {
	return slices.Clone(t.attempts[jobID]), nil
}

// Result implements [platform.ReadTx].
func (t *tx) Result(jobID string, number int) (*runnerv1.Result, error) {
	r, err := get(t.results, "result", resultKey{jobID, number})
	return proto.CloneOf(r), err
}

// Runner implements [platform.ReadTx].
func (t *tx) Runner(id string) (platform.Runner, error) {
	r, err := get(t.runners, "runner", id)
	return own(r), err
}

// RunnerBySession implements [platform.ReadTx].
func (t *tx) RunnerBySession(sessionID string) (platform.Runner, error) {
	for _, r := range t.runners {
		if r.SessionID == sessionID {
			return own(r), nil
		}
	}
	return platform.Runner{}, fmt.Errorf("session %s: %w", sessionID, platform.ErrNotFound)
}

// Runners implements [platform.ReadTx].
func (t *tx) Runners() ([]platform.Runner, error) {
	var list []platform.Runner
	for _, id := range slices.Sorted(maps.Keys(t.runners)) {
		list = append(list, own(t.runners[id]))
	}
	return list, nil
}

// own makes r the caller's.
func own(r platform.Runner) platform.Runner {
	r.Capabilities.SupportedSimulationTypes = slices.Clone(r.Capabilities.SupportedSimulationTypes)
	return r
}

// SilentHolders implements [platform.ReadTx].
func (t *tx) SilentHolders(cutoff time.Time) ([]string, error) {
	active, err := t.ActiveCounts()
	var ids []string
	for id := range active {
		if r, ok := t.runners[id]; ok && r.SeenAt.Before(cutoff) {
			ids = append(ids, id)
		}
	}
	return slices.Sorted(slices.Values(ids)), err
}
