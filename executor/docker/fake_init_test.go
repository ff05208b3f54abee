package docker

import (
	"encoding/json"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/tetryx/lynx-runner/internal/shim"
)

// fakeInit scripts a container's init, which is this test binary again.
type fakeInit struct {
	Control string
	Report  *shim.ExitReport
	Code    int
	// Hasty makes it end upon its report, as the shim does whose acknowledgement
	// is late.
	Hasty bool
}

const initVariable = "LYNX_TEST_FAKE_INIT"

// A test binary that is started as a container's init is nothing else.
func init() {
	if script := os.Getenv(initVariable); script != "" {
		var f fakeInit
		if err := json.Unmarshal([]byte(script), &f); err != nil {
			os.Exit(100)
		}
		os.Exit(f.run())
	}
}

// run speaks the shim's part until its stdin ends or it is told to die. It dials
// again when the runner goes away.
func (f fakeInit) run() int {
	released := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(released)
	}()
	for {
		if conn, err := net.Dial("unix", f.Control); err == nil && f.serve(conn, released) {
			return f.Code
		}
		time.Sleep(time.Millisecond)
	}
}

// serve uses one connection, and says whether the init's time has come.
func (f fakeInit) serve(conn net.Conn, released <-chan struct{}) bool {
	defer conn.Close()
	said := make(chan string)
	go func() {
		defer close(said)
		lines := shim.NewLineReader(conn)
		for {
			m, err := shim.ReadMessage(lines)
			if err != nil {
				return
			}
			said <- m.Type
		}
	}()
	_ = shim.WriteMessage(conn, shim.Message{Type: shim.MessageHello})
	_ = shim.WriteMessage(conn, shim.Message{Type: shim.MessageStarted})
	for {
		select {
		case m, ok := <-said:
			if !ok {
				return false
			}
			if m == shim.MessageKill {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			}
			if m == shim.MessageAck {
				return true
			}
		case <-released:
			released = nil
			_ = shim.WriteMessage(conn, shim.Message{Type: shim.MessageExit, Exit: f.Report})
			if f.Hasty {
				return true
			}
		}
	}
}
