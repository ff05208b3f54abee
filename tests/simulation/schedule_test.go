package simulation

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/platform"
	"github.com/tetryx/lynx-runner/internal/study"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

var (
	theSeed = flag.Uint64("seed", 0, "run the schedule of this seed only")
	seeds   = flag.Uint64("seeds", manySeeds, "how many schedules to run")
)

const (
	// trouble is how long faults go on, patience how long the rest may take then.
	trouble  = 4 * time.Minute
	patience = 30 * time.Minute
)

// claim and heartbeat are the calls with what a model has to say.
func claim(ctx context.Context, svc *platform.Service, session string, n int) ([]*runnerv1.Assignment, error) {
	return svc.Claim(ctx, session, n, 0)
}

func heartbeat(ctx context.Context, svc *platform.Service, session string, held []platform.AttemptRef) (platform.Instructions, error) {
	return svc.Heartbeat(ctx, session, held, false, "")
}

// report hands in a result, and checks what the platform makes of it.
func (w *world) report(ctx context.Context, svc *platform.Service, session string, rep report) error {
	err := svc.ReportResult(ctx, session, rep.ref, &runnerv1.Result{Outcome: rep.outcome, ErrorMessage: "of " + rep.ref.AttemptID})
	a := attemptOf(rep.ref)
	switch {
	case err == nil:
		if _, again := w.accepted[a]; !again {
			w.note("accepted %v: %s", rep.ref, rep.outcome)
			w.accepted[a] = rep.outcome
		}
	case errors.Is(err, platform.ErrStaleToken):
		w.refusedRightly(ctx, svc, rep)
	case !errors.Is(err, platform.ErrUnknownSession):
		w.failf("result of %s: %v", rep.ref.AttemptID, err)
	}
	return err
}

// refusedRightly: a result is only refused where another claim came after, the
// job is over, or the platform has forgotten the claim. Compute is not thrown away
// for less.
func (w *world) refusedRightly(ctx context.Context, svc *platform.Service, rep report) {
	jobID, number, err := platform.ParseAttemptID(rep.ref.AttemptID)
	w.must(err)
	j, err := svc.Job(ctx, jobID)
	w.must(err)
	forgotten := number > len(j.History) || j.History[number-1].Token != rep.ref.Token
	if j.Current(rep.ref.Token) {
		w.failf("the result of %v was refused, although it is the job's current attempt: %+v", rep.ref, j.Job)
	}
	if forgotten && !w.loses {
		w.failf("the platform does not know the claim of %v", rep.ref)
	}
}

// submit hands in a small batch.
func (w *world) submit() {
	if w.svc == nil {
		w.after(time.Second, w.submit)
		return
	}
	text := fmt.Sprintf("simulation: {type: basilisk, name: s, version: '1'}\n"+
		"monte_carlo: {runs: %d, sampling_method: random, seed: 1, max_failed: 100%%}\n"+
		"dispersions: {x: {distribution: {type: uniform, min: 0, max: 1}, units: none}}\n"+
		"compute: {max_retries: %d, max_parallel_jobs: %d}\n", 1+w.rng.IntN(5), w.rng.IntN(3), 1+w.rng.IntN(5))
	request, err := study.Parse([]byte(text), "study.yaml")
	w.must(err)
	b, err := w.svc.Submit(context.Background(), request)
	w.must(err)
	w.batches = append(w.batches, b.ID)
}

