package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
	"unicode"

	"google.golang.org/protobuf/proto"

	"github.com/tetryx/lynx-runner/internal/platform"
	"github.com/tetryx/lynx-runner/internal/platform/store/sqlite/query"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// tx is a transaction: a snapshot, or one member of the writer's group. ctx is the
// snapshot's; nothing interrupts a member of a group, for that would undo all.
type tx struct {
	store *Store
	q     *query.Queries
	ctx   context.Context
}

// failed wraps an error about a record; no rows means that there is none.
func failed(err error, kind, id string) error {
	if errors.Is(err, sql.ErrNoRows) {
		err = platform.ErrNotFound
	}
	return fmt.Errorf("%s %s: %w", kind, id, explain(err))
}

// listFailed wraps an error of a list.
func listFailed(err error, kind string) error {
	return fmt.Errorf("list %s: %w", kind, explain(err))
}

// Batch implements [platform.ReadTx].
func (t *tx) Batch(id string) (platform.Batch, error) {
	r, err := t.q.Batch(t.ctx, id)
	if err != nil {
		return platform.Batch{}, failed(err, "batch", id)
	}
	return t.batch(&r)
}

// batch adds its spec to a row.
func (t *tx) batch(r *query.Batch) (platform.Batch, error) {
	spec := t.store.specs.get(r.ID)
	if spec == nil {
		text, err := t.q.Spec(t.ctx, r.Seq)
		if err != nil {
			return platform.Batch{}, failed(err, "spec of batch", r.ID)
		}
		spec = &platform.Spec{}
		if err := json.Unmarshal(text, spec); err != nil {
			return platform.Batch{}, failed(err, "spec of batch", r.ID)
		}
		t.store.specs.put(r.ID, spec)
	}
	return batchOf(r, spec), nil
}

