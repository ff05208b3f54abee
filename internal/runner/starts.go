package runner

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/executor"
)

// sickAfter is how many attempts in a row could not be started on a host that is
// taken for sick: each costs a job one of its requeues.
const sickAfter = 3

// starts watches whether attempts can be started here at all. An engine may answer
// every ping and fail every create; such a host would else take job after job from
// those that work. Once sickAfter attempts in a row could not be started the runner
// pauses, for longer each time, and between the pauses tries one job at a time until
// one starts.
type starts struct {
	// pause is told why to take no jobs, and, with an empty reason, to take them again.
	// It is called under mu, so in order.
	pause func(reason string)

	mu     sync.Mutex
	failed int // in a row
	wait   backoff
	resume *time.Timer // ends the pause that there is; nil if there is none
	// undecided attempts were claimed, and neither started nor given up yet.
	undecided int
	changed   chan struct{}
}

func newStarts(wait backoff, pause func(reason string)) *starts {
	return &starts{wait: wait, pause: pause, changed: make(chan struct{})}
}

// sick are the pauses of a host on which nothing can be started.
func (p pace) sick(alone bool) backoff {
	if alone {
		return backoff{min: p.sickAlone, max: p.sickAlone}
	}
	return backoff{min: p.sickMin, max: p.sickMax}
}

// most is how many of so many jobs may be asked for.
func (s *starts) most(slots int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed >= sickAfter {
		return min(slots, 1)
	}
	return slots
}

// pass waits, where starts fail, until it is known of every attempt whether it could
// be started, and reports whether ctx still lives.
func (s *starts) pass(ctx context.Context) bool {
	for {
		s.mu.Lock()
		open, changed := s.failed < sickAfter || s.undecided == 0, s.changed
		s.mu.Unlock()
		if open {
			return ctx.Err() == nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// begin is called for each attempt that was claimed, decided later once.
func (s *starts) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.undecided++
}

// decided notes what became of an attempt's start: why it could not be, or whether it
// was.
func (s *starts) decided(err error, started bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.undecided--
	close(s.changed)
	s.changed = make(chan struct{})
	switch {
	case started:
		s.failed, s.wait.n = 0, 0
	case err != nil:
		s.failed++
	}
	if err == nil || s.failed < sickAfter || s.resume != nil {
		return
	}
	d := s.wait.next()
	s.pause(printable(fmt.Sprintf("%d jobs in a row could not be started, at last because of: %v; trying one again after %v", s.failed, err, d.Round(time.Second))))
	s.resume = time.AfterFunc(d, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.resume = nil
		s.pause("")
	})
}

func (s *starts) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.resume != nil {
		s.resume.Stop()
	}
}

// startDecided tells what became of the attempt's start. Only the first call counts,
// and none of a job that an earlier process started.
func (j *job) startDecided(err error, started bool) {
	if j.taken == nil {
		j.startKnown.Do(func() { j.r.starts.decided(err, started) })
	}
}

// tellOfStart is startDecided for an attempt that has ended. An engine that is away
// has a pause of its own, and what the runner ended itself says nothing.
func (j *job) tellOfStart(rec *record, outcome api.Outcome) {
	sick := rec.handle == nil && outcome == api.OutcomeInfrastructure && j.reason().kind == causeNone &&
		rec.failure != nil && !errors.Is(rec.failure, executor.ErrUnavailable)
	if sick {
		j.startDecided(rec.failure, false)
	}
	j.startDecided(nil, false)
}
