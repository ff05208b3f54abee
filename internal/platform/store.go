package platform

import (
	"context"
	"iter"
	"time"

	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// Store keeps the platform's records. It is safe for concurrent use.
//
// A record that a method returns is the caller's own, but for [Batch.Spec] and
// [Job.Values], which are shared and never change. Times keep microseconds and
// come back in UTC. A record that does not exist is an error that wraps
// [ErrNotFound].
type Store interface {
	// Epoch is the number of times that the store was opened, this time included;
	// it was durable before the store was opened.
	Epoch() uint64
	// Update runs fn as one transaction that nothing else interleaves with. When
	// it returns nil, all that fn wrote is durable; on any error nothing of it is
	// there. fn must use nothing but its Tx, must not keep it, and is called once
	// at most. An error of fn is returned as it is, so that errors.Is works.
	Update(ctx context.Context, fn func(Tx) error) error
	// View runs fn on a consistent snapshot that includes every Update that has
	// returned.
	View(ctx context.Context, fn func(ReadTx) error) error
}

// ReadTx reads records.
type ReadTx interface {
	Batch(id string) (Batch, error)
	// Batches lists batches, the latest first: those with a Seq below before, or
	// all if before is 0.
	Batches(before int64, limit int) ([]Batch, error)
	// OpenBatches lists batches with Pending jobs, the earliest first: those with
	// a Seq above after.
	OpenBatches(after int64, limit int) ([]Batch, error)

	Job(id string) (Job, error)
	// Jobs lists jobs: the latest batch's first, within a batch by run index.
	Jobs(q JobQuery) ([]Job, error)
	// ActiveJobs lists the jobs that a runner has (Claimed or Running), in no
	// particular order.
	ActiveJobs(runnerID string) ([]Job, error)
	// ActiveCounts has the number of active jobs of each runner that has any.
	ActiveCounts() (map[string]int, error)

	Attempt(jobID string, number int) (Attempt, error)
	// Attempts lists a job's attempts by number.
	Attempts(jobID string) ([]Attempt, error)
	// Result is what PutResult stored.
	Result(jobID string, number int) (*runnerv1.Result, error)

	Runner(id string) (Runner, error)
	// RunnerBySession finds the runner whose current session it is.
	RunnerBySession(sessionID string) (Runner, error)
	// Runners lists all runners by id.
	Runners() ([]Runner, error)
	// SilentHolders lists the ids of runners that have active jobs and were last
	// seen before the cutoff.
	SilentHolders(cutoff time.Time) ([]string, error)
}

// Tx reads and writes records; reads see the transaction's own writes.
type Tx interface {
	ReadTx

	// InsertBatch adds a batch with its jobs, in the order of their run index, and
	// sets b.Seq.
	InsertBatch(b *Batch, jobs iter.Seq[Job]) error
	// UpdateBatch writes what can change about a batch: not ID, Seq, CreatedAt,
	// Spec.
	UpdateBatch(b Batch) error
	// UpdateJob writes what can change about a job: not ID, BatchID, RunIndex,
	// Seed, Values, CreatedAt.
	UpdateJob(j Job) error
	// CancelPending does to each Pending job of a batch what cancelling does to
	// it, and returns how many there were. Counts of the batch are the caller's to
	// change.
	CancelPending(batchID string, at time.Time, message string) (int, error)
	// InsertAttempt adds an attempt, UpdateAttempt replaces it.
	InsertAttempt(a Attempt) error
	UpdateAttempt(a Attempt) error
	// PutResult stores the result of an attempt, which has none yet.
	PutResult(jobID string, number int, r *runnerv1.Result) error
	// PutRunner adds or replaces a runner.
	PutRunner(r Runner) error
}

// JobQuery says which jobs are wanted; empty fields do not restrict.
type JobQuery struct {
	JobFilter

	// After is where the list goes on; nil for the beginning.
	After *JobKey
	Limit int
}

// JobKey is a job's place in the list of all jobs.
type JobKey struct {
	BatchSeq int64
	RunIndex int
}
