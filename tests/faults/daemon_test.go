//go:build engine

package faults

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/tests/internal/stand"
)

// ownEngine gives a site an engine of its own.
func ownEngine(liveRestore bool) func(t *testing.T, s *site) {
	return func(t *testing.T, s *site) {
		s.daemon = stand.NewEngine(t, filepath.Join(s.Dir, "engine"), liveRestore)
		s.daemon.Load(t, image)
		s.engine = s.daemon.Socket
	}
}

// daemonCells happen to the engine's process.
var daemonCells = []cell{
	{name: "killed_live_restore", quick: true, verdict: kept, furnish: ownEngine(true), strike: restarted(syscall.SIGKILL)},
	{name: "killed", verdict: requeued, furnish: ownEngine(false), strike: restarted(syscall.SIGKILL)},
	{name: "stopped_live_restore", verdict: kept, furnish: ownEngine(true), strike: restarted(syscall.SIGTERM)},
	{name: "stopped", quick: true, verdict: requeued, furnish: ownEngine(false), strike: restarted(syscall.SIGTERM)},
	{name: "ended_while_killed", verdict: failed, furnish: ownEngine(true), strike: endedMeanwhile(3, nil)},
	{name: "ended_while_killed_no_live_restore", verdict: failed, furnish: ownEngine(false), strike: endedMeanwhile(3, nil)},
	{name: "forgets_an_end", verdict: failed, furnish: ownEngine(true), strike: endedMeanwhile(3, forgetEnd)},
	{name: "forgets_a_container", verdict: failed, furnish: ownEngine(true), strike: endedMeanwhile(3, forgetContainer)},
	{name: "forgets_a_container_without_a_runner", verdict: failed, furnish: ownEngine(true), strike: endedMeanwhile(3, forgetContainerAlone)},
	{name: "forgets_a_start", verdict: requeued, furnish: ownEngine(true), strike: forgottenStart},
	{name: "forgets_a_start_no_live_restore", verdict: requeued, furnish: ownEngine(false), strike: forgottenStart},
	{name: "frozen", verdict: failed, furnish: ownEngine(false), strike: frozen},
	{name: "stopped_by_hand", verdict: requeued, furnish: ownEngine(false), strike: stoppedByHand},
	{name: "removed_by_hand", verdict: requeued, furnish: ownEngine(false), strike: removedByHand},
}

// waitRunning waits until a batch's job has run to its middle, and the engine has said
// that it started it: an engine that is killed before loses the container.
func (s *site) waitRunning(t *testing.T, batch string) {
	t.Helper()
	s.waitReady(t, batch, 1)
	s.Eventually(t, "the word that the job runs", func() error {
		if r := s.Results(t, batch)[0]; r.Status != api.JobRunning {
			return fmt.Errorf("it is %s", r.Status)
		}
		return nil
	})
}

// restarted ends the engine with a job running, and starts it again.
func restarted(sig syscall.Signal) func(t *testing.T, s *site, v verdict) {
	return func(t *testing.T, s *site, v verdict) {
		batch := s.submit(t, 1, 0)
		s.waitRunning(t, batch)
		s.daemon.Stop(t, sig)
		s.runner.PausedFor(t, "does not answer")
		s.daemon.Start(t)
		s.runner.PausedFor(t, "")
		s.finish(t, batch)
		s.judge(t, v, batch, 1)
	}
}

// endedMeanwhile has a job end while its killed engine is away, and something more
// happen before the engine is back.
func endedMeanwhile(code int, more func(t *testing.T, s *site)) func(t *testing.T, s *site, v verdict) {
	return func(t *testing.T, s *site, v verdict) {
		batch := s.submit(t, 1, code)
		s.waitRunning(t, batch)
		s.daemon.Stop(t, syscall.SIGKILL)
		release(t, s.ready(batch)...)
		s.Eventually(t, "the job's end", func() error {
			if left := s.users.Processes(t); len(left) > 0 {
				return fmt.Errorf("%q run", left)
			}
			return nil
		})
		if more != nil {
			more(t, s)
		}
		s.daemon.Start(t)
		if !s.runner.Up() {
			s.runner.Start(t)
		}
		s.finish(t, batch)
		s.judge(t, v, batch, 1)
	}
}

// frozen: the engine's process stands still while a job ends.
func frozen(t *testing.T, s *site, v verdict) {
	batch := s.submit(t, 1, 3)
	s.waitRunning(t, batch)
	s.daemon.Signal(t, syscall.SIGSTOP)
	release(t, s.ready(batch)...)
	s.runner.PausedFor(t, "does not answer")
	s.daemon.Signal(t, syscall.SIGCONT)
	s.finish(t, batch)
	s.runner.PausedFor(t, "")
	s.judge(t, v, batch, 1)
}

// container is the id of the one container that runs.
func (s *site) container(t *testing.T) string {
	t.Helper()
	id := stand.Docker(t, s.engine, "ps", "--quiet", "--no-trunc", "--filter", "label=io.tetryx.lynx.runner="+s.runner.ID)
	if len(strings.Fields(id)) != 1 {
		t.Fatalf("containers %q run", id)
	}
	return id
}

// stoppedByHand: an administrator stops the container.
func stoppedByHand(t *testing.T, s *site, v verdict) {
	batch := s.submit(t, 1, 0)
	s.waitRunning(t, batch)
	stand.Docker(t, s.engine, "stop", s.container(t))
	s.finish(t, batch)
	s.judge(t, v, batch, 1)
}

// removedByHand: an administrator removes the container with the job in it.
func removedByHand(t *testing.T, s *site, v verdict) {
	batch := s.submit(t, 1, 0)
	s.waitRunning(t, batch)
	stand.Docker(t, s.engine, "rm", "--force", s.container(t))
	s.finish(t, batch)
	s.judge(t, v, batch, 1)
}
