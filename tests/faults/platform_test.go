//go:build engine

package faults

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// platformProxy is between the runner and its platform: it speaks HTTP/2 as both do,
// and answers some calls itself.
type platformProxy struct {
	path    string
	forward *httputil.ReverseProxy
	server  *http.Server

	mu     sync.Mutex
	faults map[string]*platformFault // by the end of the method's name
}

// platformFault is what calls of a method get.
type platformFault struct {
	// status is an HTTP status, grpc a gRPC status; one of them is set.
	status int
	grpc   string
	// after says that the platform gets the call, and the runner another answer.
	after bool
	// times is how often.
	times int
}

// behindProxy puts a proxy between runner and platform.
func behindProxy(t *testing.T, s *stand) {
	target, err := url.Parse("http://platform")
	must(t, err)
	s.grpc = s.dir + "/proxy.sock"
	p := &platformProxy{path: s.grpc, forward: httputil.NewSingleHostReverseProxy(target), faults: map[string]*platformFault{}}
	transport := unixTransport(s.dir + "/grpc.sock")
	transport.Protocols = new(http.Protocols)
	transport.Protocols.SetUnencryptedHTTP2(true)
	p.forward.Transport, p.forward.FlushInterval = transport, -1
	p.forward.ErrorLog = log.New(io.Discard, "", 0)
	p.forward.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	s.platform = p
	p.back(t)
	t.Cleanup(func() { p.away(); transport.CloseIdleConnections() })
}

// back listens at the socket.
func (p *platformProxy) back(t *testing.T) {
	t.Helper()
	l, err := net.Listen("unix", p.path)
	must(t, err)
	p.server = &http.Server{Handler: p, ErrorLog: log.New(io.Discard, "", 0), Protocols: new(http.Protocols)}
	p.server.Protocols.SetUnencryptedHTTP2(true)
	go func(s *http.Server) { _ = s.Serve(l) }(p.server)
}

// away cuts every connection and removes the socket.
func (p *platformProxy) away() { _ = p.server.Close() }

func (p *platformProxy) set(method string, f platformFault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults[method] = &f
}

// left is how often a method's fault has still to strike.
func (p *platformProxy) left(method string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.faults[method].times
}

func (p *platformProxy) take(r *http.Request) *platformFault {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.faults[filepath.Base(r.URL.Path)]
	if f == nil || f.times == 0 {
		return nil
	}
	f.times--
	return f
}

func (p *platformProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f := p.take(r)
	if f == nil {
		p.forward.ServeHTTP(w, r)
		return
	}
	if f.after {
		p.forward.ServeHTTP(&nowhere{header: http.Header{}}, r)
	}
	if f.status != 0 {
		w.WriteHeader(f.status)
		return
	}
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Grpc-Status", f.grpc)
	w.Header().Set("Grpc-Message", "as the test wants it")
}

// nowhere takes an answer that nobody gets.
type nowhere struct{ header http.Header }

