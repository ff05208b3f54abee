package platform

import (
	"context"
	"errors"
	"fmt"
)

// SessionRunner is the runner whose current session it is. ErrUnknownSession.
func (s *Service) SessionRunner(ctx context.Context, sessionID string) (Runner, error) {
	var r Runner
	err := s.store.View(ctx, func(tx ReadTx) error {
		var err error
		r, err = session(tx, sessionID)
		return err
	})
	return r, err
}

// Reported returns an attempt whose result the session's runner has handed in, with
// that result: of this one it may hand in the files too. ErrUnknownSession;
// ErrStaleToken for an attempt without an accepted result, with another token, or
// of another runner; *InvalidError.
func (s *Service) Reported(ctx context.Context, sessionID string, ref AttemptRef) (RunResult, error) {
	jobID, number, err := ParseAttemptID(ref.AttemptID)
	if err != nil {
		return RunResult{}, err
	}
	var res RunResult
	err = s.store.View(ctx, func(tx ReadTx) error {
		r, err := session(tx, sessionID)
		if err != nil {
			return err
		}
		a, err := tx.Attempt(jobID, number)
		if errors.Is(err, ErrNotFound) || err == nil && (a.Token != ref.Token || a.RunnerID != r.ID || !a.HasResult) {
			return fmt.Errorf("attempt %s has no result of this runner with this token: %w", ref.AttemptID, ErrStaleToken)
		}
		if err != nil {
			return err
		}
		j, b, err := jobAndBatch(tx, jobID)
		if err != nil {
			return err
		}
		res = RunResult{Job: j, Spec: b.Spec, Attempt: &a}
		res.Result, err = tx.Result(jobID, number)
		return err
	})
	return res, err
}
