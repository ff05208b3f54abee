package platform

import (
	"context"
	"slices"

	"github.com/tetryx/lynx-runner/api"
)

// rerunPage is how many jobs one look finds.
const rerunPage = 1000

// rerunnable are the states that a rerun takes jobs from: what succeeded stays.
var rerunnable = []api.JobState{api.JobFailed, api.JobTimeout, api.JobCancelled}

// RerunBatch makes the jobs of a batch that are in one of the states (Failed,
// Timeout, Cancelled) Pending again: the same runs with the same parameters and
// seeds, as new attempts. Others stay as they are, and so does the number of jobs.
// It returns how many there were. A batch that was cancelled goes on, with those
// jobs that still wait. ErrNotFound, *InvalidError.
func (s *Service) RerunBatch(ctx context.Context, id string, states []api.JobState) (Batch, int, error) {
	if len(states) == 0 {
		return Batch{}, 0, invalid("status", "is empty; name Failed, Timeout or Cancelled")
	}
	for _, state := range states {
		if !slices.Contains(rerunnable, state) {
			return Batch{}, 0, invalid("status", "%s: only jobs that are Failed, Timeout or Cancelled can be run again", state)
		}
	}
	var b Batch
	n := 0
	err := s.update(ctx, func(u *unit) error {
		p, err := u.batch(id)
		if err != nil {
			return err
		}
		n = 0
		for _, state := range states {
			more, err := rerunAll(u, p, state)
			if err != nil {
				return err
			}
			n += more
		}
		if n > 0 {
			u.wakes = append(u.wakes, workOf(p, n))
		}
		b = *p
		return nil
	})
	return b, n, err
}

// rerunAll reruns the jobs of a batch that are in a state.
func rerunAll(u *unit, b *Batch, state api.JobState) (n int, err error) {
	for {
		// Those that were found are in this state no more when it looks again.
		jobs, err := u.Jobs(JobQuery{JobFilter: JobFilter{BatchID: b.ID, State: state}, Limit: rerunPage})
		if err != nil || len(jobs) == 0 {
			return n, err
		}
		for i := range jobs {
			rerun(b, &jobs[i], u.now)
			if err := u.UpdateJob(jobs[i]); err != nil {
				return n, err
			}
		}
		n += len(jobs)
	}
}

// RerunJob is RerunBatch for one job: ErrNotFound, or an *InvalidError where it
// is not over, or Completed.
func (s *Service) RerunJob(ctx context.Context, id string) (JobView, error) {
	var v JobView
	err := s.update(ctx, func(u *unit) error {
		b, j, err := u.job(id)
		if err != nil {
			return err
		}
		if !slices.Contains(rerunnable, j.State) {
			return invalid("job_id", "job %s is %s; only one that is Failed, Timeout or Cancelled can be run again", id, j.State)
		}
		rerun(b, j, u.now)
		if err := u.UpdateJob(*j); err != nil {
			return err
		}
		u.wakes = append(u.wakes, workOf(b, 1))
		v, err = s.jobView(u, j, b.Spec)
		return err
	})
	return v, err
}
