package platform

import (
	"context"
	"sync"
	"time"
)

// leap is by how much the host's clock has to be set for the platform to take note.
const leap = time.Second

// clock is what the platform goes by: the host's clock as it was at the beginning,
// and from there on the time that has really passed. So leases, and whatever else
// lasts for a while, last for as long as they should when somebody sets the host's
// clock, or a host that was suspended goes on. [Service.follow] sets it after the
// host's, together with what is being measured by it.
type clock struct {
	// host is the host's clock, elapsed the time that has passed since some moment,
	// however the host's clock is set.
	host    func() time.Time
	elapsed func() time.Duration

	mu sync.Mutex
	// zero is this clock's time when elapsed was 0.
	zero time.Time
}

// newClock makes a clock; without elapsed it follows the host's at once.
func newClock(host func() time.Time, elapsed func() time.Duration) *clock {
	if elapsed == nil {
		began := host()
		elapsed = func() time.Duration { return host().Sub(began) }
	}
	// A wall-clock time: what is computed with it must not go by a monotonic reading.
	return &clock{host: host, elapsed: elapsed, zero: host().Round(0).Add(-elapsed())}
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.zero.Add(c.elapsed())
}

// behind is by how much the host's clock is ahead of this one.
func (c *clock) behind() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.host().Round(0).Sub(c.zero.Add(c.elapsed()))
}

// set moves the clock.
func (c *clock) set(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.zero = c.zero.Add(d)
}

// follow sets the platform's clock after the host's, if somebody has set that, and
// moves with it what is under way: when runners were heard of, and since when they
// have their jobs. No transaction comes in between. Times of what is over stay as
// they were recorded. The first call besides brings back what an earlier process
// recorded by a clock that was ahead of this one: a runner of the future would never
// fall silent.
func (s *Service) follow(ctx context.Context) error {
	d := s.clock.behind()
	if d.Abs() < leap {
		d = 0
	}
	if d == 0 && s.followed {
		return nil
	}
	s.leaping.Lock()
	defer s.leaping.Unlock()
	now := s.now()
	err := s.store.Update(ctx, func(tx Tx) error {
		runners, err := tx.Runners()
		if err != nil {
			return err
		}
		m := mover{Tx: tx, by: d, latest: now.Add(d), over: max(s.opts.OfflineAfter, s.opts.LeaseDuration)}
		for _, r := range runners {
			if err := m.runner(r, now); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.followed = true
	s.clock.set(d)
	s.began = s.began.Add(d)
	s.passed.move(d)
	s.avoided.move(d)
	if d != 0 {
		s.opts.Log.Warn("the host's clock was set; leases and timeouts are not touched by that", "by", d.Round(time.Millisecond))
	}
	return nil
}

// mover moves what was recorded by a clock that is set.
type mover struct {
	Tx

	by time.Duration
	// latest is the time then, which nothing can be after.
	latest time.Time
	// over is for how long a runner is silent when nothing is measured by that any more.
	over time.Duration
}

// moved is a time after the move; zero stays zero.
func (m mover) moved(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	if t = t.Add(m.by); t.After(m.latest) {
		return m.latest
	}
	return t
}

// runner moves a runner and the jobs that it has, by a clock that says now. One that
// has been silent for so long that nothing is measured by it has been heard of at a
// time that is over; only, it must not seem to be there again.
func (m mover) runner(r Runner, now time.Time) error {
	was := r
	if now.Sub(r.SeenAt) < m.over {
		r.RegisteredAt, r.SeenAt = m.moved(r.RegisteredAt), m.moved(r.SeenAt)
	} else if latest := m.latest.Add(-m.over); r.SeenAt.After(latest) {
		r.SeenAt = latest
		r.RegisteredAt = between(r.RegisteredAt, time.Time{}, latest)
	}
	if r.SeenAt != was.SeenAt || r.RegisteredAt != was.RegisteredAt {
		if err := m.PutRunner(r); err != nil {
			return err
		}
	}
	jobs, err := m.ActiveJobs(r.ID)
	if err != nil {
		return err
	}
	for _, j := range jobs {
		if err := m.job(j); err != nil {
			return err
		}
	}
	return nil
}

// job moves a job that a runner has.
func (m mover) job(j Job) error {
	a, err := m.Attempt(j.ID, j.Attempts)
	if err != nil {
		return err
	}
	claimed, started := m.moved(j.ClaimedAt), m.moved(j.StartedAt)
	if claimed.Equal(j.ClaimedAt) && started.Equal(j.StartedAt) {
		return nil
	}
	j.ClaimedAt, j.StartedAt = claimed, started
	a.ClaimedAt, a.StartedAt = m.moved(a.ClaimedAt), m.moved(a.StartedAt)
	if err := m.UpdateJob(j); err != nil {
		return err
	}
	return m.UpdateAttempt(a)
}
