package telemetry

import (
	"context"
	"time"
)

// This file is the queue between the intake and the writer: bounded in memory,
// never blocking the intake, slowing the streams instead.

// push queues an entry. One that writes no samples joins the entry before it if
// that writes none either, so that dropping takes no memory.
func (in *intake) push(e entry) {
	if n := len(in.queue); n > 0 && e.batch == nil && e.verdict == nil && in.queue[n-1].batch == nil {
		in.queue[n-1].counters = e.counters
		return
	}
	in.queue = append(in.queue, e)
	in.taken++
	in.queued += e.cost
	select {
	case in.wake <- struct{}{}:
	default:
	}
}

// waitForSpace slows a stream while the queue is full: until there is room, or
// until it has been full for the stall limit, from when on samples are dropped
// until there is room.
func (in *intake) waitForSpace(ctx context.Context) {
	var timer *time.Timer
	var timerDraining bool
	defer func() {
		if timer != nil {
			timer.Stop()
		}
	}()
	for {
		in.mu.Lock()
		full, draining, space := in.queued > maxQueue && !in.stalled, in.draining, in.space
		in.mu.Unlock()
		if !full {
			return
		}
		if timer == nil {
			timer, timerDraining = time.NewTimer(limitOfStall(draining)), draining
		} else if timerDraining != draining {
			timer.Reset(limitOfStall(draining))
			timerDraining = draining
		}
		select {
		case <-space:
		case <-ctx.Done():
			return
		case <-timer.C:
			in.mu.Lock()
			in.stalled = in.queued > maxQueue
			in.changed()
			in.mu.Unlock()
		}
	}
}

// waitForWrite waits until an entry is in the log, or counted as dropped. It gives up
// when ctx ends, and while storage is behind: after the stall limit, and then at once
// until storage is back.
func (in *intake) waitForWrite(ctx context.Context, entry uint64) {
	in.mu.Lock()
	limit := limitOfStall(in.draining)
	in.mu.Unlock()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		in.mu.Lock()
		over, commit := in.through >= entry || in.behind || in.stalled, in.commit
		in.mu.Unlock()
		if over {
			return
		}
		select {
		case <-commit:
		case <-ctx.Done():
			return
		case <-timer.C:
			in.mu.Lock()
			in.behind = in.through < entry
			in.mu.Unlock()
		}
	}
}

func limitOfStall(draining bool) time.Duration {
	if draining {
		return drainStallLimit
	}
	return stallLimit
}

// changed wakes everybody who waits for space; the mutex is held.
func (in *intake) changed() {
	close(in.space)
	in.space = make(chan struct{})
}

// drain says that the job has ended.
func (in *intake) drain() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.draining = true
	in.changed()
}

// close says that nothing will come any more; the writer ends when it has
// written what is queued.
func (in *intake) close() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.closed = true
	select {
	case in.wake <- struct{}{}:
	default:
	}
}

// next takes everything that is queued, waiting until there is something. It
// returns nothing once the intake is closed and empty.
func (in *intake) next() []entry {
	for {
		in.mu.Lock()
		taken, closed := in.queue, in.closed
		in.queue = nil
		in.mu.Unlock()
		if len(taken) > 0 || closed {
			return taken
		}
		<-in.wake
	}
}

// done says that the writer is through with so many entries, which cost so much in
// all, would take pending bytes of the log and reach up to sequence; the log now has
// size bytes.
func (in *intake) done(entries, cost int, pending, size int64, sequence uint64) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.through += uint64(entries)
	in.behind = false
	in.queued -= cost
	in.logPending -= pending
	in.logSize = size
	if in.queued <= maxQueue {
		in.stalled = false
		in.changed()
	}
	in.written = max(in.written, sequence)
	close(in.commit)
	in.commit = make(chan struct{})
}

// acknowledged is the sequence number up to which everything is written or
// counted, and a channel that is closed when it changes.
func (in *intake) acknowledged() (sequence uint64, changed <-chan struct{}) {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.written, in.commit
}

// lastCounters are the counters once nothing comes any more.
func (in *intake) lastCounters() counters {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.counters
}
