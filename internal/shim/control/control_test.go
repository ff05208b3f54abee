package control

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tetryx/lynx-runner/internal/shim"
)

// dialEnv makes this test binary a process that dials the socket it names, says
// hello and started, prints what it reads, and ends.
const dialEnv = "LYNX_TEST_DIAL"

func TestMain(m *testing.M) {
	if path := os.Getenv(dialEnv); path != "" {
		dialAndPrint(path)
		return
	}
	goleak.VerifyTestMain(m)
}

func dialAndPrint(path string) {
	conn, err := net.Dial("unix", path)
	if err == nil {
		_ = shim.WriteMessage(conn, shim.Message{Type: shim.MessageHello})
		_ = shim.WriteMessage(conn, shim.Message{Type: shim.MessageStarted})
		_, err = io.Copy(os.Stdout, conn)
	}
	fmt.Println("end", err)
}

// patience bounds what has to happen.
const patience = 60 * time.Second

func listen(t *testing.T) (*Server, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "control.sock")
	s, err := Listen(path, slog.New(slog.DiscardHandler))
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s, path
}

// peerConn is a scripted shim, which is this very process.
type peerConn struct {
	t     *testing.T
	conn  net.Conn
	lines *bufio.Reader
}

func dial(t *testing.T, path string) *peerConn {
	t.Helper()
	conn, err := net.Dial("unix", path)
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	must(t, conn.SetDeadline(time.Now().Add(patience)))
	return &peerConn{t: t, conn: conn, lines: shim.NewLineReader(conn)}
}

func (p *peerConn) say(messages ...shim.Message) {
	p.t.Helper()
	for _, m := range messages {
		must(p.t, shim.WriteMessage(p.conn, m))
	}
}

func (p *peerConn) expect(kind string) {
	p.t.Helper()
	m, err := shim.ReadMessage(p.lines)
	for err == nil && m.Type == shim.MessageHello && kind != shim.MessageHello {
		m, err = shim.ReadMessage(p.lines)
	}
	if err != nil || m.Type != kind {
		p.t.Fatalf("message %+v, %v; want %q", m, err, kind)
	}
}

// refused waits until the server has closed the connection.
func (p *peerConn) refused() {
	p.t.Helper()
	m, err := shim.ReadMessage(p.lines)
	for err == nil && m.Type == shim.MessageHello { // it was let in before
		m, err = shim.ReadMessage(p.lines)
	}
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		p.t.Fatalf("message %+v, %v; want the connection's end", m, err)
	}
}

var (
	hello   = shim.Message{Type: shim.MessageHello}
	started = shim.Message{Type: shim.MessageStarted}
)

func exit(code int) shim.Message {
	return shim.Message{Type: shim.MessageExit, Exit: &shim.ExitReport{Code: code}}
}

func wait(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
	}
}

func notYet(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
		t.Fatalf("%s came too early", what)
	default:
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestLifeOfAnAttempt(t *testing.T) {
	s, path := listen(t)
	s.Expect(os.Getpid())
	p := dial(t, path)
	p.say(hello)
	wait(t, "hello", s.Hello())
	notYet(t, "started", s.Started())
	p.say(started)
	wait(t, "started", s.Started())
	if _, ok := s.Report(); ok {
		t.Error("there is a report before the exit")
	}
	p.say(exit(3))
	wait(t, "exit", s.Exited())
	if report, ok := s.Report(); !ok || report.Code != 3 {
		t.Errorf("report %+v, %v", report, ok)
	}
	must(t, s.Ack())
	p.expect(shim.MessageAck)
	must(t, s.Kill())
	p.expect(shim.MessageKill)
}

func TestConnectionIsHeldUntilItsProcessIsKnown(t *testing.T) {
	s, path := listen(t)
	p := dial(t, path)
	p.say(hello, started, exit(1))
	_ = p.conn.Close() // a job can end before anybody knows its process
	held(t, s, 1)
	notYet(t, "hello", s.Hello())
	s.Expect(os.Getpid())
	wait(t, "exit", s.Exited())
}

// A shim that ended before anybody could tell its process was the first to dial.
func TestTheFirstIsExpected(t *testing.T) {
	for name, early := range map[string]bool{"held before": true, "later": false} {
		t.Run(name, func(t *testing.T) {
			s, path := listen(t)
			if !early {
				s.ExpectFirst()
			}
			p := dial(t, path)
			p.say(hello, started, exit(1))
			_ = p.conn.Close()
			if early {
				held(t, s, 1)
				stranger := exec.Command(os.Args[0])
				stranger.Env = append(os.Environ(), dialEnv+"="+path)
				output, err := stranger.StdoutPipe()
				must(t, err)
				must(t, stranger.Start())
				held(t, s, 2)
				s.ExpectFirst()
				_, err = io.ReadAll(output) // to its end: it is refused
				must(t, errors.Join(err, stranger.Wait()))
			}
			s.Settle(patience)
			if report, ok := s.Report(); !ok || report.Code != 1 {
				t.Errorf("report %+v, %v", report, ok)
			}
		})
	}
}

// held waits until the server holds n connections.
func held(t *testing.T, s *Server, n int) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		got := len(s.pending)
		s.mu.Unlock()
		if got == n {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d connections are held, want %d", got, n)
		}
	}
}

