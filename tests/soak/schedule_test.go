//go:build engine

package soak

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// strike is one fault of the schedule.
type strike struct {
	at, duration time.Duration
	fault        *fault
	target       string
	// pick chooses among what there is when the fault strikes.
	pick uint64
}

func (s strike) String() string {
	return fmt.Sprintf("%6.1f s  %s of %s, for %.1f s", s.at.Seconds(), s.fault.name, s.target, s.duration.Seconds())
}

// gap is the mean time between two faults.
const gap = 2 * time.Second

// longFaults is the length of a soak from which on some faults last for longer than
// a lease: nothing ends before that.
const longFaults = 3 * time.Minute

// schedule are the faults of a soak of that length, in order. What is broken already
// is not broken again before it was mended. A longer soak of the same seed begins
// with the same faults, as long as both are on the same side of [longFaults].
func schedule(seed uint64, length time.Duration) (list []strike) {
	r := rand.New(rand.NewPCG(seed, 0))
	busy := map[string]time.Duration{}
	for at := gap / 2; ; at += time.Duration(r.ExpFloat64() * float64(gap)) {
		f := &faults[r.IntN(len(faults))]
		s := strike{at: at, fault: f, target: f.targets[r.IntN(len(f.targets))], pick: r.Uint64()}
		s.duration = time.Second + time.Duration(r.ExpFloat64()*float64(4*time.Second))
		if r.IntN(12) == 0 && length >= longFaults && f.mayBeLong {
			s.duration += time.Minute
		}
		switch {
		case s.at > length:
			return list
		case busy[s.target] > s.at:
		default:
			s.duration = min(s.duration, max(length-s.at, time.Second))
			busy[s.target] = s.at + s.duration + time.Second
			list = append(list, s)
		}
	}
}

// TestSchedule: the same seed has the same faults, nothing is broken that is broken
// already, and every fault comes at some time.
func TestSchedule(t *testing.T) {
	const length = 30 * time.Minute
	list := schedule(1, length)
	if other := schedule(1, length); fmt.Sprint(list) != fmt.Sprint(other) {
		t.Error("the same seed has other faults")
	}
	if fmt.Sprint(list) == fmt.Sprint(schedule(2, length)) {
		t.Error("another seed has the same faults")
	}
	until, seen := map[string]time.Duration{}, map[*fault]bool{}
	for _, k := range list {
		if k.at < until[k.target] || k.at+k.duration > length+time.Second {
			t.Errorf("%s, which is broken until %v", k, until[k.target])
		}
		until[k.target], seen[k.fault] = k.at+k.duration, true
	}
	if len(seen) != len(faults) {
		t.Errorf("%d kinds of fault of %d", len(seen), len(faults))
	}
}
