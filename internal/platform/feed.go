package platform

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"sync"
	"time"
)

// feedLength is how many changes the feed remembers: more than a client that
// reads misses at full load, and a few hundred kilobytes.
const feedLength = 8192

// ErrMissed says that the feed has forgotten some of the changes that were asked
// for, or never knew them.
var ErrMissed = errors.New("some changes were missed")

// Change names what changed: a batch, one of its jobs, or a runner. What it
// changed to is to be read from the platform.
type Change struct {
	// BatchID is empty for a change of a runner.
	BatchID string
	// JobID is empty for a change of the batch itself.
	JobID string
	// ManyJobs says that more jobs of the batch changed than are named one by one.
	ManyJobs bool
	RunnerID string
}

// Position is a place in the feed of changes. It is meaningful for as long as
// the store is open.
type Position struct {
	// Epoch is the store's.
	Epoch uint64
	// Number counts the changes.
	Number uint64
}

// String gives "EPOCH-NUMBER".
func (p Position) String() string {
	return strconv.FormatUint(p.Epoch, 10) + "-" + strconv.FormatUint(p.Number, 10)
}

// ParsePosition reads what String gives. *InvalidError.
func ParsePosition(s string) (Position, error) {
	before, after, _ := strings.Cut(s, "-")
	epoch, err1 := strconv.ParseUint(before, 10, 64)
	number, err2 := strconv.ParseUint(after, 10, 64)
	p := Position{epoch, number}
	if err1 != nil || err2 != nil || p.String() != s {
		return Position{}, invalid("last_event_id", "%q is not the id of an event", s)
	}
	return p, nil
}

// feed remembers the last changes. All who follow it read the same memory, each
// at a place of its own, so that one who is slow costs nothing and only misses
// what was forgotten meanwhile.
type feed struct {
	mu sync.Mutex
	// ring has change number n at index n % feedLength; it grows up to that length.
	ring []Change
	// last is the number of the latest change, 0 if there was none.
	last uint64
	// next is closed by the next change; nil if nobody waits for it.
	next chan struct{}
}

func (f *feed) publish(changes []Change) {
	if len(changes) == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range changes {
		f.last++
		if len(f.ring) < feedLength {
			f.ring = append(f.ring, c)
		} else {
			f.ring[(f.last-1)%feedLength] = c
		}
	}
	if f.next != nil {
		close(f.next)
		f.next = nil
	}
}

// since returns the changes behind a number, and a channel that the next change
// closes if there are none.
func (f *feed) since(number uint64) ([]Change, <-chan struct{}, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if number > f.last || f.last-number > uint64(len(f.ring)) {
		return nil, nil, ErrMissed
	}
	if number < f.last {
		changes := make([]Change, 0, f.last-number)
		for n := number; n < f.last; n++ {
			changes = append(changes, f.ring[n%feedLength])
		}
		return changes, nil, nil
	}
	if f.next == nil {
		f.next = make(chan struct{})
	}
	return nil, f.next, nil
}

func (f *feed) end() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}

// Position is the end of the feed: whoever takes it before reading records
// misses nothing by following the feed from there.
func (s *Service) Position() Position { return Position{s.epoch, s.feed.end()} }

// Changes returns what changed behind a position, the oldest first, and the
// position behind that; a record may be named more than once. It waits until
// there is something, and returns nothing when ctx ends first. ErrMissed for a
// position that the feed does not reach back to.
func (s *Service) Changes(ctx context.Context, after Position) ([]Change, Position, error) {
	for {
		if after.Epoch != s.epoch {
			return nil, after, fmt.Errorf("position %s: %w", after, ErrMissed)
		}
		changes, next, err := s.feed.since(after.Number)
		if err != nil {
			return nil, after, fmt.Errorf("position %s: %w", after, err)
		}
		if len(changes) > 0 {
			return changes, Position{s.epoch, after.Number + uint64(len(changes))}, nil
		}
		select {
		case <-ctx.Done():
			return nil, after, nil
		case <-next:
		}
	}
}

// UpdateJob implements Tx and notes the change.
func (u *unit) UpdateJob(j Job) error {
	u.changes = append(u.changes, Change{BatchID: j.BatchID, JobID: j.ID})
	return u.Tx.UpdateJob(j)
}

// UpdateBatch implements Tx and notes the change.
func (u *unit) UpdateBatch(b Batch) error {
	u.changes = append(u.changes, Change{BatchID: b.ID})
	return u.Tx.UpdateBatch(b)
}

// InsertBatch implements Tx and notes the change.
func (u *unit) InsertBatch(b *Batch, jobs iter.Seq[Job]) error {
	u.changes = append(u.changes, Change{BatchID: b.ID})
	return u.Tx.InsertBatch(b, jobs)
}

// CancelPending implements Tx and notes the change.
func (u *unit) CancelPending(batchID string, at time.Time, message string) (int, error) {
	u.changes = append(u.changes, Change{BatchID: batchID, ManyJobs: true})
	return u.Tx.CancelPending(batchID, at, message)
}

// PutRunner implements Tx and notes the change.
func (u *unit) PutRunner(r Runner) error {
	u.changes = append(u.changes, Change{RunnerID: r.ID})
	return u.Tx.PutRunner(r)
}
