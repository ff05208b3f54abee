//go:build engine

package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tetryx/lynx-runner/tests/internal/stand"
)

// behindProxy puts a proxy between runner and platform.
func behindProxy(t *testing.T, s *site) {
	s.grpc = s.Dir + "/proxy.sock"
	s.platform = stand.NewPlatformProxy(t, s.grpc, s.Dir+"/grpc.sock")
}

// platformCells happen to the platform, or to the way to it.
var platformCells = []cell{
	{name: "killed_while_running", quick: true, verdict: kept, strike: platformKilled(false)},
	{name: "killed_until_the_end", verdict: failed, strike: platformKilled(true)},
	{name: "stopped", verdict: kept, strike: platformStopped},
	{name: "killed_longer_than_a_lease", verdict: kept, strike: platformLate},
	{name: "cut_off_longer_than_a_lease", verdict: kept, furnish: behindProxy, strike: cutOff},
	{name: "result_answered_500", quick: true, verdict: kept, furnish: behindProxy, strike: answered("ReportResult", stand.PlatformFault{Status: 500, Times: 2})},
	{name: "result_answered_401", verdict: kept, furnish: behindProxy, strike: answered("ReportResult", stand.PlatformFault{Status: 401, Times: 2})},
	{name: "result_answered_409", verdict: kept, furnish: behindProxy, strike: answered("ReportResult", stand.PlatformFault{GRPC: "10", Times: 2})},
	{name: "result_answer_lost", quick: true, verdict: failed, furnish: behindProxy, strike: answered("ReportResult", stand.PlatformFault{Status: 503, After: true, Times: 2})},
	{name: "claim_answered_500", verdict: kept, furnish: claimsGet(stand.PlatformFault{Status: 500, Times: 2}), strike: claimed},
	{name: "claim_answer_lost", verdict: missed, furnish: claimsGet(stand.PlatformFault{Status: 503, After: true, Times: 1}), strike: claimed},
	{name: "started_answered_500", verdict: kept, furnish: behindProxy, strike: answered("ReportStarted", stand.PlatformFault{Status: 500, Times: 3})},
	{name: "heartbeat_answered_500", verdict: kept, furnish: behindProxy, strike: answered("Heartbeat", stand.PlatformFault{GRPC: "13", Times: 2})},
	{name: "database_locked", verdict: failed, strike: databaseLocked},
}

// platformKilled kills the platform while jobs run and starts it again, before or
// after their end.
func platformKilled(ended bool) func(t *testing.T, s *site, v verdict) {
	return func(t *testing.T, s *site, v verdict) {
		code := 0
		if v == failed {
			code = 3
		}
		batch := s.submit(t, 2, code)
		s.waitReady(t, batch, 2)
		s.Server.Kill(t)
		if ended {
			release(t, s.ready(batch)...)
			s.waitEnded(t, 2)
		}
		s.StartServer(t)
		s.finish(t, batch)
		s.judge(t, v, batch, 2)
	}
}

// waitEnded waits until so many results are on the runner's disk.
func (s *site) waitEnded(t *testing.T, n int) {
	t.Helper()
	s.Eventually(t, "the results", func() error {
		if got := len(stand.Below(filepath.Join(s.Dir, "state", "outbox"))); got < n {
			return fmt.Errorf("%d results, want %d", got, n)
		}
		return nil
	})
}

// platformStopped ends the platform in order and starts it again.
func platformStopped(t *testing.T, s *site, v verdict) {
	batch := s.submit(t, 2, 0)
	s.waitReady(t, batch, 2)
	s.Server.Stop(t)
	s.StartServer(t)
	s.finish(t, batch)
	s.judge(t, v, batch, 2)
}

// leaseTime is how long a platform waits by default for a sign of an attempt.
const leaseTime = 60 * time.Second

// platformLate has the platform be away for longer than the leases of what runs.
func platformLate(t *testing.T, s *site, v verdict) {
	batch := s.submit(t, 2, 0)
	s.waitReady(t, batch, 2)
	s.Server.Kill(t)
	time.Sleep(leaseTime + 5*time.Second) // the fault itself
	s.StartServer(t)
	s.finish(t, batch)
	s.judge(t, v, batch, 2)
}

// cutOff cuts the runner off for longer than its leases last, with no other runner
// that could take its jobs.
func cutOff(t *testing.T, s *site, v verdict) {
	batch := s.submit(t, 1, 0)
	s.waitReady(t, batch, 1)
	s.platform.Away()
	time.Sleep(leaseTime + 5*time.Second) // the fault itself
	s.platform.Back(t)
	s.finish(t, batch)
	s.judge(t, v, batch, 1)
}

// answered has calls of a method fail during the life of a job.
func answered(method string, f stand.PlatformFault) func(t *testing.T, s *site, v verdict) {
	return func(t *testing.T, s *site, v verdict) {
		s.platform.Set(method, f)
		code := 0
		if v == failed {
			code = 3
		}
		batch := s.submit(t, 1, code)
		s.waitReady(t, batch, 1)
		if method == "ReportResult" {
			release(t, s.ready(batch)...)
		}
		s.Eventually(t, "the fault", func() error {
			if n := s.platform.Left(method); n > 0 {
				return fmt.Errorf("%s has to fail %d times more", method, n)
			}
			return nil
		})
		s.finish(t, batch)
		s.judge(t, v, batch, 1)
	}
}

// claimsGet has the first questions of the runner for jobs fail.
func claimsGet(f stand.PlatformFault) func(t *testing.T, s *site) {
	return func(t *testing.T, s *site) {
		behindProxy(t, s)
		s.platform.Set("ClaimJobs", f)
	}
}

// claimed is a job that the fault meets as it is claimed.
func claimed(t *testing.T, s *site, v verdict) {
	batch := s.submit(t, 1, 0)
	s.finish(t, batch)
	s.judge(t, v, batch, 1)
}

// databaseLocked has another process hold the database while a job ends.
func databaseLocked(t *testing.T, s *site, v verdict) {
	batch := s.submit(t, 1, 3)
	s.waitReady(t, batch, 1)
	found, err := filepath.Glob(s.Dir + "/data/*.db")
	stand.Must(t, err)
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
	stand.Must(t, err)
	out, err := lock.StdoutPipe()
	stand.Must(t, err)
	stand.Must(t, lock.Start())
	_, err = io.ReadFull(out, make([]byte, len("locked\n")))
	stand.Must(t, err)
	release(t, s.ready(batch)...)
	s.Eventually(t, "the runner's complaint", func() error {
		if !strings.Contains(s.runner.Says(), "cannot deliver a result") {
			return errors.New("there is none")
		}
		return nil
	})
	stand.Must(t, in.Close())
	_ = lock.Wait()
	s.finish(t, batch)
	s.judge(t, v, batch, 1)
}
