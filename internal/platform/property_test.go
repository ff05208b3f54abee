package platform_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/platform"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// chaos drives a platform with events in any order, as runners, users and time
// might, and remembers what must not change.
type chaos struct {
	*world
	*rapid.T

	sessions map[string][]string              // of each runner, all that it ever had
	refs     map[string][]platform.AttemptRef // of each runner, all that it ever claimed
	accepted map[string]*runnerv1.Result      // by attempt id
	batches  map[string]int                   // N of each batch
	over     map[string]platform.Job          // terminal jobs as they were
	tokens   map[string][]platform.Token      // by job id, in the order of claims
	seen     map[string]platform.Batch        // by id, as seen last
}

var chaosRunners = []string{"a", "b", "c"}

func (c *chaos) runner() string { return rapid.SampledFrom(chaosRunners).Draw(c.T, "runner") }

// session is a runner's current one, mostly.
func (c *chaos) session(r string) string {
	all := c.sessions[r]
	if len(all) == 0 {
		return "none"
	}
	if rapid.IntRange(0, 9).Draw(c.T, "old session") == 0 {
		return rapid.SampledFrom(all).Draw(c.T, "session")
	}
	return all[len(all)-1]
}

// ref is an attempt that the runner ever had, the latest ones mostly, or somebody
// else's, or one that never was.
func (c *chaos) ref(r string) (platform.AttemptRef, bool) {
	whose := r
	if rapid.IntRange(0, 9).Draw(c.T, "foreign") == 0 {
		whose = c.runner()
	}
	all := c.refs[whose]
	if len(all) == 0 {
		return platform.AttemptRef{}, false
	}
	if rapid.Bool().Draw(c.T, "recent") {
		all = all[max(0, len(all)-3):]
	}
	ref := rapid.SampledFrom(all).Draw(c.T, "ref")
	if rapid.IntRange(0, 19).Draw(c.T, "forged") == 0 {
		ref.Token.Counter++
	}
	return ref, true
}

func (c *chaos) events() map[string]func(*rapid.T) {
	event := func(do func()) func(*rapid.T) {
		return func(t *rapid.T) {
			c.T = t
			do()
		}
	}
	return map[string]func(*rapid.T){
		"submit":     event(c.doSubmit),
		"register":   event(c.doRegister),
		"claim":      event(c.doClaim),
		"claim too":  event(c.doClaim),
		"started":    event(c.doStarted),
		"result":     event(c.doResult),
		"result too": event(c.doResult),
		"heartbeat":  event(c.doHeartbeat),
		"leave":      event(c.doLeave),
		"cancel":     event(c.doCancel),
		"time":       event(c.doTime),
		"drain":      event(c.doDrain),
		"rerun":      event(c.doRerun),
		"restart": event(func() {
			if rapid.IntRange(0, 3).Draw(c.T, "really") == 0 {
				c.restart()
			}
		}),
		"": event(c.check),
	}
}

func (c *chaos) doSubmit() {
	if len(c.batches) >= 4 {
		return
	}
	r := parse(c.TB, rapid.IntRange(1, 5).Draw(c.T, "runs"), fmt.Sprintf("max_retries: %d, max_parallel_jobs: %d",
		rapid.IntRange(0, 2).Draw(c.T, "max_retries"), rapid.IntRange(1, 5).Draw(c.T, "max_parallel_jobs")))
	b, err := c.svc.Submit(c.world.Context(), r)
	c.must(err)
	c.batches[b.ID] = r.Runs()
}

func (c *chaos) doRegister() {
	id := c.runner()
	s, err := c.svc.Register(c.world.Context(), platform.Registration{
		RunnerID: id, InstallationID: rapid.SampledFrom([]string{"one", "one", "one", "two"}).Draw(c.T, "installation"),
		Capabilities: basilisk(),
	})
	if err != nil {
		c.only(err, platform.ErrRunnerIDInUse)
		return
	}
	c.sessions[id] = append(c.sessions[id], s.ID)
}

