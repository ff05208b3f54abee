package telemetry

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"pgregory.net/rapid"
)

// However the calls are spread, there are never more than the burst and one for
// each interval in any span of time.
func TestPaceIsKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := pace{burst: rapid.IntRange(0, 20).Draw(t, "burst"), interval: 10 * time.Millisecond}
		now := time.Unix(1_700_000_000, 0)
		var passed []time.Time
		for range rapid.IntRange(1, 200).Draw(t, "calls") {
			now = now.Add(time.Duration(rapid.IntRange(0, 30).Draw(t, "after")) * time.Millisecond)
			passed = append(passed, now.Add(p.delay(now)))
		}
		for i, from := range passed {
			for j := i; j < len(passed); j++ {
				if most := 1 + p.burst + int(passed[j].Sub(from)/p.interval); j-i+1 > most {
					t.Fatalf("%d within %v", j-i+1, passed[j].Sub(from))
				}
			}
		}
	})
}

func TestPaceLeavesTheSlowAlone(t *testing.T) {
	p := pace{burst: 3, interval: 10 * time.Millisecond}
	now := time.Unix(1_700_000_000, 0)
	for i := range 100 {
		if d := p.delay(now); d != 0 {
			t.Fatalf("call %d waits %v", i, d)
		}
		now = now.Add(p.interval)
	}
}

// A job that connects, or cancels, far more often than any client is slowed down,
// and one that does so a few times is not.
func TestFloodsAreSlowed(t *testing.T) {
	// talk writes what the client has to say and leaves. A connection that is one too
	// many is closed before it is read.
	talk := func(c *rawClient, socket string) {
		conn, err := net.Dial("unix", socket)
		c.must(err)
		read := make(chan struct{})
		go func() { // a server that is not read from stops reading
			defer close(read)
			_, _ = io.Copy(io.Discard, conn)
		}()
		if _, err = conn.Write(c.bytes.Bytes()); !errors.Is(err, syscall.EPIPE) {
			c.must(err)
		}
		c.must(conn.Close())
		<-read
	}
	connect := func(t *testing.T, socket string, n int) {
		for range n {
			talk(newRawClient(t), socket)
		}
	}
	cancel := func(t *testing.T, socket string, n int) {
		c := newRawClient(t)
		for i := range uint32(n) {
			c.open(2*i+1, streamMethod)
			c.must(c.framer.WriteRSTStream(2*i+1, http2.ErrCodeCancel))
		}
		talk(c, socket)
	}
	for name, test := range map[string]struct {
		do    func(*testing.T, string, int)
		burst int
	}{"connections": {connect, connectionBurst}, "resets": {cancel, resetBurst}} {
		t.Run(name, func(t *testing.T) {
			cfg := place(t)
			now := time.Now()
			cfg.Now = func() time.Time { return now } // however slow we are, all comes at once
			s := serve(t, cfg)
			slowed := func() bool { return s.listener.connections.slowed.Load() > 0 }
			test.do(t, cfg.Socket, test.burst/2)
			if slowed() {
				t.Error("a few are slowed down")
			}
			test.do(t, cfg.Socket, test.burst)
			for end := time.Now().Add(time.Minute); !slowed(); time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal("a flood is not slowed down")
				}
			}
			finish(t, s)
		})
	}
}
