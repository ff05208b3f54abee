package control

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/tetryx/lynx-runner/internal/shim"
)

// FuzzConversation: whatever a process with the shim's id says, the server knows
// what the messages up to the first impossible one say, and nothing else.
func FuzzConversation(f *testing.F) {
	f.Add([]byte("{\"type\":\"hello\"}\n{\"type\":\"started\"}\n{\"type\":\"exit\",\"exit\":{\"code\":3}}\n{\"type\":\"exit\",\"exit\":{\"code\":4}}\n"))
	f.Add([]byte("{\"type\":\"started\"}\n{\"type\":\"hello\"}\n"))
	f.Add([]byte("{\"type\":\"hello\"}\n{\"type\":\"ack\"}\n{\"type\":\"kill\"}\n{\"type\":\"new\",\"x\":[]}\n{\"type\":\"exit\"}\n{\"type\":\"started\"}\n"))
	f.Add([]byte("{\"type\":\"hello\"}\n{\"TYPE\":\"started\"}\n{\"type\":\"exit\",\"exit\":{\"code\":256}}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 64<<10 {
			return // more than a socket holds, for a writer that does not wait
		}
		s, path := listen(t)
		s.Expect(os.Getpid())
		conn, err := net.Dial("unix", path)
		must(t, err)
		defer conn.Close()
		must(t, conn.SetDeadline(time.Now().Add(patience)))
		if _, err := conn.Write(data); err == nil { // else the server has closed it already
			_ = conn.(*net.UnixConn).CloseWrite()
		}
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("the connection is not closed")
		}
		want := after(data)
		report, exited := s.Report()
		got := saw{hello: closed(s.Hello()), started: closed(s.Started()), exited: exited && closed(s.Exited()), code: report.Code}
		if got != want {
			t.Errorf("the server knows %+v of %+v", got, want)
		}
	})
}

// saw is what a server knows.
type saw struct {
	hello, started, exited bool
	code                   int
}

// after is what a server has to know after the messages in data.
func after(data []byte) (want saw) {
	lines := shim.NewLineReader(bytes.NewReader(data))
	for {
		m, err := shim.ReadMessage(lines)
		switch {
		case err != nil, !want.hello && m.Type != shim.MessageHello:
			return want
		case m.Type == shim.MessageHello:
			want.hello = true
		case m.Type == shim.MessageStarted:
			want.started = true
		case m.Type == shim.MessageExit && !want.exited:
			want.exited, want.code = true, m.Exit.Code
		}
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
