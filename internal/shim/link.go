package shim

import (
	"context"
	"net"
	"sync"
	"time"
)

const (
	// connectLimit is how long the job's start waits for the runner.
	connectLimit = 2 * time.Second
	// ackLimit is how long the end waits for the acknowledgement, in which the
	// runner reads what goes with the cgroup.
	ackLimit = 100 * time.Millisecond
	// redialFirst and redialLast bound the pause before the next dial; a
	// connection that lived as long as the last one starts over.
	redialFirst, redialLast = 50 * time.Millisecond, time.Second
)

// link is the shim's end of the control connection. It dials the runner, again
// whenever the connection breaks, and tells it all it knows each time.
type link struct {
	socket string
	spare  *reserve
	// connected is closed at the first connection, acked by an acknowledgement;
	// kills receives the runner's order to kill.
	connected, acked chan struct{}
	kills            chan struct{}
	// orders receives the runner's word to run the next job.
	orders chan struct{}
	// wake makes the next dial come at once.
	wake chan struct{}

	// patience is how long the runner may be away; 0 is for ever. When it has been
	// for longer, lost gets an element at each further look.
	patience time.Duration
	lost     chan struct{}

	mu      sync.Mutex
	conn    net.Conn
	started bool
	report  *ExitReport
}

// newLink returns a link that dials socket once run is called; "" is no runner.
func newLink(socket string, spare *reserve) *link {
	return &link{
		socket: socket, spare: spare,
		connected: make(chan struct{}), acked: make(chan struct{}),
		kills: make(chan struct{}, 1), orders: make(chan struct{}, 1), wake: make(chan struct{}, 1), lost: make(chan struct{}, 1),
	}
}

// run keeps the link up until ctx ends.
func (l *link) run(ctx context.Context) {
	pause := redialFirst
	var heard time.Time // the end of the last connection that the runner let in
	for ctx.Err() == nil {
		if conn, err := l.dial(ctx); err == nil {
			since := time.Now()
			if l.serve(ctx, conn) {
				heard = time.Now()
			}
			if time.Since(since) >= redialLast {
				pause = redialFirst
			}
		}
		l.miss(heard)
		select {
		case <-ctx.Done():
		case <-l.wake:
		case <-time.After(pause):
		}
		pause = min(2*pause, redialLast)
	}
}

// miss tells where the runner, which was heard until then, has been away for longer
// than it may be.
func (l *link) miss(heard time.Time) {
	if l.patience == 0 || heard.IsZero() || time.Since(heard) < l.patience {
		return
	}
	select {
	case l.lost <- struct{}{}:
	default:
	}
}

func (l *link) dial(ctx context.Context) (conn net.Conn, err error) {
	dialer := net.Dialer{Timeout: redialLast}
	err = l.spare.with(func() (err error) {
		conn, err = dialer.DialContext(ctx, "unix", l.socket)
		return err
	})
	return conn, err
}

// serve introduces the shim and takes the runner's messages until the connection
// breaks. It reports whether the runner let it in.
func (l *link) serve(ctx context.Context, conn net.Conn) (greeted bool) {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	defer l.drop(conn)
	if !l.introduce(conn) {
		return false
	}
	lines := NewLineReader(conn)
	for {
		m, err := ReadMessage(lines)
		if err != nil {
			return greeted
		}
		switch m.Type {
		case MessageHello:
			greeted = true
		case MessageKill:
			select {
			case l.kills <- struct{}{}:
			default:
			}
		case MessageJob:
			select {
			case l.orders <- struct{}{}:
			default:
			}
		case MessageAck:
			l.acknowledge()
		}
	}
}

func (l *link) introduce(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conn = conn
	ok := l.send(Message{Type: MessageHello})
	if l.started {
		ok = ok && l.send(Message{Type: MessageStarted})
	}
	if l.report != nil {
		ok = ok && l.send(Message{Type: MessageExit, Exit: l.report})
	}
	select {
	case <-l.connected:
	default:
		close(l.connected)
	}
	return ok
}

func (l *link) drop(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = conn.Close()
	l.conn = nil
	l.spare.refill()
}

// acknowledge notes an acknowledgement, if there is something to acknowledge.
func (l *link) acknowledge() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.report == nil {
		return
	}
	select {
	case <-l.acked:
	default:
		close(l.acked)
	}
}

// send writes to the connection there is; l.mu is held. A runner that does not
// read must not hold up the job's end.
func (l *link) send(m Message) bool {
	if l.conn == nil {
		return false
	}
	_ = l.conn.SetWriteDeadline(time.Now().Add(ackLimit))
	if err := WriteMessage(l.conn, m); err != nil {
		_ = l.conn.Close() // its reader notices, and dials again
		return false
	}
	return true
}

// connect waits for the first connection, at most limit.
func (l *link) connect(limit time.Duration) {
	select {
	case <-l.connected:
	case <-time.After(limit):
	}
}

// tell says something of a fork server's job. It is said once: a runner whose
// connection breaks gives the container up.
func (l *link) tell(m Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.send(m)
}

// start tells that the job's main process runs.
func (l *link) start() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.started = true
	l.send(Message{Type: MessageStarted})
}

// exit tells how the main process ended, and waits for the acknowledgement, at
// most limit. Without a connection it has one dialled at once.
func (l *link) exit(report ExitReport, limit time.Duration) {
	if l.socket == "" {
		return
	}
	l.mu.Lock()
	l.report = &report
	if !l.send(Message{Type: MessageExit, Exit: &report}) {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
	l.mu.Unlock()
	select {
	case <-l.acked:
	case <-time.After(limit):
	}
}
