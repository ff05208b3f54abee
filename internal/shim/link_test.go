package shim

import (
	"bufio"
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"
)

// far is the runner's end of a link under test.
type far struct {
	t        *testing.T
	listener *net.UnixListener
	conn     net.Conn
	lines    *bufio.Reader
}

func newFar(t *testing.T, path string) *far {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return &far{t: t, listener: l}
}

func (f *far) accept() {
	f.t.Helper()
	conn, err := f.listener.Accept()
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = conn.Close() })
	f.conn, f.lines = conn, NewLineReader(conn)
	f.expect(MessageHello)
}

func (f *far) expect(kind string) Message {
	f.t.Helper()
	m, err := ReadMessage(f.lines)
	if err != nil || m.Type != kind {
		f.t.Fatalf("message %+v, %v; want %q", m, err, kind)
	}
	return m
}

func (f *far) send(kind string) {
	f.t.Helper()
	if err := WriteMessage(f.conn, Message{Type: kind}); err != nil {
		f.t.Fatal(err)
	}
}

// startLink runs a link to a socket until the test ends.
func startLink(t *testing.T, socket string) *link {
	t.Helper()
	l := newLink(socket, new(reserve))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
	return l
}

func exitInBackground(l *link, report ExitReport, limit time.Duration) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.exit(report, limit)
	}()
	return done
}

func TestExitWaitsForItsAcknowledgement(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	f := newFar(t, socket)
	l := startLink(t, socket)
	f.accept()
	f.send(MessageAck) // of nothing yet
	f.send(MessageKill)
	<-l.kills // so the link has read the acknowledgement
	done := exitInBackground(l, ExitReport{Code: 3}, time.Hour)
	if got := f.expect(MessageExit).Exit; got.Code != 3 {
		t.Errorf("report %+v", got)
	}
	select {
	case <-done:
		t.Fatal("it did not wait")
	default:
	}
	f.send(MessageAck)
	<-done
}

func TestExitGivesUpAfterItsLimit(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	f := newFar(t, socket)
	l := startLink(t, socket)
	f.accept()
	l.exit(ExitReport{}, time.Nanosecond)
	f.expect(MessageExit)
}

// A connection that breaks before the acknowledgement costs nothing: the next one
// gets all that was said.
func TestExitIsRepeatedOnTheNextConnection(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	f := newFar(t, socket)
	l := startLink(t, socket)
	f.accept()
	l.start()
	f.expect(MessageStarted)
	done := exitInBackground(l, ExitReport{Code: 3}, time.Hour)
	f.expect(MessageExit)
	for range 2 {
		_ = f.conn.Close()
		f.accept()
		f.expect(MessageStarted)
		f.expect(MessageExit)
	}
	f.send(MessageAck)
	<-done
}

// A runner that comes back while the shim ends is dialled and gets the report.
func TestExitDialsWhereThereIsNoConnection(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l := startLink(t, socket)
	done := exitInBackground(l, ExitReport{Code: 4}, time.Hour)
	f := newFar(t, socket)
	f.accept()
	if got := f.expect(MessageExit).Exit; got.Code != 4 {
		t.Errorf("report %+v", got)
	}
	f.send(MessageAck)
	<-done
}

func TestExitWithoutARunnerReturns(t *testing.T) {
	newLink("", new(reserve)).exit(ExitReport{}, time.Hour)
}

// A runner that stops reading must not hold up the end.
func TestRunnerThatDoesNotReadIsLeft(t *testing.T) {
	near, away := net.Pipe() // which buffers nothing
	defer away.Close()
	l := newLink("unused", new(reserve))
	l.conn = near
	l.exit(ExitReport{}, time.Nanosecond)
	if _, err := near.Write([]byte("x")); err == nil {
		t.Error("the connection is still open")
	}
}

// A runner that let the shim in and stays away for too long is missed; one that
// comes back in time, or that never let it in, is not.
func TestRunnerIsMissed(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct {
		greets, returns bool
		want            bool
	}{"away": {greets: true, want: true}, "back in time": {greets: true, returns: true}, "never let it in": {}} {
		socket := filepath.Join(dir, name)
		f := newFar(t, socket)
		l := newLink(socket, new(reserve))
		l.patience = 300 * time.Millisecond
		if c.returns {
			l.patience = time.Hour
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			l.run(ctx)
		}()
		f.accept()
		if c.greets {
			f.send(MessageHello)
		}
		_, _ = f.conn.Close(), f.listener.Close()
		if c.returns {
			f = newFar(t, socket)
			f.accept()
			f.send(MessageHello)
		}
		if c.want {
			<-l.lost
		} else {
			l.miss(time.Time{})
			select {
			case <-l.lost:
				t.Errorf("%s: the runner was missed", name)
			case <-time.After(2 * 300 * time.Millisecond):
			}
		}
		cancel()
		<-done
	}
}