// fault is one thing that goes wrong, or one thing that a user does.
func (w *world) fault() {
	if w.healed {
		return
	}
	ctx, r := context.Background(), pick(w, w.runners...)
	switch w.rng.IntN(10) {
	case 0, 1:
		r.crash()
	case 2:
		w.crashPlatform()
	case 3:
		if w.loses {
			w.forget()
		}
	case 4:
		r.cutOff = true
		w.after(w.between(time.Second, 150*time.Second), func() { r.cutOff = false })
	case 5:
		w.skew += w.between(-2*time.Minute, 2*time.Minute)
	case 6:
		if w.svc != nil {
			do := pick(w, w.svc.Drain, w.svc.Resume)
			if _, err := do(ctx, r.id); !errors.Is(err, platform.ErrNotFound) {
				w.must(err)
			}
		}
	case 7:
		w.cancel(ctx)
	case 8:
		if w.svc != nil && len(w.batches) > 0 {
			_, _, err := w.svc.RerunBatch(ctx, pick(w, w.batches...), []api.JobState{api.JobFailed, api.JobTimeout, api.JobCancelled})
			w.must(err)
		}
	case 9:
		r.stop()
	}
	w.after(w.between(time.Second, 30*time.Second), w.fault)
}

// cancel cancels a job, now and then a batch.
func (w *world) cancel(ctx context.Context) {
	if w.svc == nil || len(w.batches) == 0 || w.chance(0.5) {
		return
	}
	id := pick(w, w.batches...)
	if w.chance(0.3) {
		_, err := w.svc.CancelBatch(ctx, id)
		w.must(err)
		return
	}
	jobs, _, err := w.svc.Jobs(ctx, platform.JobFilter{BatchID: id}, platform.Page{})
	w.must(err)
	_, err = w.svc.CancelJob(ctx, pick(w, jobs...).ID)
	w.must(err)
}

// heal ends the trouble: what is down comes back by itself, drains are undone.
func (w *world) heal() {
	w.note("healed")
	w.healed = true
	for _, r := range w.runners {
		r.cutOff = false
		w.resume(r)
	}
}

func (w *world) resume(r *runner) {
	if w.svc != nil {
		_, err := w.svc.Resume(context.Background(), r.id)
		if err == nil {
			return
		}
		if !errors.Is(err, platform.ErrNotFound) {
			w.failf("%v", err)
		}
	}
	w.after(5*time.Second, func() { w.resume(r) })
}

// over reports whether nothing is left to do.
func (w *world) over() bool {
	if w.svc == nil {
		return false
	}
	for _, r := range w.runners {
		if len(r.outbox)+len(r.host) > 0 {
			return false
		}
	}
	for _, id := range w.batches {
		b, err := w.svc.Batch(context.Background(), id)
		w.must(err)
		if b.Counts.Terminal() < b.Spec.Runs {
			return false
		}
	}
	return true
}

// rest says what is left to do.
func (w *world) rest() string {
	var text strings.Builder
	for _, r := range w.runners {
		fmt.Fprintf(&text, "\n%s: up %v, session %q, drained %v, asking %v, outbox %v, host %v", r.id, r.up, r.session, r.drained, r.asking, r.outbox, r.host)
	}
	if w.svc == nil {
		return text.String() + "\nthe platform is down"
	}
	views, err := w.svc.Runners(context.Background())
	w.must(err)
	fmt.Fprintf(&text, "\nrunners %+v", views)
	for _, id := range w.batches {
		jobs, _, err := w.svc.Jobs(context.Background(), platform.JobFilter{BatchID: id}, platform.Page{})
		w.must(err)
		for _, j := range jobs {
			if !j.State.Terminal() {
				fmt.Fprintf(&text, "\njob %+v", j.Job)
			}
		}
	}
	return text.String()
}

// schedule runs one schedule and checks its end. It returns the sum of its trace.
func schedule(t testing.TB, seed uint64) uint64 {
	w := newWorld(t, seed)
	for range 1 + w.rng.IntN(3) {
		w.after(w.between(0, time.Minute), w.submit)
	}
	w.after(w.between(0, 20*time.Second), w.fault)
	w.run(trouble, func() bool { return false })
	w.heal()
	w.run(trouble+patience, w.over)
	if !w.over() {
		w.failf("it did not come to an end: %s", w.rest())
	}
	w.check(context.Background())
	return w.sum()
}