func (c *chaos) doClaim() {
	r := c.runner()
	as, err := c.svc.Claim(c.world.Context(), c.session(r), rapid.IntRange(1, 4).Draw(c.T, "max_jobs"), 0)
	if err != nil {
		c.only(err, platform.ErrUnknownSession)
		return
	}
	for _, a := range as {
		c.refs[r] = append(c.refs[r], ref(a))
		c.tokens[a.JobId] = append(c.tokens[a.JobId], ref(a).Token)
		if int(a.Attempt) != len(c.tokens[a.JobId]) {
			c.Fatalf("attempt %s after %d claims", a.AttemptId, len(c.tokens[a.JobId])-1)
		}
	}
}

func (c *chaos) doStarted() {
	r := c.runner()
	if ref, ok := c.ref(r); ok {
		c.only(c.started(c.session(r), ref), nil, platform.ErrUnknownSession, platform.ErrStaleToken)
	}
}

var chaosOutcomes = []string{
	"completed", "completed", "nonzero_exit", "signaled", "timeout", "early_termination", "cancelled",
	"infrastructure", "infrastructure", "lease_lost", "from_the_future",
}

func (c *chaos) doResult() {
	r := c.runner()
	ref, ok := c.ref(r)
	if !ok {
		return
	}
	result := &runnerv1.Result{Outcome: rapid.SampledFrom(chaosOutcomes).Draw(c.T, "outcome"), Directory: fmt.Sprint(len(c.accepted))}
	err := c.svc.ReportResult(c.world.Context(), c.session(r), ref, proto.CloneOf(result))
	c.only(err, nil, platform.ErrUnknownSession, platform.ErrStaleToken)
	if err == nil && c.accepted[ref.AttemptID] == nil {
		c.accepted[ref.AttemptID] = result
	}
}

// held is what a runner says that it has.
func (c *chaos) held(r string) (held []platform.AttemptRef) {
	for range rapid.IntRange(0, 4).Draw(c.T, "held") {
		if ref, ok := c.ref(r); ok {
			held = append(held, ref)
		}
	}
	return held
}

func (c *chaos) doLeave() {
	if rapid.IntRange(0, 2).Draw(c.T, "really") > 0 {
		return
	}
	r := c.runner()
	c.only(c.svc.Leave(c.world.Context(), c.session(r), c.held(r)), nil, platform.ErrUnknownSession)
}

func (c *chaos) doHeartbeat() {
	r := c.runner()
	held := c.held(r)
	_, err := c.svc.Heartbeat(c.world.Context(), c.session(r), held, rapid.IntRange(0, 9).Draw(c.T, "draining") == 0, "")
	c.only(err, nil, platform.ErrUnknownSession)
}

func (c *chaos) doCancel() {
	if len(c.batches) == 0 || rapid.IntRange(0, 2).Draw(c.T, "really") > 0 {
		return
	}
	id := rapid.SampledFrom(sortedKeys(c.batches)).Draw(c.T, "batch")
	if rapid.IntRange(0, 3).Draw(c.T, "all of it") == 0 {
		_, err := c.svc.CancelBatch(c.world.Context(), id)
		c.must(err)
		return
	}
	jobs := c.jobs(id)
	_, err := c.svc.CancelJob(c.world.Context(), rapid.SampledFrom(jobs).Draw(c.T, "job").ID)
	c.must(err)
}

func (c *chaos) doTime() {
	c.pass(time.Duration(rapid.IntRange(1, 70).Draw(c.T, "seconds")) * time.Second)
	c.must(c.svc.Tick(c.world.Context()))
}

func (c *chaos) doDrain() {
	set := c.svc.Drain
	if rapid.Bool().Draw(c.T, "resume") {
		set = c.svc.Resume
	}
	_, err := set(c.world.Context(), c.runner())
	c.only(err, nil, platform.ErrNotFound)
}

