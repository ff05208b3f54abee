// Package storetest is the suite that every [platform.Store] must pass. It says
// what the service may rely on; a store's own tests add what is particular to it,
// such as durability.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/platform"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// Run runs the suite. open makes a new, empty store and closes it at the end of
// the test that it is given.
func Run(t *testing.T, open func(t *testing.T) platform.Store) {
	for name, test := range map[string]func(*testing.T, platform.Store){
		"an absent record is ErrNotFound":            absent,
		"a batch comes back as it was put":           batchRoundTrip,
		"a job comes back as it was put":             jobRoundTrip,
		"an attempt comes back as it was put":        attemptRoundTrip,
		"an attempt has one result":                  oneResult,
		"a runner comes back as it was put":          runnerRoundTrip,
		"a session is found while it is current":     sessions,
		"batches are listed":                         batchLists,
		"jobs are listed in order":                   jobLists,
		"active jobs are found by runner":            activeJobs,
		"pending jobs are cancelled together":        cancelPending,
		"what is fixed stays":                        fixed,
		"a failed update leaves nothing":             rollback,
		"a failed update leaves others alone":        rollbackAmongOthers,
		"a violated constraint leaves nothing":       constraint,
		"a panic leaves nothing":                     panics,
		"an ended context prevents":                  endedContext,
		"an update sees its own writes":              ownWrites,
		"a view is a snapshot":                       snapshot,
		"concurrent updates do not interleave":       concurrent,
		"a returned record is the caller's own":      ownership,
		"a rolled-back batch leaves no trace behind": reusedSeq,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// epoch is when everything happens, in the precision that stores keep.
var epoch = time.Date(2026, 3, 4, 5, 6, 7, 891_011_000, time.UTC)

func at(seconds int) time.Time { return epoch.Add(time.Duration(seconds) * time.Second) }

// update runs fn and fails the test on an error.
func update(t *testing.T, s platform.Store, fn func(platform.Tx) error) {
	t.Helper()
	if err := s.Update(t.Context(), fn); err != nil {
		t.Fatalf("Update: %v", err)
	}
}

func view(t *testing.T, s platform.Store, fn func(platform.ReadTx) error) {
	t.Helper()
	if err := s.View(t.Context(), fn); err != nil {
		t.Fatalf("View: %v", err)
	}
}

// read is one value from a view.
func read[V any](t *testing.T, s platform.Store, fn func(platform.ReadTx) (V, error)) V {
	t.Helper()
	var v V
	view(t, s, func(tx platform.ReadTx) (err error) {
		v, err = fn(tx)
		return err
	})
	return v
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got, protocmp.Transform()); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func newSpec(runs int) *platform.Spec {
	minutes := 12.5
	return &platform.Spec{
		Name: "study ü", Runs: runs, Seed: 1<<53 - 1, SamplingMethod: "latin_hypercube",
		Columns: []platform.Column{{Name: "a", Unit: "m"}, {Name: "b"}},
		Simulation: platform.Simulation{
			Type: "basilisk", Name: "Orbit", Version: "1.0.0", DurationMinutes: &minutes, Entrypoint: "x/y.py",
			Command: []string{"sim", "--fast"},
		},
		Compute: platform.Compute{Image: "i", CPUMillis: 1500, MemoryBytes: 1 << 40, GPUs: 1, Timeout: 90 * time.Second},
		Conditions: []api.Condition{{
			Name: "low", Variable: "orbit.radius_km", Operator: "lt", Threshold: 6371.000000000001, Units: "km",
		}},
		EarlyTermination: true, MaxParallel: 3, MaxRetries: 2, MaxFailed: 1,
		Warnings: []string{"a warning"}, Request: []byte(`{"name":"study ü"}`),
	}
}

func jobID(batchID string, k int) string { return fmt.Sprintf("%s-job-%d", batchID, k) }

func newJob(batchID string, k int) platform.Job {
	return platform.Job{
		ID: jobID(batchID, k), BatchID: batchID, RunIndex: k, Seed: 1<<53 - 1 - uint64(k),
		Values: []float64{float64(k) + 0.1, -5e-324}, State: api.JobPending, CreatedAt: epoch,
	}
}

// insert adds a batch of that many Pending jobs.
func insert(tx platform.Tx, id string, runs int) (platform.Batch, error) {
	b := platform.Batch{
		ID: id, State: api.BatchPending, Counts: platform.Counts{Pending: runs},
		CreatedAt: epoch, Revision: 1, Spec: newSpec(runs),
	}
	err := tx.InsertBatch(&b, func(yield func(platform.Job) bool) {
		for k := range runs {
			if !yield(newJob(id, k)) {
				return
			}
		}
	})
	return b, err
}

func put(t *testing.T, s platform.Store, id string, runs int) platform.Batch {
	t.Helper()
	var b platform.Batch
	update(t, s, func(tx platform.Tx) (err error) {
		b, err = insert(tx, id, runs)
		return err
	})
	return b
}

func newRunner(id string) platform.Runner {
	return platform.Runner{
		ID: id, InstallationID: "installation-" + id, SessionID: "session-" + id,
		Version: "1.2.3", Hostname: "host", Executor: "docker",
		Capabilities: api.Capabilities{
			MaxConcurrentJobs: 4, CPUCores: 7.5, MemoryGB: 0.1, GPUAvailable: true,
			SupportedSimulationTypes: []string{"basilisk", "px4_sitl"},
		},
		GPUs: 3, Default: platform.Resources{CPUMillis: 500, MemoryBytes: 1 << 33},
		Drain: true, Draining: true, Paused: "the disk is full", SignedOff: true, RegisteredAt: at(1), SeenAt: at(2),
	}
}

func newAttempt(jobID string, number int) platform.Attempt {
	return platform.Attempt{
		JobID: jobID, Number: number, Token: platform.Token{Epoch: 7, Counter: uint64(number)},
		RunnerID: "r", SessionID: "session-r", ClaimedAt: at(number), StartedAt: at(number + 1), EndedAt: at(number + 2),
		Outcome: api.OutcomeNonzeroExit, ErrorMessage: "exit status 3", HasResult: true,
	}
}

func absent(t *testing.T, s platform.Store) {
	for name, look := range map[string]func(platform.ReadTx) error{
		"batch":   func(tx platform.ReadTx) error { _, err := tx.Batch("x"); return err },
		"job":     func(tx platform.ReadTx) error { _, err := tx.Job("x"); return err },
		"attempt": func(tx platform.ReadTx) error { _, err := tx.Attempt("x", 1); return err },
		"result":  func(tx platform.ReadTx) error { _, err := tx.Result("x", 1); return err },
		"runner":  func(tx platform.ReadTx) error { _, err := tx.Runner("x"); return err },
		"session": func(tx platform.ReadTx) error { _, err := tx.RunnerBySession("x"); return err },
	} {
		if err := s.View(t.Context(), look); !errors.Is(err, platform.ErrNotFound) {
			t.Errorf("%s: %v; want ErrNotFound", name, err)
		}
	}
	for name, write := range map[string]func(platform.Tx) error{
		"update batch": func(tx platform.Tx) error {
			return tx.UpdateBatch(platform.Batch{ID: "x", Spec: newSpec(1)})
		},
		"update job":     func(tx platform.Tx) error { return tx.UpdateJob(newJob("x", 0)) },
		"update attempt": func(tx platform.Tx) error { return tx.UpdateAttempt(newAttempt("x", 1)) },
	} {
		if err := s.Update(t.Context(), write); !errors.Is(err, platform.ErrNotFound) {
			t.Errorf("%s: %v; want ErrNotFound", name, err)
		}
	}
}

func batchRoundTrip(t *testing.T, s platform.Store) {
	b := put(t, s, "b", 3)
	if b.Seq < 1 {
		t.Errorf("Seq = %d; want at least 1", b.Seq)
	}
	get := func(tx platform.ReadTx) (platform.Batch, error) { return tx.Batch("b") }
	equal(t, "inserted batch", read(t, s, get), b)

	b.State, b.CancelRequested, b.Revision = api.BatchRunning, true, 9
	b.Counts = platform.Counts{Pending: 1, Claimed: 2, Running: 3, Completed: 4, Failed: 5, Timeout: 6, Cancelled: 7}
	b.StartedAt, b.CompletedAt = at(1), at(2)
	b.Ended, b.EndedFor = 8, 90*time.Hour+time.Microsecond
	update(t, s, func(tx platform.Tx) error { return tx.UpdateBatch(b) })
	equal(t, "updated batch", read(t, s, get), b)
}

func jobRoundTrip(t *testing.T, s platform.Store) {
	put(t, s, "b", 2)
	get := func(tx platform.ReadTx) (platform.Job, error) { return tx.Job(jobID("b", 1)) }
	j := newJob("b", 1)
	equal(t, "inserted job", read(t, s, get), j)

	j.State, j.Retries, j.Requeues, j.Reruns, j.Attempts, j.Reported = api.JobTimeout, 1, 2, 1, 5, 3
	j.Token = platform.Token{Epoch: 1 << 40, Counter: 4}
	j.Outcome, j.ErrorMessage, j.CancelRequested, j.RunnerID = "from_the_future", "sorry", true, "r"
	j.ClaimedAt, j.StartedAt, j.CompletedAt = at(1), at(2), at(3)
	update(t, s, func(tx platform.Tx) error { return tx.UpdateJob(j) })
	equal(t, "updated job", read(t, s, get), j)
	equal(t, "its neighbour", read(t, s, func(tx platform.ReadTx) (platform.Job, error) { return tx.Job(jobID("b", 0)) }),
		newJob("b", 0))
}

func attemptRoundTrip(t *testing.T, s platform.Store) {
	put(t, s, "b", 1)
	id := jobID("b", 0)
	first, second := newAttempt(id, 1), newAttempt(id, 2)
	second.EndedAt, second.Outcome, second.ErrorMessage, second.HasResult = time.Time{}, "", "", false
	update(t, s, func(tx platform.Tx) error {
		return errors.Join(tx.InsertAttempt(first), tx.InsertAttempt(second))
	})
	list := func(tx platform.ReadTx) ([]platform.Attempt, error) { return tx.Attempts(id) }
	equal(t, "attempts", read(t, s, list), []platform.Attempt{first, second})

	second.EndedAt, second.Outcome = at(9), api.OutcomeLeaseLost
	update(t, s, func(tx platform.Tx) error { return tx.UpdateAttempt(second) })
	equal(t, "second attempt", read(t, s, func(tx platform.ReadTx) (platform.Attempt, error) { return tx.Attempt(id, 2) }), second)
	equal(t, "attempts", read(t, s, list), []platform.Attempt{first, second})
}

func oneResult(t *testing.T, s platform.Store) {
	put(t, s, "b", 1)
	id := jobID("b", 0)
	code := int32(0)
	want := &runnerv1.Result{
		Outcome: "completed", ExitCode: &code, Metrics: map[string]float64{"radius_km": 7000.1},
		Artifacts: []*runnerv1.Artifact{{Name: "summary.json", Size: 12, Sha256: "ab"}}, Warnings: []string{"w"},
	}
	update(t, s, func(tx platform.Tx) error {
		return errors.Join(tx.InsertAttempt(newAttempt(id, 1)), tx.PutResult(id, 1, want))
	})
	get := func(tx platform.ReadTx) (*runnerv1.Result, error) { return tx.Result(id, 1) }
	equal(t, "result", read(t, s, get), want)
	err := s.Update(t.Context(), func(tx platform.Tx) error { return tx.PutResult(id, 1, &runnerv1.Result{}) })
	if err == nil {
		t.Error("a second result of an attempt was accepted")
	}
	equal(t, "result after a second one", read(t, s, get), want)
}

func runnerRoundTrip(t *testing.T, s platform.Store) {
	a, b := newRunner("a"), newRunner("b")
	update(t, s, func(tx platform.Tx) error { return errors.Join(tx.PutRunner(b), tx.PutRunner(a)) })
	list := func(tx platform.ReadTx) ([]platform.Runner, error) { return tx.Runners() }
	equal(t, "runners", read(t, s, list), []platform.Runner{a, b})
	b.Drain, b.Draining, b.SeenAt, b.Hostname = false, false, at(99), "other"
	b.Capabilities = api.Capabilities{MaxConcurrentJobs: 1, SupportedSimulationTypes: []string{"command"}}
	update(t, s, func(tx platform.Tx) error { return tx.PutRunner(b) })
	equal(t, "runner", read(t, s, func(tx platform.ReadTx) (platform.Runner, error) { return tx.Runner("b") }), b)
	equal(t, "runners", read(t, s, list), []platform.Runner{a, b})
}

func sessions(t *testing.T, s platform.Store) {
	r := newRunner("a")
	update(t, s, func(tx platform.Tx) error { return tx.PutRunner(r) })
	old := r.SessionID
	r.SessionID = "another"
	update(t, s, func(tx platform.Tx) error { return tx.PutRunner(r) })
	bySession := func(id string) func(platform.ReadTx) (platform.Runner, error) {
		return func(tx platform.ReadTx) (platform.Runner, error) { return tx.RunnerBySession(id) }
	}
	equal(t, "runner", read(t, s, bySession("another")), r)
	err := s.View(t.Context(), func(tx platform.ReadTx) error { _, err := tx.RunnerBySession(old); return err })
	if !errors.Is(err, platform.ErrNotFound) {
		t.Errorf("an earlier session: %v; want ErrNotFound", err)
	}
}

func ids(jobs []platform.Job) []string {
	var list []string
	for _, j := range jobs {
		list = append(list, j.ID)
	}
	return list
}

func batchIDs(batches []platform.Batch) []string {
	var list []string
	for _, b := range batches {
		list = append(list, b.ID)
	}
	return list
}

func setState(t *testing.T, s platform.Store, id string, state api.JobState, runner string) {
	t.Helper()
	update(t, s, func(tx platform.Tx) error {
		j, err := tx.Job(id)
		if err != nil {
			return err
		}
		j.State, j.RunnerID = state, runner
		return tx.UpdateJob(j)
	})
}

func cancelled(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return ctx
}

// sorted is for lists whose order is not promised.
func sorted(list []string) []string {
	slices.Sort(list)
	return list
}
