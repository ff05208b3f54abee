package control

import (
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tetryx/lynx-runner/internal/shim"
)

// accept takes every connection and hands it to admit. A job that floods the
// socket is slowed down, once its shim is connected: what it dials costs the
// runner's time, not its own.
func (s *Server) accept() {
	failures := 0
	for {
		conn, err := s.listener.AcceptUnix()
		pause := time.Duration(0)
		switch {
		case err == nil:
			failures = 0
			s.admit(conn)
			if s.flooded() {
				pause = floodPause
			}
		case errors.Is(err, net.ErrClosed):
			return
		default:
			if failures++; worthLogging(failures) {
				s.log.Warn("control socket can't accept", "error", err, "failures", failures)
			}
			pause = acceptPause
		}
		if pause == 0 {
			continue
		}
		select {
		case <-s.done:
			return
		case <-time.After(pause):
		}
	}
}

// flooded says whether so many connections were refused that they can't be an
// accident, and none of the shim's is to be missed.
func (s *Server) flooded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refused > floodAfter && s.current != nil
}

// worthLogging thins out lines that a job can cause at will: the 1st, 2nd, 4th,
// 8th … of a kind.
func worthLogging(n int) bool { return n&(n-1) == 0 }

// admit judges a new connection, or holds it until Expect.
func (s *Server) admit(conn *net.UnixConn) {
	pid, err := peerPID(conn)
	if err != nil {
		s.log.Warn("control connection without credentials", "error", err)
		_ = conn.Close()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := peer{conn: conn, pid: pid}
	switch {
	case s.closed:
		_ = conn.Close()
	case s.expected != 0:
		s.judge(p)
	case len(s.pending) < maxPending:
		s.pending = append(s.pending, p)
	default:
		_ = conn.Close()
	}
}

// judge lets the shim in and closes anybody else's connection. s.mu is held.
func (s *Server) judge(p peer) {
	if s.expected == theFirst {
		s.expected = p.pid
	}
	if p.pid != s.expected {
		if s.refused++; worthLogging(s.refused) {
			s.log.Warn("control connection of another process refused", "pid", p.pid, "expected", s.expected, "refused", s.refused)
		}
		_ = p.conn.Close()
		return
	}
	if s.current != nil {
		_ = s.current.Close()
	}
	s.current = p.conn
	if s.killed {
		_ = s.send(shim.MessageKill)
	}
	read := make(chan struct{})
	s.read = read
	s.tasks.Go(func() {
		defer close(read)
		s.hear(p.conn)
	})
}

// hear takes the shim's messages until the connection breaks or brings garbage.
func (s *Server) hear(conn *net.UnixConn) {
	defer s.drop(conn)
	lines := shim.NewLineReader(conn)
	for first := true; ; first = false {
		m, err := shim.ReadMessage(lines)
		if err == nil && first && m.Type != shim.MessageHello {
			err = fmt.Errorf("%w: %q before %q", shim.ErrGarbage, m.Type, shim.MessageHello)
		}
		if err != nil {
			if errors.Is(err, shim.ErrGarbage) {
				s.log.Warn("control connection dropped", "error", err)
			}
			return
		}
		s.take(conn, m)
	}
}

// take notes one message, unless its connection was replaced meanwhile.
func (s *Server) take(conn *net.UnixConn, m shim.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != conn {
		return
	}
	switch m.Type {
	case shim.MessageHello:
		once(&s.said.hello, s.hello)
		_ = s.send(shim.MessageHello)
	case shim.MessageStarted:
		once(&s.said.started, s.started)
	case shim.MessageExit:
		if !s.said.exited {
			s.report = *m.Exit
		}
		once(&s.said.exited, s.exited)
		if s.acked {
			_ = s.send(shim.MessageAck)
		}
	case shim.MessageJobStarted, shim.MessageJobEnded:
		s.news(m)
	}
}

func once(said *bool, c chan struct{}) {
	if !*said {
		*said = true
		close(c)
	}
}

// drop closes a connection and forgets it.
func (s *Server) drop(conn *net.UnixConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = conn.Close()
	if s.current == conn {
		s.current = nil
		s.lose()
	}
}

// send writes a message to the shim. s.mu is held: a write can only wait where
// the shim stopped reading, and then for writeTimeout.
func (s *Server) send(kind string) error {
	if s.current == nil {
		return ErrNotConnected
	}
	_ = s.current.SetWriteDeadline(time.Now().Add(writeTimeout))
	if err := shim.WriteMessage(s.current, shim.Message{Type: kind}); err != nil {
		return fmt.Errorf("%w: %w", ErrNotConnected, err)
	}
	return nil
}

// peerPID returns the process that connected, as the kernel recorded it: 0 if it
// is not visible from this pid namespace.
func peerPID(conn *net.UnixConn) (int, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, fmt.Errorf("control connection: %w", err)
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, fmt.Errorf("control connection: %w", err)
	}
	if credErr != nil {
		return 0, fmt.Errorf("SO_PEERCRED: %w", credErr)
	}
	return int(cred.Pid), nil
}
