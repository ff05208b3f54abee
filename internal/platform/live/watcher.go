package live

import (
	"context"

	telemetryv1 "github.com/tetryx/lynx-runner/proto/lynx/telemetry/v1"
)

// maxQueue bounds what waits for one watcher, in bytes; a single item may be
// larger.
const maxQueue = 1 << 20

// watcher is one subscription. Its connection's lock guards it: but for the
// channels, whoever calls a method other than pump holds it.
type watcher struct {
	conn *Conn
	what What
	// generation is the first of the stream that this watcher gets anything of.
	generation int
	// offsets has where each log goes on; sample is the number of the next one.
	offsets map[string]int64
	sample  uint64
	dropped uint64

	queue    []Item
	bytes    int
	finished bool
	// signal has an element when the queue has one or the watcher is finished.
	signal chan struct{}
	out    chan Item
}

// log takes a piece of a log, or what is new of it.
func (w *watcher) log(chunk LogChunk) {
	chunk, ok := chunk.from(w.offsets[chunk.Stream])
	if !ok {
		return
	}
	w.offsets[chunk.Stream] = chunk.Offset + int64(len(chunk.Data))
	w.push(chunk) // one that is lost shows as a gap
}

// telemetry takes samples, the first of them with a number, or what is new of
// them.
func (w *watcher) telemetry(first uint64, samples []*telemetryv1.Sample) {
	if w.sample > first {
		skip := min(w.sample-first, uint64(len(samples)))
		first, samples = first+skip, samples[skip:]
	}
	if len(samples) == 0 {
		return
	}
	w.dropped += first - w.sample
	w.sample = first + uint64(len(samples))
	if !w.push(TelemetryChunk{Samples: samples, Dropped: w.dropped}) {
		w.dropped += uint64(len(samples))
	}
}

// push queues an item, or loses it if there are too many.
func (w *watcher) push(i Item) bool {
	n := i.size()
	if w.finished || w.bytes > 0 && w.bytes+n > maxQueue {
		return false
	}
	w.queue = append(w.queue, i)
	w.bytes += n
	w.tell()
	return true
}

// finish says that nothing more comes.
func (w *watcher) finish() {
	w.finished = true
	w.tell()
}

func (w *watcher) tell() {
	select {
	case w.signal <- struct{}{}:
	default: // it has one
	}
}

// pump moves the queue to the channel until the watcher is finished and all is
// delivered, or ctx ends.
func (w *watcher) pump(ctx context.Context) {
	for {
		item, finished := w.pop()
		switch {
		case item != nil:
			select {
			case w.out <- item:
			case <-ctx.Done():
				return
			}
		case finished:
			return
		default:
			select {
			case <-w.signal:
			case <-ctx.Done():
				return
			}
		}
	}
}

// pop takes the first item off the queue; nil if there is none.
func (w *watcher) pop() (item Item, finished bool) {
	w.conn.mu.Lock()
	defer w.conn.mu.Unlock()
	if len(w.queue) == 0 {
		return nil, w.finished
	}
	item, w.queue[0] = w.queue[0], nil // or the array would keep it
	w.queue = w.queue[1:]
	w.bytes -= item.size()
	return item, false
}