// check looks at every job in the end.
func (w *world) check(ctx context.Context) {
	for _, id := range w.batches {
		b, err := w.svc.Batch(ctx, id)
		w.must(err)
		jobs, _, err := w.svc.Jobs(ctx, platform.JobFilter{BatchID: id}, platform.Page{})
		w.must(err)
		if len(jobs) != b.Spec.Runs || !b.State.Terminal() {
			w.failf("batch %s has %d jobs of %d and is %s", id, len(jobs), b.Spec.Runs, b.State)
		}
		for _, j := range jobs {
			w.checkJob(ctx, &b, j.ID)
		}
	}
}

// states is what each outcome makes of a job that is not tried again.
var states = map[api.Outcome]api.JobState{
	api.OutcomeCompleted: api.JobCompleted, api.OutcomeTimeout: api.JobTimeout, api.OutcomeCancelled: api.JobCancelled,
	api.OutcomeNonzeroExit: api.JobFailed, api.OutcomeEarlyTermination: api.JobFailed, api.OutcomeInfrastructure: api.JobFailed,
}

// checkJob: a job has one end, and it is that of its last attempt as it truly was.
// What a runner or a crash did is never the simulation's failure.
func (w *world) checkJob(ctx context.Context, b *platform.Batch, id string) {
	j, err := w.svc.Job(ctx, id)
	w.must(err)
	if states[j.Outcome] != j.State || j.Retries > b.Spec.MaxRetries*(1+j.Reruns) || j.Requeues > platform.MaxRequeues*(1+j.Reruns) {
		w.failf("job %s is %s, outcome %s, %d retries, %d requeues", id, j.State, j.Outcome, j.Retries, j.Requeues)
	}
	// Cancelled while it waits, a job has no attempt beyond those that are counted.
	if extra := len(j.History) - j.Retries - j.Requeues - j.Reruns; extra != 1 && (extra != 0 || !j.CancelRequested) {
		w.failf("job %s had %d attempts with %d retries, %d requeues and %d reruns", id, len(j.History), j.Retries, j.Requeues, j.Reruns)
	}
	for _, a := range j.History {
		key := attempt{a.ID(), a.Token}
		switch outcome, ok := w.accepted[key]; {
		case ok != a.HasResult:
			w.failf("attempt %s has a result: %v; it was acknowledged: %v", a.ID(), a.HasResult, ok)
		case ok && (outcome != string(a.Outcome) || outcome != w.truth[key]):
			w.failf("attempt %s is %s, was reported as %s and came to %s", a.ID(), a.Outcome, outcome, w.truth[key])
		}
	}
	switch last := len(j.History) - 1; {
	case j.Outcome == api.OutcomeInfrastructure && j.Requeues < platform.MaxRequeues:
		w.failf("job %s was given up after %d requeues", id, j.Requeues)
	case j.Outcome == api.OutcomeCancelled && !j.CancelRequested:
		w.failf("job %s was cancelled by nobody", id)
	case j.Outcome != api.OutcomeInfrastructure && j.Outcome != api.OutcomeCancelled &&
		(last < 0 || !j.History[last].HasResult || j.History[last].Outcome != j.Outcome || j.Reported != last+1):
		w.failf("job %s is %s, which its last attempt did not report: %+v", id, j.Outcome, j.History)
	}
}

// TestSchedules runs the schedules of many seeds.
func TestSchedules(t *testing.T) {
	if *theSeed != 0 {
		schedule(t, *theSeed)
		return
	}
	const shards = 4
	for shard := range uint64(shards) {
		t.Run(fmt.Sprintf("shard %d", shard), func(t *testing.T) {
			t.Parallel()
			for seed := 1 + shard; seed <= *seeds; seed += shards {
				schedule(t, seed)
			}
		})
	}
}

// TestSameSeedSameSchedule: a seed that fails can be run again.
func TestSameSeedSameSchedule(t *testing.T) {
	for seed := range uint64(20) {
		if a, b := schedule(t, seed+1), schedule(t, seed+1); a != b {
			t.Errorf("seed %d gives two schedules", seed+1)
		}
	}
}
