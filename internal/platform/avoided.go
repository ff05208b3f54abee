package platform

import (
	"slices"
	"sync"
	"time"
)

// avoidFor is for how long a job that was requeued is kept for runners that have not
// had it.
const avoidFor = time.Minute

// avoided remembers which runners a job was taken back from: a host that fails all
// that it is given would else get it again at once, being free, and use up its
// requeues. For avoidFor the job goes to another runner, if one is connected that
// takes jobs and is large enough, busy or not; to anyone after that. It is forgotten
// then, or when the process ends.
type avoided struct {
	mu   sync.Mutex
	jobs map[string]*avoidance // by id
}

// avoidance is one job's.
type avoidance struct {
	batchID string
	work    work
	runners []string // that had it
	until   time.Time
}

// requeued is a job that was taken back from a runner.
type requeued struct {
	batchID, jobID, runnerID string

	work work
}

func (a *avoided) add(now time.Time, all []requeued) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range all {
		if a.jobs == nil {
			a.jobs = map[string]*avoidance{}
		}
		j := a.jobs[r.jobID]
		if j == nil {
			j = &avoidance{batchID: r.batchID, work: r.work}
			a.jobs[r.jobID] = j
		}
		j.until = now.Add(avoidFor)
		if !slices.Contains(j.runners, r.runnerID) {
			j.runners = append(j.runners, r.runnerID)
		}
	}
}

// over forgets the jobs that may go to anyone by now, and returns what work they are,
// by batch. Some may be nobody's to do any more.
func (a *avoided) over(now time.Time) map[string]work {
	a.mu.Lock()
	defer a.mu.Unlock()
	anyones := map[string]work{}
	for id, j := range a.jobs {
		if j.until.After(now) {
			continue
		}
		k, seen := anyones[j.batchID]
		if !seen {
			k = j.work
			k.n, k.not = 0, ""
		}
		k.n++
		anyones[j.batchID] = k
		delete(a.jobs, id)
	}
	return anyones
}

// of is the jobs of a batch that a runner had, each with all that had it.
func (a *avoided) of(batchID, runnerID string, now time.Time) map[string][]string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var had map[string][]string
	for id, j := range a.jobs {
		if j.batchID == batchID && j.until.After(now) && slices.Contains(j.runners, runnerID) {
			if had == nil {
				had = map[string][]string{}
			}
			had[id] = slices.Clone(j.runners)
		}
	}
	return had
}

// move moves all that is remembered with a clock that is set.
func (a *avoided) move(d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, j := range a.jobs {
		j.until = j.until.Add(d)
	}
}

// endAvoidance wakes runners for the jobs that they had before and that nobody else has
// taken meanwhile.
func (s *Service) endAvoidance() {
	for _, k := range s.avoided.over(s.now()) {
		s.waiters.wake(k)
	}
}

// forOthers is the jobs of a batch that a runner leaves to others, because it had them
// and another could take them.
func (s *Service) forOthers(u *unit, b *Batch, r *Runner) (map[string]bool, error) {
	had := s.avoided.of(b.ID, r.ID, u.now)
	if len(had) == 0 {
		return nil, nil
	}
	all, err := u.Runners()
	if err != nil {
		return nil, err
	}
	leave := map[string]bool{}
	for id, runners := range had {
		if slices.ContainsFunc(all, func(o Runner) bool {
			return !slices.Contains(runners, o.ID) && !o.offline(u.now, s.opts.OfflineAfter) && o.takesJobs() && workOf(b, 1).suits(&o)
		}) {
			leave[id] = true
		}
	}
	return leave, nil
}
