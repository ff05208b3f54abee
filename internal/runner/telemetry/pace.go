package telemetry

import (
	"sync"
	"time"
)

// A connection, and a call that is cancelled, cost the job little and the runner
// much, beyond every limit of the job's. A job that makes far more of them than
// any client does is slowed down; nothing is refused.
const (
	connectionBurst, connectionInterval = 64, 5 * time.Millisecond
	resetBurst, resetInterval           = 1000, 2 * time.Millisecond
)

// pace spreads what comes too fast: after a burst, one in an interval (the
// generic cell rate algorithm of ITU-T I.371).
type pace struct {
	burst    int
	interval time.Duration

	mu sync.Mutex
	// due is when the next one would come if they came evenly.
	due time.Time
}

// delay is how long the one that comes now has to wait.
func (p *pace) delay(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if earliest := now.Add(-time.Duration(p.burst) * p.interval); p.due.Before(earliest) {
		p.due = earliest
	}
	p.due = p.due.Add(p.interval)
	return max(0, p.due.Sub(now))
}
