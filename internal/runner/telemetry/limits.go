package telemetry

import "time"

// What a client may do. The figures bound the server's memory for one job at
// about maxConnections × maxStreams × maxMessage + maxQueue.
const (
	// maxConnections is DESIGN's "connections to a socket"; one more is closed
	// at once, so that its client sees an error and not a silence.
	maxConnections = 16
	// maxStreams is per connection; HTTP/2 makes a client wait for more.
	maxStreams = 4
	// maxMessage is the size of one encoded batch in bytes, and maxValues the
	// number of its values or samples: a value can be encoded in 2 bytes but takes
	// about 100 in memory.
	maxMessage = 1 << 20
	maxValues  = 1 << 16
	// maxPublishValues is the same for a Publish, of which many may be decoded at
	// once.
	maxPublishValues = 4096
	// maxVariables, maxName and maxUnit bound what is kept about variables; the
	// latter two in bytes.
	maxVariables = 1000
	maxName      = 200
	maxUnit      = 64
	// maxQueue is what may wait for the disk, in bytes of memory.
	maxQueue = 16 << 20
	// defaultMaxLog is the size of a log in bytes, unless Config says otherwise.
	defaultMaxLog = 1 << 30
	// Flow-control windows; small, and fixed because they are set.
	streamWindow     = 64 << 10
	connectionWindow = 256 << 10
)

const (
	// stallLimit is for how long a stream is slowed while storage is behind,
	// before samples are dropped, and a Publish before it is answered without
	// being stored; drainStallLimit is the same once the job has
	// ended, within endOfStreams.
	stallLimit      = 2 * time.Second
	drainStallLimit = 100 * time.Millisecond
	// endOfStreams is how long Finish waits for streams to end.
	endOfStreams = time.Second
	// ackInterval is the shortest time between two acknowledgements on a stream.
	ackInterval = 20 * time.Millisecond
	// handshakeTimeout is for a client that connects and says nothing.
	handshakeTimeout = 20 * time.Second
)