// doRerun runs again what did not succeed: what was over goes on.
func (c *chaos) doRerun() {
	if len(c.batches) == 0 || rapid.IntRange(0, 2).Draw(c.T, "really") > 0 {
		return
	}
	id := rapid.SampledFrom(sortedKeys(c.batches)).Draw(c.T, "batch")
	before := c.jobs(id)
	if rapid.Bool().Draw(c.T, "one job") {
		j := rapid.SampledFrom(before).Draw(c.T, "job")
		_, err := c.svc.RerunJob(c.world.Context(), j.ID)
		var invalid *platform.InvalidError
		if again := j.State.Terminal() && j.State != api.JobCompleted; again != (err == nil) || !again && !errors.As(err, &invalid) {
			c.Fatalf("rerun of a job that is %s: %v", j.State, err)
		}
		if err == nil {
			c.begunAnew(j)
		}
		return
	}
	states := []api.JobState{api.JobFailed, api.JobTimeout}
	_, n, err := c.svc.RerunBatch(c.world.Context(), id, states)
	c.must(err)
	for _, j := range before {
		if slices.Contains(states, j.State) {
			c.begunAnew(j)
			n--
		}
	}
	if n != 0 {
		c.Fatalf("%d jobs more were run again than there were", n)
	}
}

// begunAnew forgets what must not change about a job, and its batch.
func (c *chaos) begunAnew(j platform.JobView) {
	delete(c.over, j.ID)
	if b, ok := c.seen[j.BatchID]; ok {
		b.State = api.BatchRunning
		c.seen[j.BatchID] = b
	}
	if now, err := c.svc.Job(c.world.Context(), j.ID); err != nil || now.State != api.JobPending || now.Reruns-j.Reruns > 1 {
		c.Fatalf("run again: %+v, %v", now, err)
	}
}

func (c *chaos) must(err error) {
	if err != nil {
		c.Fatal(err)
	}
}

// only allows these errors; nil among them allows success.
func (c *chaos) only(err error, allowed ...error) {
	for _, a := range allowed {
		if errors.Is(err, a) {
			return
		}
	}
	c.Fatalf("unexpected: %v", err)
}

func (c *chaos) jobs(batch string) []platform.JobView {
	jobs, _, err := c.svc.Jobs(c.world.Context(), platform.JobFilter{BatchID: batch}, platform.Page{})
	c.must(err)
	return jobs
}

// check is what holds whatever happened.
func (c *chaos) check() {
	for id, n := range c.batches {
		b, err := c.svc.Batch(c.world.Context(), id)
		c.must(err)
		jobs := c.jobs(id)
		if len(jobs) != n || b.Spec.Runs != n {
			c.Fatalf("batch %s has %d jobs, spec %d; submitted with %d", id, len(jobs), b.Spec.Runs, n)
		}
		c.checkBatch(b, jobs)
		for _, j := range jobs {
			c.checkJob(b, j.ID)
		}
		c.seen[id] = b
	}
}

// checkBatch compares a batch with its jobs and with itself before.
func (c *chaos) checkBatch(b platform.Batch, jobs []platform.JobView) {
	counted := map[api.JobState]int{}
	terminal, claimed := 0, false
	for _, j := range jobs {
		counted[j.State]++
		claimed = claimed || j.Attempts > 0
		if j.State.Terminal() {
			terminal++
		}
	}
	for _, s := range api.JobStates() {
		if b.Counts.Of(s) != counted[s] {
			c.Fatalf("batch %s counts %d jobs %s; there are %d", b.ID, b.Counts.Of(s), s, counted[s])
		}
	}
	want := api.BatchPending
	switch {
	case terminal == len(jobs) && b.CancelRequested:
		want = api.BatchCancelled
	case terminal == len(jobs) && counted[api.JobFailed]+counted[api.JobTimeout] > b.Spec.MaxFailed:
		want = api.BatchFailed
	case terminal == len(jobs):
		want = api.BatchCompleted
	case claimed:
		want = api.BatchRunning
	}
	if b.State != want {
		c.Fatalf("batch %s is %s with %v; want %s", b.ID, b.State, counted, want)
	}
	before, ok := c.seen[b.ID]
	switch {
	case !ok || before == b:
	case b.Revision <= before.Revision:
		c.Fatalf("batch %s changed without a new revision: %s", b.ID, cmp.Diff(before, b))
	case before.State.Terminal():
		c.Fatalf("batch %s changed after its end: %s", b.ID, cmp.Diff(before, b))
	}
}

