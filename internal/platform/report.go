package platform

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tetryx/lynx-runner/api"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// Heartbeat renews the leases of the attempts that a runner holds, also those
// whose result it has not delivered yet, and says what the platform wants of it.
// A job that was requeued because the runner was silent is taken up again if
// nobody claimed it since.
//
// When a heartbeat that says draining is answered, no claim of the session gives
// jobs any more; one that waits is answered with none, so that the runner knows
// of every job that it was given before it stops. While paused is not empty claims
// give no jobs either, but wait.
//
// An attempt that the platform thinks the runner has, but that is not in held, is
// lost if an earlier session claimed it, or if it was claimed a lease ago or
// longer. Attempts that this session claimed lately are not: the answer to their
// claim may still be on its way, or have crossed this heartbeat.
// ErrUnknownSession.
func (s *Service) Heartbeat(ctx context.Context, sessionID string, held []AttemptRef, draining bool, paused string) (Instructions, error) {
	var in Instructions
	var changed string
	err := s.update(ctx, func(u *unit) error {
		r, err := session(u, sessionID)
		if err != nil {
			return err
		}
		if draining && !r.Draining || (paused == "") != (r.Paused == "") {
			changed = r.ID
		}
		r.SeenAt, r.Draining, r.Paused = u.now, draining, paused
		if err := u.PutRunner(r); err != nil {
			return err
		}
		in.Drain = r.Drain
		kept := map[string]bool{}
		for _, ref := range held {
			if err := keep(u, &r, ref, kept, &in); err != nil {
				return err
			}
		}
		return s.loseUnheld(u, &r, kept, s.opts.LeaseDuration)
	})
	if err != nil {
		return Instructions{}, err
	}
	if changed != "" {
		s.waiters.wakeRunner(changed) // its claim has to end, or to look again
	}
	slices.Sort(in.Cancel)
	slices.Sort(in.Lost)
	return in, nil
}

// keep renews one attempt that a runner holds: it adds its job to kept, or the
// attempt to those that are lost.
func keep(u *unit, r *Runner, ref AttemptRef, kept map[string]bool, in *Instructions) error {
	b, j, a, err := current(u, r, ref)
	switch {
	case errors.Is(err, ErrStaleToken):
		in.Lost = append(in.Lost, ref.AttemptID)
		return nil
	case err != nil:
		return err
	case a.HasResult: // the runner does not know yet that we have it
		return nil
	case !j.Active():
		from := j.State
		resume(b, j, a, u.now)
		if err := u.save(b, j, a, from); err != nil {
			return err
		}
	}
	kept[j.ID] = true
	if j.CancelRequested {
		in.Cancel = append(in.Cancel, ref.AttemptID)
	}
	return nil
}

// loseUnheld loses the attempts that a runner should have and has not; of those
// that this session claimed, the ones that it claimed grace ago or longer.
func (s *Service) loseUnheld(u *unit, r *Runner, kept map[string]bool, grace time.Duration) error {
	jobs, err := u.ActiveJobs(r.ID)
	if err != nil {
		return err
	}
	for _, j := range jobs {
		if kept[j.ID] {
			continue
		}
		a, err := u.Attempt(j.ID, j.Attempts)
		if err != nil {
			return err
		}
		if a.SessionID == r.SessionID && u.now.Sub(a.ClaimedAt) < grace {
			continue
		}
		reason := fmt.Sprintf("runner %s no longer has the job", r.ID)
		if err := s.loseJob(u, j.ID, reason); err != nil {
			return err
		}
	}
	return nil
}

// loseJob loses the current attempt of an active job.
func (s *Service) loseJob(u *unit, jobID, reason string) error {
	b, j, err := u.job(jobID)
	if err != nil {
		return err
	}
	a, err := u.Attempt(j.ID, j.Attempts)
	if err != nil {
		return err
	}
	from := j.State
	lose(b, j, &a, reason, u.now)
	s.opts.Log.Warn("attempt lost", "attempt", a.ID(), "runner", a.RunnerID, "reason", reason, "job_state", j.State)
	return u.save(b, j, &a, from)
}

// ReportStarted says that an attempt's simulation executes since at, by the
// runner's clock. Idempotent. ErrUnknownSession, ErrStaleToken, *InvalidError.
func (s *Service) ReportStarted(ctx context.Context, sessionID string, ref AttemptRef, at time.Time) error {
	return s.update(ctx, func(u *unit) error {
		b, j, a, err := reported(u, sessionID, ref)
		if err != nil || a.HasResult || j.State == api.JobRunning {
			return err
		}
		from := j.State
		started(b, j, a, micro(at), u.now)
		return u.save(b, j, a, from)
	})
}

// ReportResult hands in an attempt's result; when it returns nil the result is
// durable. The first result of an attempt counts: handing in another with the
// same token is acknowledged and changes nothing. ErrUnknownSession,
// ErrStaleToken, *InvalidError.
func (s *Service) ReportResult(ctx context.Context, sessionID string, ref AttemptRef, r *runnerv1.Result) error {
	if r.GetOutcome() == "" {
		return invalid("result.outcome", "must not be empty")
	}
	return s.update(ctx, func(u *unit) error {
		b, j, a, err := reported(u, sessionID, ref)
		if err != nil || a.HasResult {
			return err
		}
		from := j.State
		var at time.Time
		if r.GetStartedAt() != nil {
			at = micro(r.GetStartedAt().AsTime())
		}
		finish(b, j, a, api.Outcome(r.GetOutcome()), r.GetErrorMessage(), at, u.now)
		if err := u.PutResult(a.JobID, a.Number, r); err != nil {
			return err
		}
		return u.save(b, j, a, from)
	})
}

// reported finds what a report of a session is about.
func reported(u *unit, sessionID string, ref AttemptRef) (*Batch, *Job, *Attempt, error) {
	r, err := session(u, sessionID)
	if err != nil {
		return nil, nil, nil, err
	}
	return current(u, &r, ref)
}

// current finds an attempt that a runner names. It has a result already, or is
// its job's current one; any other is ErrStaleToken.
func current(u *unit, r *Runner, ref AttemptRef) (*Batch, *Job, *Attempt, error) {
	jobID, number, err := ParseAttemptID(ref.AttemptID)
	if err != nil {
		return nil, nil, nil, err
	}
	a, err := u.Attempt(jobID, number)
	if errors.Is(err, ErrNotFound) || err == nil && (a.Token != ref.Token || a.RunnerID != r.ID) {
		return nil, nil, nil, fmt.Errorf("attempt %s: %w", ref.AttemptID, ErrStaleToken)
	}
	if err != nil {
		return nil, nil, nil, err
	}
	j, err := u.Job(jobID)
	if err != nil {
		return nil, nil, nil, err
	}
	if !a.HasResult && !j.Current(a.Token) {
		return nil, nil, nil, fmt.Errorf("attempt %s: %w", ref.AttemptID, ErrStaleToken)
	}
	b, err := u.batch(j.BatchID)
	return b, &j, &a, err
}

// session finds the runner of a session that is not over.
func session(tx ReadTx, id string) (Runner, error) {
	r, err := tx.RunnerBySession(id)
	if errors.Is(err, ErrNotFound) || err == nil && r.SignedOff {
		return Runner{}, ErrUnknownSession
	}
	return r, err
}

// micro is a time in the precision of the store.
func micro(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