func (t *tx) batches(rows []query.Batch, err error) ([]platform.Batch, error) {
	if err != nil {
		return nil, listFailed(err, "batches")
	}
	list := make([]platform.Batch, len(rows))
	for i := range rows {
		if list[i], err = t.batch(&rows[i]); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// Batches implements [platform.ReadTx].
func (t *tx) Batches(before int64, limit int) ([]platform.Batch, error) {
	if before == 0 {
		before = math.MaxInt64
	}
	return t.batches(t.q.Batches(t.ctx, query.BatchesParams{Before: before, N: int64(limit)}))
}

// OpenBatches implements [platform.ReadTx].
func (t *tx) OpenBatches(after int64, limit int) ([]platform.Batch, error) {
	return t.batches(t.q.OpenBatches(t.ctx, query.OpenBatchesParams{After: after, N: int64(limit)}))
}

// Job implements [platform.ReadTx].
func (t *tx) Job(id string) (platform.Job, error) {
	r, err := t.q.Job(t.ctx, id)
	if err != nil {
		return platform.Job{}, failed(err, "job", id)
	}
	return jobOf(&r.Job, r.BatchID, r.CreatedAt), nil
}

// Jobs implements [platform.ReadTx].
func (t *tx) Jobs(q platform.JobQuery) ([]platform.Job, error) {
	if q.IDPrefix != "" {
		return t.jobsByID(q)
	}
	if q.BatchID != "" {
		b, err := t.q.Batch(t.ctx, q.BatchID)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return nil, nil
		case err != nil:
			return nil, failed(err, "batch", q.BatchID)
		}
		return t.jobsOf(nil, &b, q)
	}
	before := int64(math.MaxInt64)
	if q.After != nil {
		before = q.After.BatchSeq + 1
	}
	var list []platform.Job
	for len(list) < q.Limit {
		const page = 64
		rows, err := t.q.Batches(t.ctx, query.BatchesParams{Before: before, N: page})
		if err != nil {
			return nil, listFailed(err, "batches")
		}
		for i := range rows {
			before = rows[i].Seq
			if list, err = t.jobsOf(list, &rows[i], q); err != nil {
				return nil, err
			}
		}
		if len(rows) < page {
			break
		}
	}
	return list, nil
}

// jobsOf appends to list the jobs of one batch that q asks for, up to its limit.
func (t *tx) jobsOf(list []platform.Job, b *query.Batch, q platform.JobQuery) ([]platform.Job, error) {
	after := int64(-1)
	switch {
	case q.After == nil || b.Seq < q.After.BatchSeq:
	case b.Seq == q.After.BatchSeq:
		after = int64(q.After.RunIndex)
	default:
		return list, nil
	}
	n := int64(q.Limit - len(list))
	if n <= 0 {
		return list, nil
	}
	var rows []query.Job
	var err error
	switch {
	case q.RunIndex != nil:
		rows, err = t.q.BatchJob(t.ctx, query.BatchJobParams{Batch: b.Seq, RunIndex: int64(*q.RunIndex)})
		rows = slices.DeleteFunc(rows, func(r query.Job) bool {
			return r.RunIndex <= after || q.State != "" && r.State != string(q.State)
		})
	case q.State == "":
		rows, err = t.q.BatchJobs(t.ctx, query.BatchJobsParams{Batch: b.Seq, After: after, N: n})
	default:
		rows, err = t.q.BatchJobsByState(t.ctx, query.BatchJobsByStateParams{Batch: b.Seq, State: string(q.State), After: after, N: n})
	}
	if err != nil {
		return nil, failed(err, "jobs of batch", b.ID)
	}
	for i := range rows {
		list = append(list, jobOf(&rows[i], b.ID, b.CreatedAt))
	}
	return list, nil
}

// jobsByID lists the jobs whose ids begin as q says.
func (t *tx) jobsByID(q platform.JobQuery) ([]platform.Job, error) {
	p := query.JobsByIDParams{
		First: q.IDPrefix, Past: q.IDPrefix + string(unicode.MaxRune),
		BatchID: q.BatchID, State: string(q.State), RunIndex: -1,
		AfterBatch: math.MaxInt64, AfterRun: -1, N: int64(q.Limit),
	}
	if q.RunIndex != nil {
		p.RunIndex = int64(*q.RunIndex)
	}
	if q.After != nil {
		p.AfterBatch, p.AfterRun = q.After.BatchSeq, int64(q.After.RunIndex)
	}
	rows, err := t.q.JobsByID(t.ctx, p)
	if err != nil {
		return nil, listFailed(err, "jobs")
	}
	var list []platform.Job
	for i := range rows {
		list = append(list, jobOf(&rows[i].Job, rows[i].BatchID, rows[i].CreatedAt))
	}
	return list, nil
}

// ActiveJobs implements [platform.ReadTx].
func (t *tx) ActiveJobs(runnerID string) ([]platform.Job, error) {
	rows, err := t.q.ActiveJobs(t.ctx, runnerID)
	if err != nil {
		return nil, failed(err, "jobs of runner", runnerID)
	}
	list := make([]platform.Job, len(rows))
	for i := range rows {
		list[i] = jobOf(&rows[i].Job, rows[i].BatchID, rows[i].CreatedAt)
	}
	return list, nil
}

// ActiveCounts implements [platform.ReadTx].
func (t *tx) ActiveCounts() (map[string]int, error) {
	rows, err := t.q.ActiveCounts(t.ctx)
	if err != nil {
		return nil, listFailed(err, "active jobs")
	}
	counts := make(map[string]int, len(rows))
	for _, r := range rows {
		counts[r.RunnerID] = int(r.N)
	}
	return counts, nil
}

// Attempt implements [platform.ReadTx].
func (t *tx) Attempt(jobID string, number int) (platform.Attempt, error) {
	r, err := t.q.Attempt(t.ctx, query.AttemptParams{JobID: jobID, Number: int64(number)})
	if err != nil {
		return platform.Attempt{}, failed(err, "attempt", platform.AttemptID(jobID, number))
	}
	return attemptOf(&r), nil
}

// Attempts implements [platform.ReadTx].
func (t *tx) Attempts(jobID string) ([]platform.Attempt, error) {
	rows, err := t.q.Attempts(t.ctx, jobID)
	if err != nil {
		return nil, failed(err, "attempts of job", jobID)
	}
	list := make([]platform.Attempt, len(rows))
	for i := range rows {
		list[i] = attemptOf(&rows[i])
	}
	return list, nil
}

// Result implements [platform.ReadTx].
func (t *tx) Result(jobID string, number int) (*runnerv1.Result, error) {
	id := platform.AttemptID(jobID, number)
	b, err := t.q.Result(t.ctx, query.ResultParams{JobID: jobID, Number: int64(number)})
	if err != nil {
		return nil, failed(err, "result of attempt", id)
	}
	r := &runnerv1.Result{}
	if err := proto.Unmarshal(b, r); err != nil {
		return nil, failed(err, "result of attempt", id)
	}
	return r, nil
}

// Runner implements [platform.ReadTx].
func (t *tx) Runner(id string) (platform.Runner, error) {
	r, err := t.q.Runner(t.ctx, id)
	if err != nil {
		return platform.Runner{}, failed(err, "runner", id)
	}
	return runnerOf(&r)
}

// RunnerBySession implements [platform.ReadTx].
func (t *tx) RunnerBySession(sessionID string) (platform.Runner, error) {
	r, err := t.q.RunnerBySession(t.ctx, sessionID)
	if err != nil {
		return platform.Runner{}, failed(err, "session", sessionID)
	}
	return runnerOf(&r)
}

// Runners implements [platform.ReadTx].
func (t *tx) Runners() ([]platform.Runner, error) {
	rows, err := t.q.Runners(t.ctx)
	if err != nil {
		return nil, listFailed(err, "runners")
	}
	list := make([]platform.Runner, len(rows))
	for i := range rows {
		if list[i], err = runnerOf(&rows[i]); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// SilentHolders implements [platform.ReadTx].
func (t *tx) SilentHolders(cutoff time.Time) ([]string, error) {
	ids, err := t.q.SilentHolders(t.ctx, micros(cutoff))
	if err != nil {
		return nil, listFailed(err, "silent runners")
	}
	return ids, nil
}