func (n *nowhere) Header() http.Header         { return n.header }
func (n *nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (n *nowhere) WriteHeader(int)             {}

// platformCells happen to the platform, or to the way to it.
var platformCells = []cell{
	{name: "killed_while_running", quick: true, verdict: kept, strike: platformKilled(false)},
	{name: "killed_until_the_end", verdict: failed, strike: platformKilled(true)},
	{name: "stopped", verdict: kept, strike: platformStopped},
	{name: "killed_longer_than_a_lease", verdict: kept, strike: platformLate},
	{name: "cut_off_longer_than_a_lease", verdict: kept, furnish: behindProxy, strike: cutOff},
	{name: "result_answered_500", quick: true, verdict: kept, furnish: behindProxy, strike: answered("ReportResult", platformFault{status: 500, times: 2})},
	{name: "result_answered_401", verdict: kept, furnish: behindProxy, strike: answered("ReportResult", platformFault{status: 401, times: 2})},
	{name: "result_answered_409", verdict: kept, furnish: behindProxy, strike: answered("ReportResult", platformFault{grpc: "10", times: 2})},
	{name: "result_answer_lost", quick: true, verdict: failed, furnish: behindProxy, strike: answered("ReportResult", platformFault{status: 503, after: true, times: 2})},
	{name: "claim_answered_500", verdict: kept, furnish: claimsGet(platformFault{status: 500, times: 2}), strike: claimed},
	{name: "claim_answer_lost", verdict: missed, furnish: claimsGet(platformFault{status: 503, after: true, times: 1}), strike: claimed},
	{name: "started_answered_500", verdict: kept, furnish: behindProxy, strike: answered("ReportStarted", platformFault{status: 500, times: 3})},
	{name: "heartbeat_answered_500", verdict: kept, furnish: behindProxy, strike: answered("Heartbeat", platformFault{grpc: "13", times: 2})},
	{name: "database_locked", verdict: failed, strike: databaseLocked},
}

// platformKilled kills the platform while jobs run and starts it again, before or
// after their end.
func platformKilled(ended bool) func(t *testing.T, s *stand, v verdict) {
	return func(t *testing.T, s *stand, v verdict) {
		code := 0
		if v == failed {
			code = 3
		}
		batch := s.submit(t, 2, code)
		s.waitReady(t, batch, 2)
		kill(t, s.server)
		if ended {
			release(t, s.ready(batch)...)
			s.waitEnded(t, 2)
		}
		s.startServer(t)
		s.finish(t, batch)
		s.judge(t, v, batch, 2)
	}
}

// waitEnded waits until so many results are on the runner's disk.
func (s *stand) waitEnded(t *testing.T, n int) {
	t.Helper()
	s.eventually(t, "the results", func() error {
		if got := len(below(filepath.Join(s.dir, "state", "outbox"))); got < n {
			return fmt.Errorf("%d results, want %d", got, n)
		}
		return nil
	})
}

// platformStopped ends the platform in order and starts it again.
func platformStopped(t *testing.T, s *stand, v verdict) {
	batch := s.submit(t, 2, 0)
	s.waitReady(t, batch, 2)
	must(t, s.server.Process.Signal(syscall.SIGTERM))
	must(t, s.server.Wait())
	s.startServer(t)
	s.finish(t, batch)
	s.judge(t, v, batch, 2)
}

// leaseTime is how long a platform waits by default for a sign of an attempt.
const leaseTime = 60 * time.Second

// platformLate has the platform be away for longer than the leases of what runs.
func platformLate(t *testing.T, s *stand, v verdict) {
	batch := s.submit(t, 2, 0)
	s.waitReady(t, batch, 2)
	kill(t, s.server)
	time.Sleep(leaseTime + 5*time.Second) // the fault itself
	s.startServer(t)
	s.finish(t, batch)
	s.judge(t, v, batch, 2)
}

// cutOff cuts the runner off for longer than its leases last, with no other runner
// that could take its jobs.
func cutOff(t *testing.T, s *stand, v verdict) {
	batch := s.submit(t, 1, 0)
	s.waitReady(t, batch, 1)
	s.platform.away()
	time.Sleep(leaseTime + 5*time.Second) // the fault itself
	s.platform.back(t)
	s.finish(t, batch)
	s.judge(t, v, batch, 1)
}

// answered has calls of a method fail during the life of a job.
func answered(method string, f platformFault) func(t *testing.T, s *stand, v verdict) {
	return func(t *testing.T, s *stand, v verdict) {
		s.platform.set(method, f)
		code := 0
		if v == failed {
			code = 3
		}
		batch := s.submit(t, 1, code)
		s.waitReady(t, batch, 1)
		if method == "ReportResult" {
			release(t, s.ready(batch)...)
		}
		s.eventually(t, "the fault", func() error {
			if n := s.platform.left(method); n > 0 {
				return fmt.Errorf("%s has to fail %d times more", method, n)
			}
			return nil
		})
		s.finish(t, batch)
		s.judge(t, v, batch, 1)
	}
}

// claimsGet has the first questions of the runner for jobs fail.
func claimsGet(f platformFault) func(t *testing.T, s *stand) {
	return func(t *testing.T, s *stand) {
		behindProxy(t, s)
		s.platform.set("ClaimJobs", f)
	}
}

// claimed is a job that the fault meets as it is claimed.
func claimed(t *testing.T, s *stand, v verdict) {
	batch := s.submit(t, 1, 0)
	s.finish(t, batch)
	s.judge(t, v, batch, 1)
}

// databaseLocked has another process hold the database while a job ends.
func databaseLocked(t *testing.T, s *stand, v verdict) {
	batch := s.submit(t, 1, 3)
	s.waitReady(t, batch, 1)
	found, err := filepath.Glob(s.dir + "/data/*.db")
	must(t, err)
	if len(found) != 1 {
		t.Fatalf("databases %q", found)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	lock := exec.CommandContext(ctx, "python3", "-c", `
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
`, found[0])
	lock.Stderr = os.Stderr
	in, err := lock.StdinPipe()
	must(t, err)
	out, err := lock.StdoutPipe()
	must(t, err)
	must(t, lock.Start())
	_, err = io.ReadFull(out, make([]byte, len("locked\n")))
	must(t, err)
	release(t, s.ready(batch)...)
	s.eventually(t, "the runner's complaint", func() error {
		text, err := os.ReadFile(s.dir + "/lynx-runner.log")
		if err == nil && !strings.Contains(string(text), "cannot deliver a result") {
			err = fmt.Errorf("there is none")
		}
		return err
	})
	must(t, in.Close())
	_ = lock.Wait()
	s.finish(t, batch)
	s.judge(t, v, batch, 1)
}
