package platform_test

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/platform"
	"github.com/tetryx/lynx-runner/internal/platform/store/memory"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// world is a service over a store in memory, with a clock that only the test
// moves.
type world struct {
	testing.TB

	svc   *platform.Service
	store *memory.Store

	mu  sync.Mutex
	now time.Time
	ids int
}

func newWorld(tb testing.TB) *world {
	w := &world{TB: tb, store: memory.New(), now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	w.restart()
	return w
}

// restart is a new process over the same store.
func (w *world) restart() {
	if w.svc != nil {
		w.store.Reopen()
	}
	w.svc = platform.New(w.store, platform.Options{
		Now: func() time.Time {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.now
		},
		NewID: func() string {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.ids++
			return fmt.Sprintf("id%d", w.ids)
		},
		Seed: func() uint64 { return 4711 },
		Log:  slog.New(slog.DiscardHandler),
	})
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) ok(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) equal(what string, got, want any) {
	w.Helper()
	if d := cmp.Diff(want, got, protocmp.Transform()); d != "" {
		w.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func (w *world) is(what string, err, want error) {
	w.Helper()
	if !errors.Is(err, want) {
		w.Errorf("%s: %v; want %v", what, err, want)
	}
}

func (w *world) submit(runs int, compute string) platform.Batch {
	w.Helper()
	b, err := w.svc.Submit(w.Context(), parse(w, runs, compute))
	w.ok(err)
	return b
}

func basilisk() api.Capabilities {
	return api.Capabilities{MaxConcurrentJobs: 4, SupportedSimulationTypes: []string{"basilisk"}}
}

// register returns the session of a runner that can do the jobs of parse.
func (w *world) register(id string) string {
	w.Helper()
	return w.registerAs(platform.Registration{RunnerID: id, InstallationID: "installation-" + id, Capabilities: basilisk()})
}

func (w *world) registerAs(r platform.Registration) string {
	w.Helper()
	s, err := w.svc.Register(w.Context(), r)
	w.ok(err)
	return s.ID
}

func (w *world) claim(session string, n int) []*runnerv1.Assignment {
	w.Helper()
	as, err := w.svc.Claim(w.Context(), session, n, 0)
	w.ok(err)
	return as
}

// one claims exactly one job.
func (w *world) one(session string) platform.AttemptRef {
	w.Helper()
	as := w.claim(session, 1)
	if len(as) != 1 {
		w.Fatalf("claimed %d jobs; want 1", len(as))
	}
	return ref(as[0])
}

func ref(a *runnerv1.Assignment) platform.AttemptRef {
	return platform.AttemptRef{
		AttemptID: a.GetAttemptId(),
		Token:     platform.Token{Epoch: a.GetToken().GetEpoch(), Counter: a.GetToken().GetCounter()},
	}
}

func (w *world) started(session string, r platform.AttemptRef) error {
	return w.svc.ReportStarted(w.Context(), session, r, w.now)
}

func (w *world) report(session string, r platform.AttemptRef, o api.Outcome) error {
	return w.svc.ReportResult(w.Context(), session, r, &runnerv1.Result{
		Outcome: string(o), ErrorMessage: "because of " + string(o), StartedAt: timestamppb.New(w.now),
	})
}

func (w *world) beat(session string, held ...platform.AttemptRef) platform.Instructions {
	w.Helper()
	in, err := w.svc.Heartbeat(w.Context(), session, held, false, "")
	w.ok(err)
	return in
}

func (w *world) job(r platform.AttemptRef) platform.JobView {
	w.Helper()
	id, _, err := platform.ParseAttemptID(r.AttemptID)
	w.ok(err)
	j, err := w.svc.Job(w.Context(), id)
	w.ok(err)
	return j
}

func (w *world) batch(id string) platform.Batch {
	w.Helper()
	b, err := w.svc.Batch(w.Context(), id)
	w.ok(err)
	return b
}

func (w *world) tick() {
	w.Helper()
	w.ok(w.svc.Tick(w.Context()))
}

// state checks a job's state and how often it was tried again.
func (w *world) state(what string, r platform.AttemptRef, s api.JobState, retries, requeues int) {
	w.Helper()
	j := w.job(r)
	if j.State != s || j.Retries != retries || j.Requeues != requeues {
		w.Errorf("%s: %s, %d retries, %d requeues; want %s, %d, %d", what, j.State, j.Retries, j.Requeues, s, retries, requeues)
	}
}