func TestHeldConnectionsAreBounded(t *testing.T) {
	s, path := listen(t)
	for range maxPending {
		dial(t, path)
	}
	held(t, s, maxPending)
	dial(t, path).refused()
	s.Expect(os.Getpid())
	held(t, s, 0)
}

func TestOtherProcessesAreRefused(t *testing.T) {
	for name, early := range map[string]bool{"held before": true, "later": false} {
		t.Run(name, func(t *testing.T) {
			s, path := listen(t)
			if !early {
				s.Expect(os.Getpid())
			}
			stranger := exec.Command(os.Args[0])
			stranger.Env = append(os.Environ(), dialEnv+"="+path)
			output, err := stranger.StdoutPipe()
			must(t, err)
			must(t, stranger.Start())
			if early {
				held(t, s, 1)
				s.Expect(os.Getpid())
			}
			said, err := io.ReadAll(output)
			must(t, err)
			must(t, stranger.Wait())
			_ = s.Kill() // is not for the stranger either
			notYet(t, "hello", s.Hello())
			notYet(t, "started", s.Started())
			if len(said) < 3 || string(said[:3]) != "end" {
				t.Errorf("it was told %q", said)
			}
			p := dial(t, path) // the right one still comes in
			p.say(hello)
			wait(t, "hello", s.Hello())
		})
	}
}

// A job that dials the socket again and again neither fills the runner's log nor
// takes its time, and the shim goes on being heard.
func TestFloodOfOthers(t *testing.T) {
	log := new(lineCounter)
	path := filepath.Join(t.TempDir(), "control.sock")
	s, err := Listen(path, slog.New(slog.NewTextHandler(log, nil)))
	must(t, err)
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), dialEnv+"="+path)
	must(t, child.Start())
	s.Expect(child.Process.Pid)
	wait(t, "started", s.Started())
	const flood = 300
	for range flood {
		dial(t, path).refused()
	}
	if n := log.lines.Load(); n < 1 || n > 9 {
		t.Errorf("%d refused connections make %d lines in the log", flood, n)
	}
	if !s.flooded() {
		t.Error("the job is not slowed down")
	}
	must(t, s.Close()) // upon which the shim ends
	must(t, child.Wait())
}

// lineCounter counts what a logger writes.
type lineCounter struct{ lines atomic.Int64 }

func (c *lineCounter) Write(p []byte) (int, error) {
	c.lines.Add(1)
	return len(p), nil
}

// What a shim said in its last moment is read after its end.
func TestSettle(t *testing.T) {
	for range 200 {
		s, path := listen(t)
		s.Expect(os.Getpid())
		p := dial(t, path)
		p.say(hello)
		wait(t, "hello", s.Hello())
		p.say(exit(4))
		must(t, p.conn.Close())
		s.Settle(patience)
		if r, ok := s.Report(); !ok || r.Code != 4 {
			t.Fatalf("report %+v, %t", r, ok)
		}
		s.Settle(patience) // there is nothing to wait for any more
	}
	s, path := listen(t)
	s.Settle(patience)
	s.Expect(os.Getpid())
	p := dial(t, path)
	p.say(hello)
	wait(t, "hello", s.Hello())
	s.Settle(time.Millisecond) // it lives, and says nothing
}

func TestNobodyIsExpected(t *testing.T) {
	for _, pid := range []int{0, -1, os.Getpid() + 1} {
		s, path := listen(t)
		s.Expect(pid)
		dial(t, path).refused()
	}
}

