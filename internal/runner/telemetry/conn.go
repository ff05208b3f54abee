package telemetry

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Where a client is gone, a gRPC server cancels its streams, and a handler that
// still has received messages to read gets either the next message or the
// cancellation, whichever a select picks. For telemetry that would make the
// verdict on a job that breached and crashed a matter of chance. A conn turns
// the ends that come from the client into the one that gRPC delivers in order,
// behind all data: the end of the stream (END_STREAM).
//
//   - When reading fails, whatever the reason, every stream that the client left
//     open gets an empty DATA frame with END_STREAM. The end of the connection
//     itself is passed on when the handlers have read all.
//   - RST_STREAM, which clients send when they cancel a call or close their
//     channel, becomes the same frame.
//   - Writing to a client that is gone succeeds, because grpc-go gives up a
//     connection that it can't write its greeting to, unread.
//
// For that it looks at the headers of HTTP/2 frames (RFC 9113, sections 4.1 and
// 6) and hands on whole frames only. It changes nothing else; what is not HTTP/2
// passes through, for gRPC to refuse.
type conn struct {
	net.Conn
	registry *connections
	r        *bufio.Reader
	// next makes the next bytes for the transport, in out.
	next func() error
	out  []byte
	buf  []byte
	// open has the ids of the streams that the client has not ended.
	open map[uint32]struct{}
	err  error

	// begun is closed when the transport has begun to read.
	begun, closed        chan struct{}
	beginOnce, closeOnce sync.Once

	mu sync.Mutex
	// opened counts the streams that the client opened, started those that
	// reached a handler, and read those whose handler has read all.
	opened, started, read int
	changed               chan struct{}
}

// HTTP/2's numbers.
const (
	http2Preface   = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	http2Header    = 9
	http2MaxFrame  = 16 << 10
	frameData      = 0x0
	frameHeaders   = 0x1
	frameRSTStream = 0x3
	flagEndStream  = 0x1
)

// maxOpen bounds the streams of a connection that are neither ended nor refused
// in the client's eyes; a decent client has maxStreams at most.
const maxOpen = 1024

// startGrace is how long the end of a connection waits for streams that no
// handler was started for, because gRPC refused them.
const startGrace = time.Second

func newConn(c net.Conn, registry *connections) *conn {
	out := &conn{
		Conn: c, registry: registry, r: bufio.NewReaderSize(c, 32<<10),
		open: make(map[uint32]struct{}), begun: make(chan struct{}), closed: make(chan struct{}), changed: make(chan struct{}),
	}
	out.next = out.preface
	return out
}

// Read hands on the next bytes.
func (c *conn) Read(p []byte) (int, error) {
	c.beginOnce.Do(func() { close(c.begun) })
	for len(c.out) == 0 {
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.out)
	c.out = c.out[n:]
	return n, nil
}

// preface is the first thing that a client sends.
func (c *conn) preface() error {
	c.buf = make([]byte, http2Header+http2MaxFrame)
	b := c.buf[:len(http2Preface)]
	if _, err := io.ReadFull(c.r, b); err != nil {
		return err
	}
	c.out, c.next = b, c.frame
	if string(b) != http2Preface {
		c.next = c.raw
	}
	return nil
}

// raw hands bytes on as they are.
func (c *conn) raw() error {
	n, err := c.r.Read(c.buf)
	c.out = c.buf[:n]
	if n > 0 {
		return nil
	}
	return err
}

// frame hands on one frame.
func (c *conn) frame() error {
	header := c.buf[:http2Header]
	if _, err := io.ReadFull(c.r, header); err != nil {
		return c.end(err)
	}
	length := int(header[0])<<16 | int(header[1])<<8 | int(header[2])
	if length > http2MaxFrame {
		c.out, c.next = header, c.raw
		return nil
	}
	whole := c.buf[:http2Header+length]
	if _, err := io.ReadFull(c.r, whole[http2Header:]); err != nil {
		return c.end(err)
	}
	c.out = whole
	return c.observe(header[3], header[4]&flagEndStream != 0, binary.BigEndian.Uint32(header[5:])&(1<<31-1))
}

// observe keeps track of the streams, and replaces RST_STREAM.
func (c *conn) observe(kind byte, last bool, stream uint32) error {
	_, open := c.open[stream]
	switch kind {
	case frameHeaders:
		if !open && stream%2 == 1 {
			c.count(&c.opened)
			c.open[stream] = struct{}{}
		}
	case frameData:
	case frameRSTStream:
		c.registry.slow(&c.registry.resets)
		c.out = nil
		if last = open; open {
			c.out = appendEndOfStream(c.buf[:0], stream)
		}
	default:
		return nil
	}
	if last {
		delete(c.open, stream)
	}
	if len(c.open) > maxOpen {
		return errors.New("telemetry: a client holds too many streams open")
	}
	return nil
}

// end ends the streams of a client that is gone.
func (c *conn) end(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return err
	}
	c.err, c.next = err, c.ended
	c.out = c.buf[:0]
	for _, stream := range slices.Sorted(maps.Keys(c.open)) {
		c.out = appendEndOfStream(c.out, stream)
	}
	return nil
}

// ended passes on the end of the connection, once the handlers have read what
// came before it.
func (c *conn) ended() error {
	grace := time.NewTimer(startGrace)
	defer grace.Stop()
	expired := false
	for {
		c.mu.Lock()
		done := c.read >= c.started && (c.started >= c.opened || expired)
		changed := c.changed
		c.mu.Unlock()
		if done {
			return c.err
		}
		select {
		case <-changed:
		case <-grace.C:
			expired = true
		case <-c.closed:
			return net.ErrClosed
		}
	}
}

// appendEndOfStream appends an empty DATA frame with END_STREAM.
func appendEndOfStream(b []byte, stream uint32) []byte {
	b = append(b, 0, 0, 0, frameData, flagEndStream)
	return binary.BigEndian.AppendUint32(b, stream)
}

// handlerStarted and handlerRead are called for each stream, in this order.
func (c *conn) handlerStarted() { c.count(&c.started) }
func (c *conn) handlerRead()    { c.count(&c.read) }

func (c *conn) count(n *int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*n++
	close(c.changed)
	c.changed = make(chan struct{})
}

// Write pretends success towards a client that is gone.
func (c *conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		return len(p), nil
	}
	return n, err
}

// Close closes the connection and unblocks everything.
func (c *conn) Close() error {
	err := net.ErrClosed
	c.closeOnce.Do(func() {
		close(c.closed)
		err = c.Conn.Close()
		c.registry.remove(c)
	})
	return err
}

// RemoteAddr leads from a handler's peer to its connection.
func (c *conn) RemoteAddr() net.Addr { return connAddr{Addr: c.Conn.RemoteAddr(), conn: c} }

type connAddr struct {
	net.Addr
	conn *conn
}
