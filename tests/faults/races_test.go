//go:build engine

package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/tests/internal/stand"
)

// raceCells are two things at once of which one has to win. A proxy holds a call, or
// its answer, back until the other has happened, so that the order is the test's.
var raceCells = []cell{
	{name: "same_id", quick: true, verdict: kept, strike: sameID},
	{name: "same_id_killed", verdict: missed, strike: sameIDKilled},
	{name: "same_installation", quick: true, verdict: kept, strike: sameInstallation},
	{name: "same_directory", quick: true, verdict: kept, strike: sameDirectory},
	{name: "copied_directory", verdict: kept, strike: copiedDirectory},
	{name: "claim_at_drain", quick: true, verdict: kept, furnish: claimAnswersHeld, strike: claimAtDrain},
	{name: "claim_lost_at_stop", verdict: missed, furnish: claimAnswersHeld, strike: claimLostAtStop},
	{name: "cancel_against_result", quick: true, verdict: kept, furnish: behindProxy, strike: cancelAgainstResult},
	{name: "late_result", verdict: missed, furnish: behindProxy, strike: lateResult},
}

// another is a second runner on the host, with directories of its own.
func (s *site) another(t *testing.T, id string) *stand.Runner {
	t.Helper()
	setup := s.setup(id)
	setup.Sub, setup.GRPC = "second", s.Dir+"/grpc.sock"
	return s.NewRunner(t, setup)
}

// says waits until a runner has logged something.
func (s *site) says(t *testing.T, r *stand.Runner, word string) {
	t.Helper()
	s.Eventually(t, "the runner to say "+word, func() error {
		if !strings.Contains(r.Says(), word) {
			return fmt.Errorf("it does not")
		}
		return nil
	})
}

// leavesNothing ends a runner and looks for what it left.
func leavesNothing(t *testing.T, r *stand.Runner) {
	t.Helper()
	r.Stop(t)
	for _, left := range r.Leftovers(t) {
		t.Errorf("%s is left", left)
	}
}

// oneMore has a runner do one more job.
func (s *site) oneMore(t *testing.T, r *stand.Runner, v verdict) {
	t.Helper()
	batch := s.submit(t, 1, 0)
	s.releaseAt(t, r, batch)
	s.finish(t, batch)
	s.judge(t, v, batch, 1)
}

// releaseAt lets the job that a runner has of a batch go on.
func (s *site) releaseAt(t *testing.T, r *stand.Runner, batch string) {
	t.Helper()
	var found []string
	s.Eventually(t, "the job", func() error {
		if found, _ = filepath.Glob(filepath.Join(r.Dir, "output", batch, "*", "attempt-*", "output", "ready")); len(found) != 1 {
			return fmt.Errorf("%d run", len(found))
		}
		return nil
	})
	release(t, filepath.Dir(filepath.Dir(found[0])))
}

const idInUse = "another runner uses this id"

// sameID: a second runner with the id of one that is there waits, and has the id as
// soon as the first has ended.
func sameID(t *testing.T, s *site, v verdict) {
	batch := s.submit(t, 1, 0)
	s.waitRunning(t, batch)
	second := s.another(t, s.runner.ID)
	second.Start(t)
	s.says(t, second, idInUse)
	s.finish(t, batch)
	s.judge(t, v, batch, 1)
	leavesNothing(t, s.runner)
	s.runner = second
	second.Ready(t)
	s.oneMore(t, second, v)
}

// sameIDKilled: the first is killed with a job. The second takes over when the first
// counts as offline, ends what it left, and has its job again.
func sameIDKilled(t *testing.T, s *site, v verdict) {
	batch := s.submit(t, 1, 0)
	s.waitRunning(t, batch)
	first, second := s.runner, s.another(t, s.runner.ID)
	second.Start(t)
	s.says(t, second, idInUse)
	first.Kill(t)
	s.releaseAt(t, second, batch)
	s.finish(t, batch)
	s.judge(t, v, batch, 1)
	first.Start(t)
	s.says(t, first, idInUse)
	leavesNothing(t, second)
	first.Ready(t) // and has dealt with what it had in hand
}

// sameInstallation: a runner that is killed and started again has its id at once.
func sameInstallation(t *testing.T, s *site, v verdict) {
	batch := s.submit(t, 1, 0)
	s.waitRunning(t, batch)
	s.runner.Kill(t)
	s.runner.Start(t)
	s.finish(t, batch)
	s.judge(t, v, batch, 1)
	if strings.Contains(s.runner.Says(), idInUse) {
		t.Error("the runner's own id was refused to it")
	}
}

// sameDirectory: a second process on a state directory ends at once, and says whose
// it is.
func sameDirectory(t *testing.T, s *site, v verdict) {
	batch := s.submit(t, 1, 0)
	s.waitRunning(t, batch)
	second := s.NewRunner(t, s.setup(s.runner.ID))
	second.Start(t)
	err := second.Wait()
	said := second.Says()
	for _, word := range []string{filepath.Join(s.Dir, "state"), "in use by another process", fmt.Sprint(s.runner.Pid())} {
		if err == nil || !strings.Contains(said, word) {
			t.Errorf("%v, without %q: %s", err, word, said)
		}
	}
	s.finish(t, batch)
	s.judge(t, v, batch, 1)
}

