package shim_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const maxConnections = 16

// serveTelemetry gives the job a telemetry port and answers for the runner.
func serveTelemetry(t *testing.T, r *shimRun, serve func(conn *net.UnixConn)) *net.UnixListener {
	t.Helper()
	r.config.TelemetryListen, r.config.TelemetrySocket = "127.0.0.1:0", filepath.Join(r.dir, "telemetry.sock")
	l := listenUnix(t, r.config.TelemetrySocket)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.AcceptUnix()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn)
			}()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l
}

// serveEcho sends back what comes, to the end, and then ends its own direction.
func serveEcho(t *testing.T, r *shimRun) {
	t.Helper()
	serveTelemetry(t, r, func(conn *net.UnixConn) { _, _ = io.Copy(struct{ io.Writer }{conn}, conn) })
}

func TestTelemetryIsForwardedByteForByte(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		r := newRun(t, p)
		serveEcho(t, r)
		c, d := driveJob(r)
		// The job ends its direction and still reads: half-close goes both ways.
		for _, n := range []string{"0", "1", "16384", "16385", "3000000"} {
			d.want("echo "+n, "echoed")
		}
		d.tell("exit 0")
		r.finish(c)
	})
}

// The runner closes both directions right after its answer, as a server that is
// done does.
func TestAnswerSurvivesTheRunnersClose(t *testing.T) {
	r := newRun(t, places(t)[0])
	serveTelemetry(t, r, func(conn *net.UnixConn) {
		_, _ = io.ReadFull(conn, make([]byte, 1))
		_, _ = conn.Write([]byte("!"))
	})
	c, d := driveJob(r)
	for range 2 * maxConnections {
		d.want("dial", "served")
		d.want("hang-up", "hung up")
	}
	d.tell("exit 0")
	r.finish(c)
}

func TestConnectionsAreBounded(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		r := newRun(t, p)
		serveEcho(t, r)
		c, d := driveJob(r)
		for range maxConnections {
			d.want("dial", "served")
		}
		d.want("dial", "refused")
		d.want("hang-up", "hung up")
		waitFor(t, "a connection to be free again", func() bool { return d.do("dial") == "served" })
		d.want("dial", "refused")
		d.tell("exit 0")
		r.finish(c)
	})
}

// A connection that the runner does not take only costs that connection.
func TestRunnerAwayOnlyClosesTheConnection(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		r := newRun(t, p)
		serveEcho(t, r)
		must(t, os.Rename(r.config.TelemetrySocket, r.config.TelemetrySocket+".away"))
		c, d := driveJob(r)
		for range 2 * maxConnections {
			d.want("dial", "refused")
		}
		must(t, os.Rename(r.config.TelemetrySocket+".away", r.config.TelemetrySocket))
		waitFor(t, "telemetry to work again", func() bool { return d.do("dial") == "served" })
		d.tell("exit 0")
		r.finish(c)
	})
}

func TestFloodOfConnections(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		r := newRun(t, p)
		serveEcho(t, r)
		c, d := driveJob(r)
		d.want("flood 10000", "flooded")
		waitFor(t, "telemetry to work again", func() bool { return d.do("dial") == "served" })
		d.tell("exit 8")
		if report := r.finish(c); report.Code != 8 {
			t.Errorf("report %+v", report)
		}
	})
}

// What the job sent before it ended arrives, also over connections that the shim
// had not even accepted.
func TestLastWordsArrive(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		r := newRun(t, p)
		const connections, size = maxConnections, 200_000
		got := make(chan int, connections)
		serveTelemetry(t, r, func(conn *net.UnixConn) {
			n, _ := io.Copy(io.Discard, conn)
			got <- int(n)
		})
		c, d := driveJob(r)
		// A stopped shim accepts nothing: all this waits in the kernel.
		must(t, r.cmd.Process.Signal(unix.SIGSTOP))
		for range connections {
			d.want("send 200000", "sent")
		}
		d.tell("exit 0")
		_, _ = d.lines.ReadString('\n') // its end
		must(t, r.cmd.Process.Signal(unix.SIGCONT))
		r.finish(c)
		for range connections {
			select {
			case n := <-got:
				if n != size {
					t.Errorf("%d bytes arrived, %d were sent", n, size)
				}
			case <-time.After(patience):
				t.Fatal("a connection did not arrive")
			}
		}
	})
}

// The job lowers the shim's limit to what it has open: the descriptors in reserve
// serve all connections.
func TestDescriptorsAreReserved(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		r := newRun(t, p)
		serveEcho(t, r)
		c, d := driveJob(r)
		d.want(fmt.Sprint("limit ", descriptors(r.cmd.Process.Pid)), "limited")
		for range 3 {
			for range maxConnections {
				waitFor(t, "a connection", func() bool { return d.do("dial") == "served" })
			}
			for range maxConnections {
				d.want("hang-up", "hung up")
			}
		}
		must(t, c.conn.Close())
		c = r.up() // and for the runner
		d.tell("exit 0")
		r.finish(c)
	})
}

// descriptors is a limit that leaves a shim what it has open, and hardly more
// where this process may not look, because it is not root.
func descriptors(pid int) int {
	entries, err := os.ReadDir(processFile(pid, "fd"))
	if err != nil {
		return 55
	}
	most := 0
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil {
			most = max(most, fd)
		}
	}
	return most + 1
}