// checkJob compares a job with its attempts, its results and itself before.
func (c *chaos) checkJob(b platform.Batch, id string) {
	j, err := c.svc.Job(c.world.Context(), id)
	c.must(err)
	tokens := c.tokens[id]
	switch {
	case j.Attempts != len(tokens) || len(j.History) != len(tokens):
		c.Fatalf("job %s has %d attempts, history %d; claimed %d times", id, j.Attempts, len(j.History), len(tokens))
	case len(tokens) > 0 && j.Token != tokens[len(tokens)-1] && (j.Token != platform.Token{} || j.Active()):
		c.Fatalf("job %s has token %v; the last claim got %v", id, j.Token, tokens)
	case j.Retries > b.Spec.MaxRetries*(1+j.Reruns) || j.Requeues > platform.MaxRequeues*(1+j.Reruns) || j.Retries < 0 || j.Requeues < 0:
		c.Fatalf("job %s: %d retries of %d, %d requeues", id, j.Retries, b.Spec.MaxRetries, j.Requeues)
	case !j.State.Terminal() && j.Attempts-j.Retries-j.Requeues-j.Reruns != btoi(j.Active()),
		j.State.Terminal() && j.Attempts != j.Retries+j.Requeues+j.Reruns && j.Attempts != 1+j.Retries+j.Requeues+j.Reruns:
		c.Fatalf("job %s: %d attempts with %d retries and %d requeues", id, j.Attempts, j.Retries, j.Requeues)
	case j.Active() != (j.RunnerID != "" && !j.State.Terminal()):
		c.Fatalf("job %s is %s with runner %q", id, j.State, j.RunnerID)
	case j.State.Terminal() == j.CompletedAt.IsZero() || j.State.Terminal() && j.Outcome == "":
		c.Fatalf("job %s is %s, completed at %v, outcome %q", id, j.State, j.CompletedAt, j.Outcome)
	}
	current := 0
	for i, a := range j.History {
		if a.Number != i+1 || a.Token != tokens[i] {
			c.Fatalf("job %s: attempt %d is %+v; its claim got %v", id, i+1, a, tokens[i])
		}
		if j.Current(a.Token) {
			current++
		}
		if a.EndedAt.IsZero() != (a.Outcome == "") || a.EndedAt.IsZero() && (!j.Active() || i+1 != j.Attempts) {
			c.Fatalf("job %s is %s, attempt %+v", id, j.State, a)
		}
		if a.HasResult != (c.accepted[a.ID()] != nil) {
			c.Fatalf("attempt %s: result %v, acknowledged %v", a.ID(), a.HasResult, c.accepted[a.ID()] != nil)
		}
	}
	wanted := min(1, len(tokens))
	if j.State.Terminal() || j.Token == (platform.Token{}) { // over, or begun anew
		wanted = 0
	}
	if current != wanted {
		c.Fatalf("job %s is %s with %d current tokens", id, j.State, current)
	}
	c.checkResult(&j)
	if before, ok := c.over[id]; ok {
		if !reflect.DeepEqual(before, j.Job) {
			c.Fatalf("job %s changed after its end: %s", id, cmp.Diff(before, j.Job))
		}
	} else if j.State.Terminal() {
		c.over[id] = j.Job
	}
}

// checkResult finds the first result of the latest attempt that has one.
func (c *chaos) checkResult(j *platform.JobView) {
	if j.Reported == 0 {
		return
	}
	r, err := c.svc.JobResult(c.world.Context(), j.ID)
	c.must(err)
	want := c.accepted[platform.AttemptID(j.ID, j.Reported)]
	if !proto.Equal(r.Result, want) {
		c.Fatalf("job %s has result %v; the first one reported was %v", j.ID, r.Result, want)
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func sortedKeys[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func TestWhateverHappens(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := &chaos{
			world: newWorld(t), T: rt,
			sessions: map[string][]string{}, refs: map[string][]platform.AttemptRef{},
			accepted: map[string]*runnerv1.Result{}, batches: map[string]int{},
			over: map[string]platform.Job{}, tokens: map[string][]platform.Token{}, seen: map[string]platform.Batch{},
		}
		c.doSubmit()
		for _, r := range chaosRunners {
			c.sessions[r] = []string{c.register(r)}
		}
		rt.Repeat(c.events())
	})
}
