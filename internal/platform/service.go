package platform

import (
	"context"
	crand "crypto/rand"
	"encoding/binary"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/study"
)

// Options are what a Service needs besides its store; each has a default.
type Options struct {
	// Now is the host's clock, which may be set at any time; default time.Now.
	Now func() time.Time
	// Elapsed is the time that has passed since some moment, however Now is set;
	// default that of the operating system, or what passes by Now if that is given.
	Elapsed func() time.Duration
	// NewID makes ids of batches, jobs and sessions; default UUIDs, version 7,
	// which sort by time and so keep a store's indexes compact.
	NewID func() string
	// Seed draws the seed of a study that has none, at most study.MaxSeed; default
	// crypto/rand.
	Seed func() uint64
	// HeartbeatInterval (10 s), OfflineAfter (30 s) and LeaseDuration (60 s) are
	// told to the runners.
	HeartbeatInterval, OfflineAfter, LeaseDuration time.Duration
	// Patience is for how long the jobs of a batch are passed over in favour of later
	// ones that need less; default 1 minute. See [Service.ClaimWithin].
	Patience time.Duration
	// Log is where lost runners and the like are told; default slog.Default().
	Log *slog.Logger
}

func (o *Options) fill() {
	if o.Now == nil {
		o.Now = time.Now
		if o.Elapsed == nil {
			began := time.Now()
			o.Elapsed = func() time.Duration { return time.Since(began) } // monotonic
		}
	}
	if o.NewID == nil {
		o.NewID = func() string { return uuid.Must(uuid.NewV7()).String() }
	}
	if o.Seed == nil {
		o.Seed = randomSeed
	}
	if o.HeartbeatInterval == 0 {
		o.HeartbeatInterval = 10 * time.Second
	}
	if o.OfflineAfter == 0 {
		o.OfflineAfter = 30 * time.Second
	}
	if o.LeaseDuration == 0 {
		o.LeaseDuration = 60 * time.Second
	}
	if o.Patience == 0 {
		o.Patience = time.Minute
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
}

func randomSeed() uint64 {
	var b [8]byte
	_, _ = crand.Read(b[:]) // never fails, by its contract
	return binary.LittleEndian.Uint64(b[:]) & study.MaxSeed
}

// Service is the platform: each method is one operation, safe for concurrent
// use. Errors wrap those of this package where a caller may want to decide on
// them; any other is a failure of the store, of which nothing was done.
type Service struct {
	store Store
	epoch uint64 // the store's
	opts  Options
	// began is when this process began to listen: a runner can't be blamed for its
	// silence before.
	began time.Time
	clock *clock
	// leaping is held while the clock is set, and for reading by every transaction;
	// followed says that follow has been done once. It and began belong to whoever
	// holds ticking.
	leaping  sync.RWMutex
	ticking  sync.Mutex
	followed bool
	waiters  waiters
	watchers watchers
	feed     feed
	passed   passed
	avoided  avoided
}

// New makes the service over a store that no other service uses at the same time.
func New(store Store, opts Options) *Service {
	opts.fill()
	c := newClock(opts.Now, opts.Elapsed)
	return &Service{store: store, epoch: store.Epoch(), opts: opts, clock: c, began: c.now()}
}

// now is the clock in the precision of the store.
func (s *Service) now() time.Time { return micro(s.clock.now()) }

// unit is one Update with what it leaves to do: batches to write back at its end,
// waiters to wake once it is durable.
type unit struct {
	Tx

	now     time.Time
	batches map[string]tracked
	wakes   []work
	// served are the ids of batches of which jobs were claimed.
	served []string
	// requeued are jobs that were taken back from their runners.
	requeued []requeued
	// changes go into the feed.
	changes []Change
}

// tracked is a batch that may change, and its revision before.
type tracked struct {
	*Batch

	revision uint64
}

// batch reads a batch; update writes it back if it changes.
func (u *unit) batch(id string) (*Batch, error) {
	if t, ok := u.batches[id]; ok {
		return t.Batch, nil
	}
	b, err := u.Batch(id)
	if err != nil {
		return nil, err
	}
	u.track(&b)
	return &b, nil
}

func (u *unit) track(b *Batch) { u.batches[b.ID] = tracked{b, b.Revision} }

// job reads a job and its batch, both to be changed.
func (u *unit) job(id string) (*Batch, *Job, error) {
	j, err := u.Job(id)
	if err != nil {
		return nil, nil, err
	}
	b, err := u.batch(j.BatchID)
	return b, &j, err
}

// save writes a job and its attempt back after an event that began in state from,
// and notes what work came of it.
func (u *unit) save(b *Batch, j *Job, a *Attempt, from api.JobState) error {
	if err := u.UpdateJob(*j); err != nil {
		return err
	}
	if a != nil {
		if err := u.UpdateAttempt(*a); err != nil {
			return err
		}
	}
	freed := b.Spec.MaxParallel > 0 && from != api.JobPending && !j.Active() && b.Counts.Pending > 0
	if freed || j.State == api.JobPending {
		k := workOf(b, 1)
		if a != nil && j.State == api.JobPending && infrastructural(j.Outcome) {
			k.not = a.RunnerID
			u.requeued = append(u.requeued, requeued{b.ID, j.ID, a.RunnerID, k})
		}
		u.wakes = append(u.wakes, k)
	}
	return nil
}

// update runs fn as one transaction and then tells those who wait.
func (s *Service) update(ctx context.Context, fn func(*unit) error) error {
	s.leaping.RLock()
	defer s.leaping.RUnlock()
	u := &unit{now: s.now(), batches: map[string]tracked{}}
	err := s.store.Update(ctx, func(tx Tx) error {
		u.Tx = tx
		if err := fn(u); err != nil {
			return err
		}
		for _, t := range u.batches {
			if t.Revision == t.revision {
				continue
			}
			if err := u.UpdateBatch(*t.Batch); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.feed.publish(u.changes)
	for id, t := range u.batches {
		if t.Revision != t.revision {
			s.watchers.changed(id)
		}
		if t.Counts.Pending == 0 {
			u.served = append(u.served, id)
		}
	}
	s.avoided.add(u.now, u.requeued)
	if s.passed.served(u.served) {
		s.waiters.release()
	}
	for _, w := range u.wakes {
		s.waiters.wake(w)
	}
	return nil
}