func TestNewConnectionReplacesTheOld(t *testing.T) {
	s, path := listen(t)
	s.Expect(os.Getpid())
	old := dial(t, path)
	old.say(hello)
	wait(t, "hello", s.Hello())
	p := dial(t, path)
	p.say(hello, started, exit(2))
	old.refused()
	wait(t, "exit", s.Exited())
	must(t, s.Ack())
	p.expect(shim.MessageAck)
}

// What was decided while the shim was away is said when it is back; the first
// report stays.
func TestDecisionsSurviveABrokenConnection(t *testing.T) {
	s, path := listen(t)
	s.Expect(os.Getpid())
	if err := s.Kill(); !errors.Is(err, ErrNotConnected) {
		t.Errorf("kill without a shim: %v", err)
	}
	if err := s.Ack(); !errors.Is(err, ErrNotConnected) {
		t.Errorf("acknowledgement without a report: %v", err)
	}
	for code := 1; code <= 2; code++ {
		p := dial(t, path)
		p.say(hello)
		p.expect(shim.MessageKill)
		p.say(started, exit(code))
		p.expect(shim.MessageAck)
		_ = p.conn.Close()
	}
	if report, _ := s.Report(); report.Code != 1 {
		t.Errorf("report %+v", report)
	}
}

func TestGarbageClosesTheConnection(t *testing.T) {
	s, path := listen(t)
	s.Expect(os.Getpid())
	for _, lines := range []string{
		"garbage\n", "{\"type\":\"started\"}\n", "{\"type\":\"exit\",\"exit\":{}}\n",
		"{\"type\":\"hello\"}\n{\"type\":\"exit\"}\n", "{\"type\":\"hello\"}\n{\"type\":\"exit\",\"exit\":{\"code\":-1}}\n",
	} {
		p := dial(t, path)
		_, err := io.WriteString(p.conn, lines)
		must(t, err)
		p.refused()
	}
	notYet(t, "started", s.Started())
	notYet(t, "exit", s.Exited())
	p := dial(t, path)
	p.say(hello, shim.Message{Type: "of a newer shim"}, shim.Message{Type: shim.MessageKill}, started)
	wait(t, "started", s.Started())
}

func TestListenReplacesAStaleSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	must(t, err)
	stale.SetUnlinkOnClose(false)
	must(t, stale.Close())
	s, err := Listen(path, nil)
	must(t, err)
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode().Perm() != 0o666 {
		t.Errorf("mode %v", info.Mode())
	}
	s.Expect(os.Getpid())
	dial(t, path).say(hello)
	wait(t, "hello", s.Hello())
	must(t, s.Close())
}

func TestListenLeavesOtherFilesAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "precious")
	must(t, os.WriteFile(path, []byte("data"), 0o600))
	if s, err := Listen(path, nil); err == nil {
		t.Error("it listens", s.Close())
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "data" {
		t.Errorf("the file has %q, %v", data, err)
	}
	if s, err := Listen(filepath.Join(t.TempDir(), "no", "dir"), nil); err == nil {
		t.Error("it listens", s.Close())
	}
}

func TestCloseEndsEverything(t *testing.T) {
	s, path := listen(t)
	pending := dial(t, path)
	held(t, s, 1)
	s2, path2 := listen(t)
	s2.Expect(os.Getpid())
	current := dial(t, path2)
	current.say(hello)
	wait(t, "hello", s2.Hello())
	for range 2 {
		must(t, s.Close())
		must(t, s2.Close())
	}
	pending.refused()
	current.refused()
	s.Expect(os.Getpid()) // changes nothing any more
	if err := s2.Kill(); !errors.Is(err, ErrNotConnected) {
		t.Errorf("kill after close: %v", err)
	}
	for _, p := range []string{path, path2} {
		if _, err := os.Lstat(p); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the socket is left: %v", err)
		}
	}
}

// For the race detector: everything at once.
func TestConcurrentUse(t *testing.T) {
	s, path := listen(t)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 20 {
				conn, err := net.Dial("unix", path)
				if err != nil {
					return
				}
				for _, m := range []shim.Message{hello, started, exit(1)} {
					_ = shim.WriteMessage(conn, m)
				}
				_ = conn.Close()
			}
		})
		all.Go(func() {
			for range 20 {
				s.Expect(os.Getpid())
				_, _ = s.Report()
				_, _ = s.Ack(), s.Kill()
			}
		})
	}
	all.Wait()
	p := dial(t, path)
	p.say(hello, exit(1))
	wait(t, "exit", s.Exited())
}
