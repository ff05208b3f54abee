//go:build engine

package soak

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/tetryx/lynx-runner/tests/internal/stand"
)

// A soak without settings is as long as the tests can wait for, with this seed.
const (
	shortSoak = 8 * time.Second
	shortSeed = 12688
)

// restTime bounds the time after the last fault until everything is at rest: leases
// run out, and jobs are run again.
const restTime = 5 * time.Minute

// settings are the length and the seed that the environment asks for.
func settings(t *testing.T) (length time.Duration, seed uint64) {
	t.Helper()
	length, seed = shortSoak, shortSeed
	var err error
	if text := os.Getenv("LYNX_SOAK"); text != "" {
		length, err = time.ParseDuration(text)
		stand.Must(t, err)
		seed = uint64(time.Now().UnixNano())
	}
	if text := os.Getenv("LYNX_SOAK_SEED"); text != "" {
		seed, err = strconv.ParseUint(text, 10, 64)
		stand.Must(t, err)
	}
	return length, seed
}

func TestSoak(t *testing.T) {
	length, seed := settings(t)
	title := fmt.Sprintf("soak of %v with seed %d", length, seed)
	t.Log(title)
	s := newSite(t)
	l := newLoad(s, seed)
	ctx, cancel := context.WithCancel(t.Context())
	var loads sync.WaitGroup
	loads.Go(func() { l.run(ctx, t) })
	t.Cleanup(func() { cancel(); loads.Wait() })

	s.strikeAll(t, seed, length)
	l.stop()
	ended := time.Now()
	calm := s.rest(t, l)
	cancel()
	loads.Wait()
	if !calm {
		s.unrest(t, l)
	}
	t.Logf("at rest %.1f s after the last fault", time.Since(ended).Seconds())
	s.judge(t, l)
	for _, name := range slices.Concat(names, []string{"platform"}) {
		s.services[name].Stop(t)
	}
	left := s.leftovers(t)
	for _, thing := range left {
		t.Errorf("left: %s", thing)
	}
	s.logged(t)
	s.tally.print(title, len(left))
}

// ending is the end of a fault that has struck.
type ending struct {
	at     time.Time
	target string
	end    func(t *testing.T)
}

// strikeAll has every fault of the schedule strike and end.
func (s *site) strikeAll(t *testing.T, seed uint64, length time.Duration) {
	t.Helper()
	began := time.Now()
	var endings []ending
	var last time.Time // end of a fault, after which nobody has been seen well
	for due := schedule(seed, length); len(due) > 0 || len(endings) > 0 || time.Since(began) < length; time.Sleep(50 * time.Millisecond) {
		for len(due) > 0 && time.Since(began) >= due[0].at {
			k := due[0]
			due = due[1:]
			// To break or mend something may take longer than the schedule has it: what
			// is broken is mended before it is broken again.
			endings = slices.DeleteFunc(endings, func(e ending) bool {
				if e.target == k.target {
					e.end(t)
				}
				return e.target == k.target
			})
			t.Log(k)
			s.tally.fault(k)
			end := k.fault.begin(t, s, k)
			if end == nil {
				end = func(*testing.T) {}
			}
			endings = append(endings, ending{time.Now().Add(k.duration), k.target, end})
			last = time.Time{}
		}
		for i := 0; i < len(endings); i++ {
			if time.Now().After(endings[i].at) {
				endings[i].end(t)
				endings = append(endings[:i], endings[i+1:]...)
				i--
				last = time.Now()
			}
		}
		s.supervise(t)
		if len(endings) == 0 && !last.IsZero() && s.healthy(t, last) {
			s.tally.recovery = append(s.tally.recovery, time.Since(last))
			last = time.Time{}
		}
	}
}

// rest waits until every job has ended, every runner is well, and every file is where
// it belongs; false if that does not happen.
func (s *site) rest(t *testing.T, l *load) bool {
	t.Helper()
	began := time.Now()
	well := false
	for ; time.Since(began) < restTime; time.Sleep(50 * time.Millisecond) {
		s.supervise(t)
		if !well && s.healthy(t, began) {
			well = true
			s.tally.recovery = append(s.tally.recovery, time.Since(began))
		}
		undelivered := 0
		for _, w := range s.workers {
			undelivered += len(w.Undelivered())
		}
		if well && l.done() && undelivered == 0 {
			return true
		}
	}
	return false
}

// unrest fails the test with what has not come to rest.
func (s *site) unrest(t *testing.T, l *load) {
	t.Helper()
	for batch, n := range l.open {
		if n == 0 {
			continue
		}
		for _, r := range s.Results(t, batch) {
			if r.CompletedAt == nil {
				t.Errorf("job %s is %s, attempt %d, %d requeues", r.JobID, r.Status, r.Attempt, r.Requeues)
			}
		}
	}
	for name, w := range s.workers {
		r, err := s.Client.Runner(t.Context(), w.ID)
		t.Errorf("runner %s: %+v %v; undelivered %q", name, r, err, w.Undelivered())
	}
	t.Error("not everything has come to rest; it is judged all the same")
}
