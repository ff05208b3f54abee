package platform

import (
	"context"
	"errors"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/tetryx/lynx-runner/api"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// MaxClaim is how many attempts one claim gives at most.
const MaxClaim = 256

// openPage is how many batches a claim looks at in one go.
const openPage = 16

// Claim gives the session's runner up to maxJobs attempts: of the earliest batch
// first, within a batch by run index, of the simulation types that the runner
// supports, with a GPU only if it has one, and no more of a batch at a time than
// its max_parallel_jobs. With none to give it waits up to wait, then returns none
// and no error, as it does when ctx ends meanwhile; a runner in maintenance gets
// none, and one whose heartbeat said that it is draining does not wait for it
// either. ErrUnknownSession, also when the session is replaced while it waits;
// *InvalidError.
func (s *Service) Claim(ctx context.Context, sessionID string, maxJobs int, wait time.Duration) ([]*runnerv1.Assignment, error) {
	if maxJobs < 1 {
		return nil, invalid("max_jobs", "%d; must be at least 1", maxJobs)
	}
	got, r, err := s.claimNow(ctx, sessionID, min(maxJobs, MaxClaim))
	if len(got) > 0 || err != nil || wait <= 0 {
		return got, err
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return s.claimSoon(ctx, &r, min(maxJobs, MaxClaim))
}

// claimSoon claims when there is work, until ctx ends.
func (s *Service) claimSoon(ctx context.Context, r *Runner, maxJobs int) ([]*runnerv1.Assignment, error) {
	w := s.waiters.join(r)
	var got []*runnerv1.Assignment
	defer func() { s.waiters.leave(w, got) }()
	for {
		// The first time this looks again at what came between the caller's look and
		// the join.
		var err error
		var now Runner
		got, now, err = s.claimNow(ctx, r.SessionID, maxJobs)
		switch {
		case err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()):
			return nil, nil
		case err != nil || len(got) > 0 || now.Draining:
			return got, err
		}
		s.waiters.looked(w, &now)
		if !s.waiters.wait(ctx, w) {
			return nil, nil
		}
	}
}

// claimNow claims what there is.
func (s *Service) claimNow(ctx context.Context, sessionID string, maxJobs int) ([]*runnerv1.Assignment, Runner, error) {
	var got []*runnerv1.Assignment
	var r Runner
	err := s.update(ctx, func(u *unit) error {
		var err error
		if r, err = session(u, sessionID); err != nil || !r.takesJobs() {
			return err
		}
		for after := int64(0); len(got) < maxJobs; {
			open, err := u.OpenBatches(after, openPage)
			if err != nil || len(open) == 0 {
				return err
			}
			for _, b := range open {
				after = b.Seq
				if !workOf(&b, 1).suits(&r.Capabilities) {
					continue
				}
				more, err := s.claimFrom(u, &b, &r, maxJobs-len(got))
				if err != nil {
					return err
				}
				got = append(got, more...)
			}
		}
		return nil
	})
	if err != nil {
		return nil, Runner{}, err
	}
	return got, r, nil
}

// claimFrom claims up to n jobs of one batch.
func (s *Service) claimFrom(u *unit, b *Batch, r *Runner, n int) ([]*runnerv1.Assignment, error) {
	if p := b.Spec.MaxParallel; p > 0 {
		n = min(n, p-b.Counts.Claimed-b.Counts.Running)
	}
	if n <= 0 {
		return nil, nil
	}
	jobs, err := u.Jobs(JobQuery{JobFilter: JobFilter{BatchID: b.ID, State: api.JobPending}, Limit: n})
	if err != nil {
		return nil, err
	}
	u.track(b)
	got := make([]*runnerv1.Assignment, 0, len(jobs))
	for i := range jobs {
		j := &jobs[i]
		a := claim(b, j, r, s.epoch, u.now)
		if err := u.UpdateJob(*j); err != nil {
			return nil, err
		}
		if err := u.InsertAttempt(a); err != nil {
			return nil, err
		}
		got = append(got, assignment(b.Spec, j, &a))
	}
	return got, nil
}

// assignment is all that a runner needs to execute an attempt.
func assignment(spec *Spec, j *Job, a *Attempt) *runnerv1.Assignment {
	as := &runnerv1.Assignment{
		BatchId: j.BatchID, JobId: j.ID, AttemptId: a.ID(), Attempt: uint32(a.Number),
		Token:    &runnerv1.Token{Epoch: a.Token.Epoch, Counter: a.Token.Counter},
		RunIndex: uint64(j.RunIndex), Seed: j.Seed,
		Simulation: &runnerv1.Simulation{
			Type: spec.Simulation.Type, Name: spec.Simulation.Name, Version: spec.Simulation.Version,
			DurationMinutes: spec.Simulation.DurationMinutes, Entrypoint: spec.Simulation.Entrypoint,
		},
		Compute: &runnerv1.Compute{
			Image: spec.Compute.Image, CpuMillis: spec.Compute.CPUMillis,
			MemoryBytes: spec.Compute.MemoryBytes, Gpus: spec.Compute.GPUs,
		},
		EarlyTermination: &runnerv1.EarlyTermination{Enabled: spec.EarlyTermination},
	}
	if spec.Compute.Timeout > 0 {
		as.Compute.Timeout = durationpb.New(spec.Compute.Timeout)
	}
	for i, c := range spec.Columns {
		as.Parameters = append(as.Parameters, &runnerv1.Parameter{Name: c.Name, Value: j.Values[i], Unit: c.Unit})
	}
	for _, c := range spec.Conditions {
		as.EarlyTermination.Conditions = append(as.EarlyTermination.Conditions, &runnerv1.Condition{
			Name: c.Name, Description: c.Description, Variable: c.Variable,
			Operator: c.Operator, Threshold: c.Threshold, Units: c.Units,
		})
	}
	return as
}

// work is a kind of job, and how many of it there may be to claim.
type work struct {
	simulation string
	gpu        bool
	n          int
}

// workOf is the kind of a batch's jobs; n of them are new.
func workOf(b *Batch, n int) work {
	if p := b.Spec.MaxParallel; p > 0 {
		n = min(n, p)
	}
	return work{simulation: b.Spec.Simulation.Type, gpu: b.Spec.Compute.GPUs > 0, n: n}
}

// suits reports whether a runner can do such work.
func (w work) suits(c *api.Capabilities) bool {
	return (c.GPUAvailable || !w.gpu) && slices.Contains(c.SupportedSimulationTypes, w.simulation)
}
