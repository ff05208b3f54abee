// Package live carries what running attempts print and measure from the runners
// that have them to those who watch, as long as somebody watches. It keeps
// nothing: what nobody watches stays with the runner, and what came before a
// watcher is asked for anew.
//
// A [Hub] has two sides. The runners' side is a [Conn] for each runner that is
// connected: it says what is watched ([Conn.Next]) and takes what the runner sends
// of it. The watchers' side is [Hub.Watch].
//
// # Several watchers of one attempt
//
// A runner sends one stream per attempt, whoever watches. For a watcher that comes
// later the hub asks the runner to stop and to begin anew. The runner answers a
// request for nothing with an end, and what follows that is from the
// attempt's beginning: a new generation of the stream, of which the late watcher
// gets all. Those who watched before do not get again what they had: log bytes are
// told by their offsets, samples by their number.
//
// # Memory
//
// What waits for a watcher is bounded (maxQueue); a watcher that is slower than
// the attempt loses items and goes on with later ones: a gap in the offsets of a
// log, a growing [TelemetryChunk.Dropped]. It never slows the runner or another
// watcher. The number of watchers is bounded too (maxWatchers).
package live

import (
	"errors"

	telemetryv1 "github.com/tetryx/lynx-runner/proto/lynx/telemetry/v1"
)

// ErrNotConnected says that the runner has no connection to watch through: it is
// offline, or too old to have one.
var ErrNotConnected = errors.New("the runner is not connected for live output")

// ErrTooManyWatchers says that the hub has as many watchers as it takes.
var ErrTooManyWatchers = errors.New("too many watchers of live output; close some")

// What says which streams of an attempt are wanted.
type What struct{ Logs, Telemetry bool }

func (w What) or(v What) What {
	return What{Logs: w.Logs || v.Logs, Telemetry: w.Telemetry || v.Telemetry}
}

// Item is a [LogChunk] or a [TelemetryChunk]. It is shared between watchers:
// never change it.
type Item interface{ size() int }

// LogChunk is a piece of what an attempt printed.
type LogChunk struct {
	// Stream is "stdout" or "stderr".
	Stream string
	// Offset is where Data begins in all that the attempt printed on the stream.
	// It grows from chunk to chunk; a gap is what the runner cut or what was lost
	// on the way.
	Offset int64
	Data   []byte
}

func (c LogChunk) size() int { return len(c.Data) + overhead }

// from is the part of the chunk that is not before an offset; false if nothing is.
func (c LogChunk) from(offset int64) (LogChunk, bool) {
	if skip := offset - c.Offset; skip > 0 {
		if skip >= int64(len(c.Data)) {
			return c, false
		}
		c.Offset, c.Data = offset, c.Data[skip:]
	}
	return c, len(c.Data) > 0
}

// TelemetryChunk is some samples of an attempt, in order.
type TelemetryChunk struct {
	Samples []*telemetryv1.Sample
	// Dropped is how many samples this watcher did not get up to here, in all.
	Dropped uint64
}

func (c TelemetryChunk) size() int {
	n := overhead
	for _, s := range c.Samples {
		n += overhead
		for _, v := range s.GetValues() {
			n += overhead + len(v.GetName()) + len(v.GetUnit())
		}
	}
	return n
}

// overhead is about what a record in memory takes beside its texts.
const overhead = 64
