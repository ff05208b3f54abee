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
	"github.com/tetryx/lynx-runner/tests/internal/stand"
)

// engineCells are faults of single calls to the engine.
var engineCells = []cell{
	once(stand.AtCreate, stand.Status500, requeued, true),
	once(stand.AtCreate, stand.Truncated, kept, false),
	once(stand.AtCreate, stand.Lost, kept, false),
	once(stand.AtCreate, stand.Hang, kept, false),
	away(stand.AtCreate, kept, false),

	once(stand.AtStart, stand.Status500, requeued, false),
	once(stand.AtStart, stand.Truncated, kept, true),
	once(stand.AtStart, stand.Lost, kept, false),
	once(stand.AtStart, stand.Hang, kept, false),
	away(stand.AtStart, kept, true),

	once(stand.AtWait, stand.Status500, requeued, false),
	once(stand.AtWait, stand.Truncated, kept, true),
	once(stand.AtWait, stand.Hang, kept, false),
	away(stand.AtWait, kept, false),

	once(stand.AtInspect, stand.Status500, kept, false),
	once(stand.AtInspect, stand.Truncated, kept, false),
	once(stand.AtInspect, stand.Lost, kept, false),
	once(stand.AtInspect, stand.Hang, kept, false),
	away(stand.AtInspect, kept, false),

	once(stand.AtRemove, stand.Status500, kept, false),
	once(stand.AtRemove, stand.Truncated, kept, false),
	once(stand.AtRemove, stand.Lost, kept, false),
	once(stand.AtRemove, stand.Hang, kept, false),
	away(stand.AtRemove, kept, true),
}

// once is a cell in which one call gets a fault.
func once(at stand.Point, f stand.Fault, v verdict, quick bool) cell {
	return cell{name: fmt.Sprintf("%s_%s", at, f), quick: quick, verdict: v, strike: func(t *testing.T, s *site, v verdict) {
		s.proxy.Set(at, f, 1)
		batch := s.submit(t, 1, 0)
		if at != stand.AtRemove {
			s.proxy.UntilHit(t)
		}
		s.finish(t, batch)
		s.judge(t, v, batch, 1)
	}}
}

// away is a cell in which the engine's socket goes away with a call, and comes back
// when the runner has told that it takes no jobs.
func away(at stand.Point, v verdict, quick bool) cell {
	return cell{name: fmt.Sprintf("%s_gone", at), quick: quick, verdict: v, strike: func(t *testing.T, s *site, v verdict) {
		s.proxy.Set(at, stand.SocketGone, 1)
		batch := s.submit(t, 1, 0)
		if at == stand.AtRemove {
			s.waitReady(t, batch, 1)
			release(t, s.ready(batch)...)
		}
		s.proxy.UntilHit(t)
		s.runner.PausedFor(t, "does not answer")
		s.proxy.Back(t)
		s.runner.PausedFor(t, "")
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
func goneWhileRunning(t *testing.T, s *site, v verdict) {
	batch := s.submit(t, 1, 0)
	s.waitReady(t, batch, 1)
	s.proxy.Away()
	s.runner.PausedFor(t, "does not answer")
	out := s.lynxctl(t, "runners")
	if !strings.Contains(out, "paused") || !strings.Contains(out, "does not answer") {
		t.Errorf("lynxctl runners prints\n%s", out)
	}
	s.proxy.Back(t)
	s.runner.PausedFor(t, "")
	s.finish(t, batch)
	s.judge(t, v, batch, 1)
}

// goneWhileEnding: a job ends by its own fault while the engine is away.
func goneWhileEnding(t *testing.T, s *site, v verdict) {
	batch := s.submit(t, 1, 3)
	s.waitReady(t, batch, 1)
	s.proxy.Away()
	release(t, s.ready(batch)...)
	s.Eventually(t, "the job's end", func() error {
		if left := s.users.Processes(t); len(left) > 0 {
			return fmt.Errorf("%q run", left)
		}
		return nil
	})
	s.runner.PausedFor(t, "does not answer")
	s.proxy.Back(t)
	s.finish(t, batch)
	s.judge(t, v, batch, 1)
}

// goneBeforeClaim: what is submitted while the engine is away waits.
func goneBeforeClaim(t *testing.T, s *site, v verdict) {
	s.proxy.Away()
	s.runner.PausedFor(t, "does not answer")
	batch := s.submit(t, 1, 0)
	if r := s.Results(t, batch)[0]; r.Status != api.JobPending {
		t.Errorf("the job is %s", r.Status)
	}
	s.proxy.Back(t)
	s.finish(t, batch)
	s.judge(t, v, batch, 1)
}

// goneManyWaiting: the engine goes away where more jobs wait than there are slots,
// before the runner has looked. None of them may pay for it with all its tries.
func goneManyWaiting(t *testing.T, s *site, v verdict) {
	const runs = 8
	s.proxy.Set(stand.AtCreate, stand.SocketGone, 1)
	batch := s.submit(t, runs, 0)
	s.proxy.UntilHit(t)
	s.runner.PausedFor(t, "does not answer")
	s.proxy.Back(t)
	s.finish(t, batch)
	s.judge(t, v, batch, runs)
}

// lynxctl runs the command line and returns what it prints.
func (s *site) lynxctl(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	args = append(args, "--server", "unix://"+s.Dir+"/rest.sock", "--token-file", filepath.Join(s.Dir, "data", "token"))
	cmd := exec.CommandContext(ctx, filepath.Join(programs, "lynxctl"), args...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("lynxctl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}
