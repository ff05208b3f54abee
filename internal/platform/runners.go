package platform

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tetryx/lynx-runner/api"
)

// Register makes a runner known and gives it a session. The same installation
// replaces its own earlier session at once; another installation, also a copy of the
// first one or that on a host that was started again, takes a runner id over only when
// the first has signed off or been silent for the offline time, else ErrRunnerIDInUse. What an earlier session held and the runner no longer has is
// found out by the first heartbeat. *InvalidError.
func (s *Service) Register(ctx context.Context, reg Registration) (Session, error) {
	if err := reg.check(); err != nil {
		return Session{}, err
	}
	r := Runner{
		ID: reg.RunnerID, InstallationID: reg.InstallationID, SessionID: s.opts.NewID(),
		Version: reg.Version, Hostname: reg.Hostname, Executor: reg.Executor, Capabilities: reg.Capabilities,
		GPUs: reg.GPUs, Default: reg.Default,
	}
	err := s.update(ctx, func(u *unit) error {
		old, err := u.Runner(reg.RunnerID)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		if err == nil && old.InstallationID != r.InstallationID && !old.offline(u.now, s.opts.OfflineAfter) {
			return s.inUse(&r, &old, u.now)
		}
		r.Drain, r.RegisteredAt, r.SeenAt = old.Drain, u.now, u.now
		return u.PutRunner(r)
	})
	if err != nil {
		return Session{}, err
	}
	s.waiters.wakeRunner(r.ID) // claims of the old session have to end
	return Session{
		ID: r.SessionID, HeartbeatInterval: s.opts.HeartbeatInterval,
		OfflineAfter: s.opts.OfflineAfter, LeaseDuration: s.opts.LeaseDuration,
	}, nil
}

// inUse says why a runner can't have its id, which old has.
func (s *Service) inUse(r, old *Runner, now time.Time) error {
	advice := "choose another runner_id"
	if directoryOf(r.InstallationID) == directoryOf(old.InstallationID) {
		advice = "its state directory was copied (or its host was just started again, which passes): give the copy a new, empty state_dir and another runner_id"
	}
	return fmt.Errorf("%w: %q runs on host %q, heard of %v ago; %s, or stop that runner: it has the id until it has ended, or was silent for %v",
		ErrRunnerIDInUse, r.ID, old.Hostname, now.Sub(old.SeenAt).Round(time.Second), advice, s.opts.OfflineAfter)
}

// directoryOf is the part of an installation id that copies of a state directory share.
func directoryOf(installationID string) string {
	id, _, _ := strings.Cut(installationID, ".")
	return id
}

// Leave ends a session whose runner's process ends in order, with nothing running:
// the runner is Offline at once, and another installation may have its id. Of the
// attempts that it was given, those in held have ended and will be reported by its
// next process: they keep their lease. The others are lost, also one whose answer
// to a claim it never saw. Idempotent. ErrUnknownSession.
func (s *Service) Leave(ctx context.Context, sessionID string, held []AttemptRef) error {
	var id string
	err := s.update(ctx, func(u *unit) error {
		r, err := u.RunnerBySession(sessionID)
		if errors.Is(err, ErrNotFound) {
			return ErrUnknownSession
		}
		if err != nil || r.SignedOff {
			return err
		}
		kept := map[string]bool{}
		for _, ref := range held {
			if err := keep(u, &r, ref, kept, &Instructions{}); err != nil {
				return err
			}
		}
		if err := s.loseUnheld(u, &r, kept, 0); err != nil {
			return err
		}
		id = r.ID
		r.SeenAt, r.Draining, r.SignedOff = u.now, true, true
		return u.PutRunner(r)
	})
	if id != "" {
		s.waiters.wakeRunner(id) // a claim of the session has to end
	}
	return err
}

func (reg *Registration) check() error {
	switch c := &reg.Capabilities; {
	case reg.RunnerID == "":
		return invalid("runner_id", "must not be empty")
	case reg.InstallationID == "":
		return invalid("installation_id", "must not be empty")
	case c.MaxConcurrentJobs < 1:
		return invalid("capabilities.max_concurrent_jobs", "%d; must be at least 1", c.MaxConcurrentJobs)
	case reg.GPUs < 0 || reg.Default.CPUMillis < 0 || reg.Default.MemoryBytes < 0:
		return invalid("capabilities", "%d GPUs, defaults of %d mCPU and %d bytes; none may be below 0", reg.GPUs, reg.Default.CPUMillis, reg.Default.MemoryBytes)
	case len(c.SupportedSimulationTypes) == 0:
		return invalid("capabilities.supported_simulation_types", "is empty, so that no job would ever suit; name at least one, such as basilisk")
	}
	return nil
}

