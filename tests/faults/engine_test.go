//go:build engine

package faults

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tetryx/lynx-runner/api"
)

// engineCells are faults of single calls to the engine.
var engineCells = []cell{
	once(atCreate, status500, requeued, true),
	once(atCreate, truncated, kept, false),
	once(atCreate, lost, kept, false),
	once(atCreate, hang, kept, false),
	away(atCreate, kept, false),

	once(atStart, status500, requeued, false),
	once(atStart, truncated, kept, true),
	once(atStart, lost, kept, false),
	once(atStart, hang, kept, false),
	away(atStart, kept, true),

	once(atWait, status500, requeued, false),
	once(atWait, truncated, kept, true),
	once(atWait, hang, kept, false),
	away(atWait, kept, false),

	once(atInspect, status500, kept, false),
	once(atInspect, truncated, kept, false),
	once(atInspect, lost, kept, false),
	once(atInspect, hang, kept, false),
	away(atInspect, kept, false),

	once(atRemove, status500, kept, false),
	once(atRemove, truncated, kept, false),
	once(atRemove, lost, kept, false),
	once(atRemove, hang, kept, false),
	away(atRemove, kept, true),
}

// once is a cell in which one call gets a fault.
func once(at point, f fault, v verdict, quick bool) cell {
	return cell{name: fmt.Sprintf("%s_%s", at, f), quick: quick, verdict: v, strike: func(t *testing.T, s *stand, v verdict) {
		s.proxy.set(at, f, 1)
		batch := s.submit(t, 1, 0)
		if at != atRemove {
			s.proxy.untilHit(t)
		}
		s.finish(t, batch)
		s.judge(t, v, batch, 1)
	}}
}

// away is a cell in which the engine's socket goes away with a call, and comes back
// when the runner has told that it takes no jobs.
func away(at point, v verdict, quick bool) cell {
	return cell{name: fmt.Sprintf("%s_gone", at), quick: quick, verdict: v, strike: func(t *testing.T, s *stand, v verdict) {
		s.proxy.set(at, socketGone, 1)
		batch := s.submit(t, 1, 0)
		if at == atRemove {
			s.waitReady(t, batch, 1)
			release(t, s.ready(batch)...)
		}
		s.proxy.untilHit(t)
		s.pausedFor(t, "does not answer")
		s.proxy.back(t)
		s.pausedFor(t, "")
		s.finish(t, batch)
		s.judge(t, v, batch, 1)
	}}
}

// engineMoreCells are engines that are away for longer.
var engineMoreCells = []cell{
	{name: "gone_while_running", quick: true, verdict: kept, strike: goneWhileRunning},
	{name: "gone_while_ending", verdict: failed, strike: goneWhileEnding},
	{name: "gone_before_claim", verdict: kept, strike: goneBeforeClaim},
	{name: "gone_many_waiting", verdict: kept, strike: goneManyWaiting},
}

// goneWhileRunning: the engine is away in the middle of a job's life, the runner
// tells and takes no more, and the job's end is its own.
func goneWhileRunning(t *testing.T, s *stand, v verdict) {
	batch := s.submit(t, 1, 0)
	s.waitReady(t, batch, 1)
	s.proxy.away()
	s.pausedFor(t, "does not answer")
	out := s.lynxctl(t, "runners")
	if !strings.Contains(out, "paused") || !strings.Contains(out, "does not answer") {
		t.Errorf("lynxctl runners prints\n%s", out)
	}
	s.proxy.back(t)
	s.pausedFor(t, "")
	s.finish(t, batch)
	s.judge(t, v, batch, 1)
}

// goneWhileEnding: a job ends by its own fault while the engine is away.
func goneWhileEnding(t *testing.T, s *stand, v verdict) {
	batch := s.submit(t, 1, 3)
	s.waitReady(t, batch, 1)
	s.proxy.away()
	release(t, s.ready(batch)...)
	s.eventually(t, "the job's end", func() error {
		if left := s.processes(t); len(left) > 0 {
			return fmt.Errorf("%q run", left)
		}
		return nil
	})
	s.pausedFor(t, "does not answer")
	s.proxy.back(t)
	s.finish(t, batch)
	s.judge(t, v, batch, 1)
}

// goneBeforeClaim: what is submitted while the engine is away waits.
func goneBeforeClaim(t *testing.T, s *stand, v verdict) {
	s.proxy.away()
	s.pausedFor(t, "does not answer")
	batch := s.submit(t, 1, 0)
	if r := s.results(t, batch)[0]; r.Status != api.JobPending {
		t.Errorf("the job is %s", r.Status)
	}
	s.proxy.back(t)
	s.finish(t, batch)
	s.judge(t, v, batch, 1)
}

// goneManyWaiting: the engine goes away where more jobs wait than there are slots,
// before the runner has looked. None of them may pay for it with all its tries.
func goneManyWaiting(t *testing.T, s *stand, v verdict) {
	const runs = 8
	s.proxy.set(atCreate, socketGone, 1)
	batch := s.submit(t, runs, 0)
	s.proxy.untilHit(t)
	s.pausedFor(t, "does not answer")
	s.proxy.back(t)
	s.finish(t, batch)
	s.judge(t, v, batch, runs)
}

// lynxctl runs the command line and returns what it prints.
func (s *stand) lynxctl(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	args = append(args, "--server", "unix://"+s.dir+"/rest.sock", "--token-file", filepath.Join(s.dir, "data", "token"))
	cmd := exec.CommandContext(ctx, filepath.Join(programs, "lynxctl"), args...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("lynxctl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}
