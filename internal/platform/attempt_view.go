package platform

import (
	"context"
	"fmt"
)

// AttemptResult returns a job with one of its attempts and the result of that,
// nil if it has none (yet). Number 0 is the latest attempt. ErrNotFound if there
// is no such job or attempt.
func (s *Service) AttemptResult(ctx context.Context, jobID string, number int) (RunResult, error) {
	var r RunResult
	err := s.store.View(ctx, func(tx ReadTx) error {
		j, b, err := jobAndBatch(tx, jobID)
		if err != nil {
			return err
		}
		r = RunResult{Job: j, Spec: b.Spec}
		if number == 0 {
			number = j.Attempts
		}
		if number == 0 {
			return fmt.Errorf("job %s is %s and has no attempt yet: %w", jobID, j.State, ErrNotFound)
		}
		a, err := tx.Attempt(jobID, number)
		if err != nil {
			return fmt.Errorf("attempt %d of job %s, which has %d: %w", number, jobID, j.Attempts, err)
		}
		r.Attempt = &a
		if a.HasResult {
			r.Result, err = tx.Result(jobID, number)
		}
		return err
	})
	return r, err
}
