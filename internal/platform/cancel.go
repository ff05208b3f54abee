package platform

import (
	"context"

	"github.com/tetryx/lynx-runner/api"
)

// CancelBatch cancels every job of a batch that is not terminal: those that wait
// at once, those that a runner has as soon as it has killed them. A batch that is
// over stays as it is. ErrNotFound.
func (s *Service) CancelBatch(ctx context.Context, id string) (Batch, error) {
	var b Batch
	err := s.update(ctx, func(u *unit) error {
		p, err := u.batch(id)
		if err != nil {
			return err
		}
		defer func() { b = *p }()
		if p.State.Terminal() || p.CancelRequested {
			return nil
		}
		p.CancelRequested = true
		return cancelJobs(u, p)
	})
	return b, err
}

// cancelJobs cancels the jobs of a batch: those that wait in one stroke, for
// there may be a million of them.
func cancelJobs(u *unit, b *Batch) error {
	for _, state := range []api.JobState{api.JobClaimed, api.JobRunning} {
		active, err := u.Jobs(JobQuery{JobFilter: JobFilter{BatchID: b.ID, State: state}, Limit: b.Spec.Runs})
		if err != nil {
			return err
		}
		for i := range active {
			cancel(b, &active[i], u.now)
			if err := u.UpdateJob(active[i]); err != nil {
				return err
			}
		}
	}
	n, err := u.CancelPending(b.ID, u.now, cancelledWaiting)
	if err != nil {
		return err
	}
	b.Counts.Pending -= n
	b.Counts.Cancelled += n
	b.settle(u.now)
	return nil
}

// CancelJob cancels one job; one that is over stays as it is. ErrNotFound.
func (s *Service) CancelJob(ctx context.Context, id string) (JobView, error) {
	var v JobView
	err := s.update(ctx, func(u *unit) error {
		b, j, err := u.job(id)
		if err != nil {
			return err
		}
		if !j.State.Terminal() && !j.CancelRequested {
			cancel(b, j, u.now)
			if err := u.UpdateJob(*j); err != nil {
				return err
			}
		}
		v, err = s.jobView(u, j, b.Spec)
		return err
	})
	return v, err
}