// copiedDirectory: a second runner is started with a copy of the first's state directory.
// It waits, and says why; the first does not notice.
func copiedDirectory(t *testing.T, s *site, v verdict) {
	batch := s.submit(t, 1, 0)
	s.waitRunning(t, batch)
	second := s.another(t, s.runner.ID)
	stand.Must(t, os.CopyFS(filepath.Join(second.Dir, "state"), os.DirFS(filepath.Join(s.Dir, "state"))))
	second.Start(t)
	s.says(t, second, "its state directory was copied")
	s.finish(t, batch)
	s.judge(t, v, batch, 1)
	leavesNothing(t, second)
	if said := s.runner.Says(); strings.Contains(said, idInUse) || strings.Contains(said, "registering again") {
		t.Errorf("the first was disturbed: %s", said)
	}
}

// claimAnswersHeld holds the answers to the runner's first questions for jobs back.
func claimAnswersHeld(t *testing.T, s *site) {
	behindProxy(t, s)
	held := make(chan struct{})
	s.letGo = sync.OnceFunc(func() { close(held) })
	t.Cleanup(s.letGo)
	s.platform.Set("ClaimJobs", stand.PlatformFault{Hold: held, After: true, Times: 1})
}

// claimInFlight submits a study whose job is in an answer that does not arrive.
func (s *site) claimInFlight(t *testing.T) string {
	t.Helper()
	batch := s.submit(t, 1, 0)
	s.Eventually(t, "the claim", func() error {
		if r := s.Results(t, batch)[0]; r.Status != api.JobClaimed {
			return fmt.Errorf("the job is %s", r.Status)
		}
		return nil
	})
	return batch
}

// claimAtDrain: a user drains the runner while a job is on its way to it. That one is
// run, and no other.
func claimAtDrain(t *testing.T, s *site, v verdict) {
	batch := s.claimInFlight(t)
	_, err := s.Client.Drain(t.Context(), s.runner.ID)
	stand.Must(t, err)
	next := s.submit(t, 1, 0)
	s.letGo()
	s.finish(t, batch)
	s.judge(t, v, batch, 1)
	if r := s.Results(t, next)[0]; r.Status != api.JobPending {
		t.Errorf("a drained runner has another job: it is %s", r.Status)
	}
	_, err = s.Client.Resume(t.Context(), s.runner.ID)
	stand.Must(t, err)
	s.finish(t, next)
	s.judge(t, v, next, 1)
}

// claimLostAtStop: the runner ends while a job is on its way to it, and hears nothing
// of it. The platform gives the job out again as soon as the runner has left.
func claimLostAtStop(t *testing.T, s *site, v verdict) {
	batch := s.claimInFlight(t)
	s.runner.Stop(t)
	if r := s.Results(t, batch)[0]; r.Status != api.JobPending {
		t.Errorf("the job is %s when its runner has left", r.Status)
	}
	s.letGo()
	s.runner.Start(t)
	s.finish(t, batch)
	s.judge(t, v, batch, 1)
}

// cancelAgainstResult: a user cancels a job whose result is on its way. What is
// finished stays so.
func cancelAgainstResult(t *testing.T, s *site, v verdict) {
	held := make(chan struct{})
	letGo := sync.OnceFunc(func() { close(held) })
	t.Cleanup(letGo)
	s.platform.Set("ReportResult", stand.PlatformFault{Hold: held, Times: 1})
	batch := s.submit(t, 1, 0)
	s.waitRunning(t, batch)
	release(t, s.ready(batch)...)
	s.Eventually(t, "the result", func() error {
		if n := s.platform.Left("ReportResult"); n > 0 {
			return fmt.Errorf("it is not sent")
		}
		return nil
	})
	_, err := s.Client.CancelJob(t.Context(), s.Results(t, batch)[0].JobID)
	stand.Must(t, err)
	letGo()
	s.finish(t, batch)
	s.judge(t, v, batch, 1)
}

// lateResult: a runner is cut off, its job given to another when the lease is over,
// and then it delivers. The other's result counts.
func lateResult(t *testing.T, s *site, v verdict) {
	batch := s.submit(t, 1, 0)
	s.waitRunning(t, batch)
	s.platform.Away()
	release(t, s.ready(batch)...)
	s.waitEnded(t, 1)
	second := s.another(t, s.runner.ID+"-second")
	second.Start(t)
	s.Eventually(t, "the second runner to have the job", func() error {
		r, err := s.Client.Runner(t.Context(), second.ID)
		if err == nil && r.ActiveJobs != 1 {
			err = fmt.Errorf("it has %d", r.ActiveJobs)
		}
		return err
	})
	s.platform.Back(t)
	s.says(t, s.runner, "the attempt was given to another runner; its result is dropped")
	s.releaseAt(t, second, batch)
	s.finish(t, batch)
	s.judge(t, v, batch, 1)
	leavesNothing(t, second)
}
