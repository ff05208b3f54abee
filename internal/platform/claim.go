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

// Claim is [Service.ClaimWithin] without a bound on resources.
func (s *Service) Claim(ctx context.Context, sessionID string, maxJobs int, wait time.Duration) ([]*runnerv1.Assignment, error) {
	return s.ClaimWithin(ctx, sessionID, maxJobs, nil, wait)
}

// ClaimWithin gives the session's runner up to maxJobs attempts: of the earliest
// batch first, within a batch by run index, of the simulation types that the runner
// supports, none that asks for more CPU, memory or GPUs than the runner has at all,
// no more of a batch at a time than its max_parallel_jobs, and together no more than
// free, if that is given. A job that asks for no CPU or memory counts with the
// runner's default for it.
//
// Jobs that do not fit into what is free now are passed over for later ones that
// do, but not for ever: once the jobs of a batch have been passed over for
// Options.Patience since the last of them was claimed, a runner that is large
// enough for them gets nothing of later batches until one of them was claimed
// or none waits any more. What it has then ends, and makes room. A runner that has
// nothing and still too little room is not held back.
//
// A job that was taken back from a runner is left to others for a minute, if one is
// connected that could take it (avoided).
//
// With none to give it waits up to wait, then returns none
// and no error, as it does when ctx ends meanwhile; a runner in maintenance gets
// none, as does one that is paused, and one whose heartbeat said that it is draining
// does not wait for it either. ErrUnknownSession, also when the session is replaced while it waits;
// *InvalidError.
func (s *Service) ClaimWithin(ctx context.Context, sessionID string, maxJobs int, free *Resources, wait time.Duration) ([]*runnerv1.Assignment, error) {
	if maxJobs < 1 {
		return nil, invalid("max_jobs", "%d; must be at least 1", maxJobs)
	}
	c := &claimant{session: sessionID, most: min(maxJobs, MaxClaim), free: unbounded}
	if free != nil {
		c.free = *free
	}
	err := s.claimNow(ctx, c)
	if len(c.got) > 0 || err != nil || wait <= 0 {
		return c.got, err
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return s.claimSoon(ctx, c)
}

// claimant is a runner that claims, and what came of its last look for work.
type claimant struct {
	session string
	most    int
	free    Resources

	runner Runner
	got    []*runnerv1.Assignment
	// heldBack is the Seq of the batch that the runner gets nothing behind; 0 if it
	// is not held back.
	heldBack int64
}

// claimSoon claims when there is work, until ctx ends.
func (s *Service) claimSoon(ctx context.Context, c *claimant) ([]*runnerv1.Assignment, error) {
	w := s.waiters.join(c)
	defer func() { s.waiters.leave(w, c.got) }()
	for {
		// The first time this looks again at what came between the caller's look and
		// the join.
		released := s.waiters.releases()
		err := s.claimNow(ctx, c)
		switch {
		case err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()):
			return nil, nil
		case err != nil || len(c.got) > 0 || c.runner.Draining:
			return c.got, err
		}
		s.waiters.looked(w, c, released)
		if !s.waiters.wait(ctx, w) {
			return nil, nil
		}
	}
}

// claimNow claims what there is.
func (s *Service) claimNow(ctx context.Context, c *claimant) error {
	c.got = nil
	err := s.update(ctx, func(u *unit) error {
		var err error
		if c.runner, err = session(u, c.session); err != nil || !c.runner.takesJobs() {
			return err
		}
		free := c.free
		c.heldBack = 0
		for after := int64(0); len(c.got) < c.most && c.heldBack == 0; {
			open, err := u.OpenBatches(after, openPage)
			if err != nil || len(open) == 0 {
				return err
			}
			for i := 0; i < len(open) && c.heldBack == 0; i++ {
				after = open[i].Seq
				if err := s.claimFrom(u, &open[i], c, &free); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		c.got = nil
	}
	return err
}

// claimFrom claims what it can of one batch and takes it off free, or finds that
// nothing is to be claimed behind it.
func (s *Service) claimFrom(u *unit, b *Batch, c *claimant, free *Resources) error {
	n := c.most - len(c.got)
	if p := b.Spec.MaxParallel; p > 0 {
		n = min(n, p-b.Counts.Claimed-b.Counts.Running)
	}
	if n <= 0 || !workOf(b, 1).suits(&c.runner) {
		return nil
	}
	need := c.runner.needs(b.Spec.Compute)
	if n = min(n, free.fit(need)); n > 0 {
		before := len(c.got)
		err := s.claimJobs(u, b, c, n)
		*free = free.less(need, len(c.got)-before)
		return err
	}
	if !s.passed.over(b.ID, u.now, s.opts.Patience) {
		return nil
	}
	active, err := u.ActiveJobs(c.runner.ID)
	if len(active) > 0 {
		c.heldBack = b.Seq
	}
	return err
}

// claimJobs claims n jobs of one batch, or as many as wait for this runner.
func (s *Service) claimJobs(u *unit, b *Batch, c *claimant, n int) error {
	leave, err := s.forOthers(u, b, &c.runner)
	if err != nil {
		return err
	}
	jobs, err := u.Jobs(JobQuery{JobFilter: JobFilter{BatchID: b.ID, State: api.JobPending}, Limit: n + len(leave)})
	if err != nil {
		return err
	}
	jobs = slices.DeleteFunc(jobs, func(j Job) bool { return leave[j.ID] })
	jobs = jobs[:min(n, len(jobs))]
	u.track(b)
	if len(jobs) > 0 {
		u.served = append(u.served, b.ID)
	}
	for i := range jobs {
		j := &jobs[i]
		a := claim(b, j, &c.runner, s.epoch, u.now)
		if err := u.UpdateJob(*j); err != nil {
			return err
		}
		if err := u.InsertAttempt(a); err != nil {
			return err
		}
		c.got = append(c.got, assignment(b.Spec, j, &a))
	}
	return nil
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
			Command: spec.Simulation.Command,
		},
		Compute: &runnerv1.Compute{
			Image: spec.Compute.Image, CpuMillis: spec.Compute.CPUMillis,
			MemoryBytes: spec.Compute.MemoryBytes, Gpus: spec.Compute.GPUs, Isolation: spec.Compute.Isolation,
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
