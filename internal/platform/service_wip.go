package platform

import (
	"context"
	"errors"
	"log/slog"
	"time"

	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"

	"github.com/tetryx/lynx-runner/internal/study"
)

var errWIP = errors.New("platform: not written yet")

// Options are what a Service needs besides its store; each has a default.
type Options struct {
	// Now is the clock; default time.Now.
	Now func() time.Time
	// NewID makes ids of batches, jobs and sessions; default UUIDs, version 7.
	NewID func() string
	// Seed draws the seed of a study that has none, at most study.MaxSeed; default
	// crypto/rand.
	Seed func() uint64
	// HeartbeatInterval (10 s), OfflineAfter (30 s) and LeaseDuration (60 s) are
	// told to the runners.
	HeartbeatInterval, OfflineAfter, LeaseDuration time.Duration
	Log                                            *slog.Logger
}

// Service is the platform: each method is one operation, safe for concurrent
// use. Errors wrap those of this package where a caller may want to decide on
// them; any other is a failure of the store.
type Service struct{}

// New makes the service over a store that nothing else uses.
func New(store Store, opts Options) *Service { return nil }

// Submit makes a batch of a study.
func (s *Service) Submit(ctx context.Context, r *study.Request) (Batch, error) {
	return Batch{}, errWIP
}

// Batch returns one batch.
func (s *Service) Batch(ctx context.Context, id string) (Batch, error) { return Batch{}, errWIP }

// WaitBatch returns the batch as soon as its revision is above since or it is
// terminal, at once if so already; when ctx ends first, it returns the batch as
// it is, without an error.
func (s *Service) WaitBatch(ctx context.Context, id string, since uint64) (Batch, error) {
	return Batch{}, errWIP
}

// Batches lists batches, the latest first; next is the cursor of the next page,
// "" on the last.
func (s *Service) Batches(ctx context.Context, p Page) (batches []Batch, next string, err error) {
	return nil, "", errWIP
}

// Jobs lists jobs: the latest batch's first, within a batch by run index.
func (s *Service) Jobs(ctx context.Context, f JobFilter, p Page) (jobs []JobView, next string, err error) {
	return nil, "", errWIP
}

// Job returns one job with its attempts.
func (s *Service) Job(ctx context.Context, id string) (JobView, error) { return JobView{}, errWIP }

// JobResult returns a job's result; ErrNotFound if the job does not exist or has
// no result (yet).
func (s *Service) JobResult(ctx context.Context, jobID string) (RunResult, error) {
	return RunResult{}, errWIP
}

// BatchResults lists the jobs of a batch with their results, by run index.
func (s *Service) BatchResults(ctx context.Context, batchID string, p Page) (runs []RunResult, next string, err error) {
	return nil, "", errWIP
}

// CancelBatch cancels every job of a batch that is not terminal; one that is over
// stays as it is.
func (s *Service) CancelBatch(ctx context.Context, id string) (Batch, error) {
	return Batch{}, errWIP
}

// CancelJob cancels one job; one that is over stays as it is.
func (s *Service) CancelJob(ctx context.Context, id string) (JobView, error) {
	return JobView{}, errWIP
}

// Runners lists the runners by id.
func (s *Service) Runners(ctx context.Context) ([]RunnerView, error) { return nil, errWIP }

// Runner returns one runner.
func (s *Service) Runner(ctx context.Context, id string) (RunnerView, error) {
	return RunnerView{}, errWIP
}

// Drain stops giving a runner new jobs.
func (s *Service) Drain(ctx context.Context, runnerID string) (RunnerView, error) {
	return RunnerView{}, errWIP
}

// Resume undoes Drain.
func (s *Service) Resume(ctx context.Context, runnerID string) (RunnerView, error) {
	return RunnerView{}, errWIP
}

// Register makes a runner known; ErrRunnerIDInUse, *InvalidError.
func (s *Service) Register(ctx context.Context, r Registration) (Session, error) {
	return Session{}, errWIP
}

// Claim gives the session's runner up to maxJobs attempts. With none to give it
// waits up to wait, then returns none and no error. ErrUnknownSession.
func (s *Service) Claim(ctx context.Context, sessionID string, maxJobs int, wait time.Duration) ([]*runnerv1.Assignment, error) {
	return nil, errWIP
}

// Heartbeat renews the leases of the attempts that the runner holds.
// ErrUnknownSession.
func (s *Service) Heartbeat(ctx context.Context, sessionID string, held []AttemptRef, draining bool) (Instructions, error) {
	return Instructions{}, errWIP
}

// ReportStarted says that an attempt's simulation executes. Idempotent.
// ErrUnknownSession, ErrStaleToken, *InvalidError.
func (s *Service) ReportStarted(ctx context.Context, sessionID string, ref AttemptRef, at time.Time) error {
	return errWIP
}

// ReportResult hands in an attempt's result. Idempotent by attempt and token.
// ErrUnknownSession, ErrStaleToken, *InvalidError.
func (s *Service) ReportResult(ctx context.Context, sessionID string, ref AttemptRef, r *runnerv1.Result) error {
	return errWIP
}

// Tick takes the jobs of runners that have been silent for longer than the lease
// away from them.
func (s *Service) Tick(ctx context.Context) error { return errWIP }

// Run calls Tick once a second until ctx ends.
func (s *Service) Run(ctx context.Context) {}