// Drain stops giving a runner new jobs; those that it has go on. It stays so over
// restarts and new registrations until Resume. ErrNotFound.
func (s *Service) Drain(ctx context.Context, runnerID string) (RunnerView, error) {
	return s.setDrain(ctx, runnerID, true)
}

// Resume undoes Drain. ErrNotFound.
func (s *Service) Resume(ctx context.Context, runnerID string) (RunnerView, error) {
	return s.setDrain(ctx, runnerID, false)
}

func (s *Service) setDrain(ctx context.Context, runnerID string, drain bool) (RunnerView, error) {
	var v RunnerView
	err := s.update(ctx, func(u *unit) error {
		r, err := u.Runner(runnerID)
		if err != nil {
			return err
		}
		if r.Drain != drain {
			r.Drain = drain
			if err := u.PutRunner(r); err != nil {
				return err
			}
		}
		active, err := u.ActiveJobs(runnerID)
		v = s.runnerView(r, len(active), u.now)
		return err
	})
	if err != nil {
		return RunnerView{}, err
	}
	s.waiters.wakeRunner(runnerID)
	return v, nil
}

// Runner returns one runner. ErrNotFound.
func (s *Service) Runner(ctx context.Context, id string) (RunnerView, error) {
	var v RunnerView
	err := s.store.View(ctx, func(tx ReadTx) error {
		r, err := tx.Runner(id)
		if err != nil {
			return err
		}
		active, err := tx.ActiveJobs(id)
		v = s.runnerView(r, len(active), s.now())
		return err
	})
	return v, err
}

// Runners lists all runners by id.
func (s *Service) Runners(ctx context.Context) ([]RunnerView, error) {
	var views []RunnerView
	err := s.store.View(ctx, func(tx ReadTx) error {
		rs, err := tx.Runners()
		if err != nil {
			return err
		}
		active, err := tx.ActiveCounts()
		for _, r := range rs {
			views = append(views, s.runnerView(r, active[r.ID], s.now()))
		}
		return err
	})
	return views, err
}

// runnerView says what state a runner is in: Offline if it was silent for too
// long or signed off, whatever else; then Maintenance, Busy, Idle.
func (s *Service) runnerView(r Runner, active int, now time.Time) RunnerView {
	v := RunnerView{Runner: r, ActiveJobs: active}
	switch {
	case r.offline(now, s.opts.OfflineAfter):
		v.State = api.RunnerOffline
	case r.Drain || r.Draining:
		v.State = api.RunnerMaintenance
	case active > 0:
		v.State = api.RunnerBusy
	default:
		v.State = api.RunnerIdle
	}
	return v
}

// Tick takes the jobs of runners that have been silent for longer than the lease
// away from them. A runner is not blamed for the time before the service was
// made, in which it could not be heard. Before that it sets the platform's clock after
// the host's, and offers anyone the jobs that were left to others for long enough.
func (s *Service) Tick(ctx context.Context) error {
	s.ticking.Lock()
	defer s.ticking.Unlock()
	if err := s.follow(ctx); err != nil {
		return fmt.Errorf("follow the host's clock: %w", err)
	}
	s.endAvoidance()
	now := s.now()
	cutoff := now.Add(-s.opts.LeaseDuration)
	if s.began.After(cutoff) {
		return nil
	}
	var silent []string
	err := s.store.View(ctx, func(tx ReadTx) error {
		var err error
		silent, err = tx.SilentHolders(cutoff)
		return err
	})
	if err != nil {
		return fmt.Errorf("look for silent runners: %w", err)
	}
	for _, id := range silent {
		if err := s.loseRunner(ctx, id, cutoff); err != nil {
			return fmt.Errorf("requeue the jobs of runner %s: %w", id, err)
		}
	}
	return nil
}

// loseRunner requeues the jobs of a runner that is still silent. A job that it
// claimed after the cutoff has a lease of its own until a later tick.
func (s *Service) loseRunner(ctx context.Context, id string, cutoff time.Time) error {
	return s.update(ctx, func(u *unit) error {
		r, err := u.Runner(id)
		if err != nil || !r.SeenAt.Before(cutoff) {
			return err
		}
		jobs, err := u.ActiveJobs(id)
		if err != nil {
			return err
		}
		reason := fmt.Sprintf("runner %s was not heard of for %v", id, s.opts.LeaseDuration)
		for _, j := range jobs {
			if !j.ClaimedAt.Before(cutoff) {
				continue
			}
			if err := s.loseJob(u, j.ID, reason); err != nil {
				return err
			}
		}
		return nil
	})
}

// Run calls Tick once a second until ctx ends.
func (s *Service) Run(ctx context.Context) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if err := s.Tick(ctx); err != nil && ctx.Err() == nil {
			s.opts.Log.Error("leases were not checked; trying again", "error", err)
		}
	}
}
