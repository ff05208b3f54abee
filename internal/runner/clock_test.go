package runner

import (
	"testing"
	"time"

	"github.com/tetryx/lynx-runner/executor"
)

// startedAt is a handle of a job that was started at a time.
type startedAt struct {
	executor.Handle

	at time.Time
}

// Started is that time, as the engine has it: without a monotonic reading.
func (s startedAt) Started() time.Time { return s.at.Round(0) }

// A job that is taken up has as much of its time left as it has, however the host's
// clock was set while its runner was away.
func TestClockIsSetWhileTheRunnerIsAway(t *testing.T) {
	const timeout, lasted = time.Hour, 10 * time.Minute
	for name, c := range map[string]struct {
		set   time.Duration
		begun bool
		want  time.Duration
	}{
		"not at all":               {begun: true, want: timeout - lasted},
		"forward by a day":         {set: 24 * time.Hour, begun: true, want: timeout - lasted},
		"back by an hour":          {set: -time.Hour, begun: true, want: timeout - lasted},
		"by an older version":      {want: timeout - lasted},
		"the same, by two minutes": {set: 2 * time.Minute, want: timeout - lasted - 2*time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			r := &Runner{pace: defaultPace, now: func() time.Time { return time.Now().Add(c.set) }}
			j := &job{r: r, taken: &leftover{}}
			if c.begun {
				j.taken.begun = time.Now().Add(-lasted)
			}
			left := j.timeLeft(&record{spec: executor.Spec{Timeout: timeout}}, startedAt{at: time.Now().Add(-lasted)})
			if left > c.want || left < c.want-time.Minute {
				t.Errorf("%v left, want %v", left, c.want)
			}
		})
	}
}
