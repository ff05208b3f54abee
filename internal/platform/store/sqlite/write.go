package sqlite

import (
	"encoding/json"
	"iter"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tetryx/lynx-runner/internal/platform"
	"github.com/tetryx/lynx-runner/internal/platform/store/sqlite/query"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// changed says what came of changing one record; none changed means that there is
// none.
func changed(n int64, err error, kind, id string) error {
	if err == nil && n == 0 {
		err = platform.ErrNotFound
	}
	if err != nil {
		return failed(err, kind, id)
	}
	return nil
}

// InsertBatch implements [platform.Tx].
func (t *tx) InsertBatch(b *platform.Batch, jobs iter.Seq[platform.Job]) error {
	spec, err := json.Marshal(b.Spec)
	if err != nil {
		return failed(err, "spec of batch", b.ID)
	}
	c := &b.Counts
	seq, err := t.q.InsertBatch(t.ctx, query.InsertBatchParams{
		ID: b.ID, State: string(b.State),
		Pending: int64(c.Pending), Claimed: int64(c.Claimed), Running: int64(c.Running), Completed: int64(c.Completed),
		Failed: int64(c.Failed), Timeout: int64(c.Timeout), Cancelled: int64(c.Cancelled),
		CancelRequested: b.CancelRequested, CreatedAt: micros(b.CreatedAt),
		StartedAt: micros(b.StartedAt), CompletedAt: micros(b.CompletedAt), Revision: int64(b.Revision),
		Ended: int64(b.Ended), EndedFor: b.EndedFor.Microseconds(),
	})
	if err != nil {
		return failed(err, "batch", b.ID)
	}
	if err := t.q.InsertSpec(t.ctx, query.InsertSpecParams{Batch: seq, Spec: spec}); err != nil {
		return failed(err, "spec of batch", b.ID)
	}
	for j := range jobs {
		err := t.q.InsertJob(t.ctx, query.InsertJobParams{
			Batch: seq, RunIndex: int64(j.RunIndex), ID: j.ID,
			Seed: int64(j.Seed), Sample: pack(j.Values), State: string(j.State),
		})
		if err != nil {
			return failed(err, "job", j.ID)
		}
	}
	b.Seq = seq
	return nil
}

// UpdateBatch implements [platform.Tx].
func (t *tx) UpdateBatch(b platform.Batch) error {
	c := &b.Counts
	n, err := t.q.UpdateBatch(t.ctx, query.UpdateBatchParams{
		State:   string(b.State),
		Pending: int64(c.Pending), Claimed: int64(c.Claimed), Running: int64(c.Running), Completed: int64(c.Completed),
		Failed: int64(c.Failed), Timeout: int64(c.Timeout), Cancelled: int64(c.Cancelled),
		CancelRequested: b.CancelRequested, StartedAt: micros(b.StartedAt), CompletedAt: micros(b.CompletedAt),
		Revision: int64(b.Revision), Ended: int64(b.Ended), EndedFor: b.EndedFor.Microseconds(), ID: b.ID,
	})
	return changed(n, err, "batch", b.ID)
}

// UpdateJob implements [platform.Tx].
func (t *tx) UpdateJob(j platform.Job) error {
	n, err := t.q.UpdateJob(t.ctx, query.UpdateJobParams{
		State: string(j.State), Retries: int64(j.Retries), Requeues: int64(j.Requeues), Reruns: int64(j.Reruns),
		Attempts: int64(j.Attempts), Reported: int64(j.Reported),
		TokenEpoch: int64(j.Token.Epoch), TokenCounter: int64(j.Token.Counter),
		Outcome: string(j.Outcome), ErrorMessage: j.ErrorMessage,
		CancelRequested: j.CancelRequested, RunnerID: j.RunnerID,
		ClaimedAt: micros(j.ClaimedAt), StartedAt: micros(j.StartedAt), CompletedAt: micros(j.CompletedAt), ID: j.ID,
	})
	return changed(n, err, "job", j.ID)
}

// CancelPending implements [platform.Tx].
func (t *tx) CancelPending(batchID string, at time.Time, message string) (int, error) {
	n, err := t.q.CancelPending(t.ctx, query.CancelPendingParams{Message: message, At: micros(at), BatchID: batchID})
	if err != nil {
		return 0, failed(err, "jobs of batch", batchID)
	}
	return int(n), nil
}

// InsertAttempt implements [platform.Tx].
func (t *tx) InsertAttempt(a platform.Attempt) error {
	err := t.q.InsertAttempt(t.ctx, query.InsertAttemptParams{
		JobID: a.JobID, Number: int64(a.Number),
		TokenEpoch: int64(a.Token.Epoch), TokenCounter: int64(a.Token.Counter),
		RunnerID: a.RunnerID, SessionID: a.SessionID,
		ClaimedAt: micros(a.ClaimedAt), StartedAt: micros(a.StartedAt), EndedAt: micros(a.EndedAt),
		Outcome: string(a.Outcome), ErrorMessage: a.ErrorMessage, HasResult: a.HasResult,
	})
	if err != nil {
		return failed(err, "attempt", a.ID())
	}
	return nil
}

// UpdateAttempt implements [platform.Tx].
func (t *tx) UpdateAttempt(a platform.Attempt) error {
	n, err := t.q.UpdateAttempt(t.ctx, query.UpdateAttemptParams{
		TokenEpoch: int64(a.Token.Epoch), TokenCounter: int64(a.Token.Counter),
		RunnerID: a.RunnerID, SessionID: a.SessionID,
		ClaimedAt: micros(a.ClaimedAt), StartedAt: micros(a.StartedAt), EndedAt: micros(a.EndedAt),
		Outcome: string(a.Outcome), ErrorMessage: a.ErrorMessage, HasResult: a.HasResult,
		JobID: a.JobID, Number: int64(a.Number),
	})
	return changed(n, err, "attempt", a.ID())
}

// PutResult implements [platform.Tx].
func (t *tx) PutResult(jobID string, number int, r *runnerv1.Result) error {
	id := platform.AttemptID(jobID, number)
	b, err := proto.Marshal(r)
	if err != nil {
		return failed(err, "result of attempt", id)
	}
	if err := t.q.InsertResult(t.ctx, query.InsertResultParams{JobID: jobID, Number: int64(number), Result: b}); err != nil {
		return failed(err, "result of attempt", id)
	}
	return nil
}

// PutRunner implements [platform.Tx].
func (t *tx) PutRunner(r platform.Runner) error {
	capabilities, err := json.Marshal(r.Capabilities)
	if err != nil {
		return failed(err, "capabilities of runner", r.ID)
	}
	err = t.q.PutRunner(t.ctx, query.PutRunnerParams{
		ID: r.ID, InstallationID: r.InstallationID, SessionID: r.SessionID,
		Version: r.Version, Hostname: r.Hostname, Executor: r.Executor, Capabilities: capabilities,
		Drain: r.Drain, Draining: r.Draining, RegisteredAt: micros(r.RegisteredAt), SeenAt: micros(r.SeenAt),
		Gpus: r.GPUs, DefaultCpuMillis: r.Default.CPUMillis, DefaultMemoryBytes: r.Default.MemoryBytes, Paused: r.Paused,
		SignedOff: r.SignedOff,
	})
	if err != nil {
		return failed(err, "runner", r.ID)
	}
	return nil
}
