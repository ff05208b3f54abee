package telemetry

import (
	"context"
	"crypto/rand"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// maxSocketPath is what Linux can bind, less the terminating zero.
const maxSocketPath = 107

// listener accepts an attempt's connections and keeps at most maxConnections of
// them.
type listener struct {
	*net.UnixListener
	connections *connections
	log         *slog.Logger
	// marker is the address of the connection that drain makes, and marked is
	// closed when it is accepted.
	marker string
	marked chan struct{}
	once   sync.Once
	warn   sync.Once
}

// listen binds a unix socket that every user may connect to; who can reach it is
// for the directory to say. A socket that an earlier process left is replaced.
func listen(path string, log *slog.Logger, now func() time.Time) (*listener, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("telemetry socket %s: the path has %d bytes, of which Linux allows %d; choose a shorter runtime directory", path, len(path), maxSocketPath)
	}
	if info, err := os.Lstat(path); err == nil {
		if info.Mode().Type() != fs.ModeSocket {
			return nil, fmt.Errorf("telemetry socket %s: there is a file that is not a socket; remove it", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("removing the telemetry socket of an earlier process: %w", err)
		}
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("telemetry socket: %w", err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("telemetry socket: %w", err)
	}
	return &listener{
		UnixListener: l, connections: newConnections(log, now), log: log,
		marker: "@lynx-telemetry-" + rand.Text(), marked: make(chan struct{}),
	}, nil
}

// Accept returns the next connection that there is room for.
func (l *listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.UnixListener.Accept()
		if err != nil {
			return nil, err
		}
		if raw.RemoteAddr().String() == l.marker {
			_ = raw.Close()
			l.once.Do(func() { close(l.marked) })
			continue
		}
		l.connections.slow(&l.connections.accepted)
		c := newConn(raw, l.connections)
		if l.connections.add(c) {
			return c, nil
		}
		_ = raw.Close()
		l.warn.Do(func() {
			l.log.Warn("telemetry: a connection was refused, because the job has too many", "limit", maxConnections)
		})
	}
}

// drain returns when every connection that was made before the call is accepted
// and being read: a job may connect, send and end faster than we accept, and
// grpc-go, once it is told to stop, closes what it has accepted and not begun.
// Connections are accepted in the order in which they were made, so one of our
// own marks the end.
func (l *listener) drain(ctx context.Context) error {
	l.connections.hurry()
	local := &net.UnixAddr{Name: l.marker, Net: "unix"}
	dialer := net.Dialer{LocalAddr: local}
	c, err := dialer.DialContext(ctx, "unix", l.Addr().String())
	if err != nil {
		return fmt.Errorf("marking the end of the telemetry connections: %w", err)
	}
	defer func() { _ = c.Close() }()
	select {
	case <-l.marked:
		return l.connections.awaitReading(ctx)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// connections are those that are open.
type connections struct {
	log *slog.Logger
	now func() time.Time
	// accepted and resets are the paces of all of them together; slowed counts how
	// often one had to wait.
	accepted, resets pace
	slowed           atomic.Int64
	// hurried is closed when the job has ended and nobody is slowed any more.
	hurried   chan struct{}
	hurryOnce sync.Once

	mu      sync.Mutex
	all     map[*conn]struct{}
	closing bool
}

func newConnections(log *slog.Logger, now func() time.Time) *connections {
	return &connections{
		log: log, now: now,
		accepted: pace{burst: connectionBurst, interval: connectionInterval},
		resets:   pace{burst: resetBurst, interval: resetInterval},
		hurried:  make(chan struct{}), all: make(map[*conn]struct{}),
	}
}

// slow waits as long as a pace asks for.
func (cs *connections) slow(p *pace) {
	d := p.delay(cs.now())
	if d == 0 {
		return
	}
	if cs.slowed.Add(1) == 1 {
		cs.log.Warn("telemetry: the job connects or cancels calls again and again, and is slowed down")
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-cs.hurried:
	}
}

// hurry ends every delay, for good.
func (cs *connections) hurry() { cs.hurryOnce.Do(func() { close(cs.hurried) }) }

func (cs *connections) add(c *conn) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.closing || len(cs.all) >= maxConnections {
		return false
	}
	cs.all[c] = struct{}{}
	return true
}

func (cs *connections) remove(c *conn) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	delete(cs.all, c)
}

// awaitReading waits until every connection is read or closed.
func (cs *connections) awaitReading(ctx context.Context) error {
	for _, c := range cs.list() {
		select {
		case <-c.begun:
		case <-c.closed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (cs *connections) list() []*conn {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return slices.Collect(maps.Keys(cs.all))
}

// closeAll closes what is left, and lets nothing in any more.
func (cs *connections) closeAll() {
	cs.hurry()
	cs.mu.Lock()
	cs.closing = true
	cs.mu.Unlock()
	for _, c := range cs.list() {
		_ = c.Close()
	}
}
