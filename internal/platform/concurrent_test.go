package platform_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/platform"
	"github.com/tetryx/lynx-runner/internal/platform/store/memory"
	"github.com/tetryx/lynx-runner/internal/platform/store/sqlite"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func stores(t *testing.T) map[string]platform.Store {
	db, err := sqlite.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return map[string]platform.Store{"memory": memory.New(), "sqlite": db}
}

// TestConcurrentRunners has runners claim and report side by side while studies
// are submitted, watched and ticked, until everything is over. A claim that is
// never woken would wait for ever.
func TestConcurrentRunners(t *testing.T) {
	for name, store := range stores(t) {
		t.Run(name, func(t *testing.T) {
			svc := platform.New(store, platform.Options{Log: slog.New(slog.DiscardHandler)})
			const runners, batches, runs = 8, 4, 25
			var users, workers sync.WaitGroup
			claims := make(chan string, 10*batches*runs)
			done := make(chan struct{})
			for i := range runners {
				workers.Go(func() { concurrentRunner(t, svc, fmt.Sprint("r", i), claims, done) })
			}
			for range batches {
				users.Go(func() { watchToTheEnd(t, svc, runs) })
			}
			users.Wait()
			close(done)
			workers.Wait()
			close(claims)
			seen := map[string]bool{}
			for id := range claims {
				if seen[id] {
					t.Errorf("attempt %s was given twice", id)
				}
				seen[id] = true
			}
		})
	}
}

// concurrentRunner fails every third first attempt.
func concurrentRunner(t *testing.T, svc *platform.Service, id string, claims chan<- string, done <-chan struct{}) {
	s, err := svc.Register(t.Context(), platform.Registration{RunnerID: id, InstallationID: id, Capabilities: basilisk()})
	if err != nil {
		t.Error(err)
		return
	}
	for {
		as, err := svc.Claim(t.Context(), s.ID, 2, 100*time.Millisecond)
		if err != nil {
			t.Error(err)
			return
		}
		for _, a := range as {
			claims <- a.AttemptId
			outcome := api.OutcomeCompleted
			if a.Attempt == 1 && a.RunIndex%3 == 0 {
				outcome = api.OutcomeNonzeroExit
			}
			if _, err := svc.Heartbeat(t.Context(), s.ID, []platform.AttemptRef{ref(a)}, false, ""); err != nil {
				t.Error(err)
			}
			if err := svc.ReportStarted(t.Context(), s.ID, ref(a), time.Now()); err != nil {
				t.Error(err)
			}
			if err := svc.ReportResult(t.Context(), s.ID, ref(a), &runnerv1.Result{Outcome: string(outcome)}); err != nil {
				t.Error(err)
			}
		}
		select {
		case <-done:
			return
		default:
		}
	}
}

func watchToTheEnd(t *testing.T, svc *platform.Service, runs int) {
	b, err := svc.Submit(t.Context(), parse(t, runs, "max_retries: 1, max_parallel_jobs: 3"))
	for err == nil && !b.State.Terminal() {
		if active := b.Counts.Claimed + b.Counts.Running; active > 3 || b.Counts.Total() != runs {
			t.Errorf("counts %+v; want at most 3 active of %d", b.Counts, runs)
		}
		if err = svc.Tick(t.Context()); err == nil {
			b, err = svc.WaitBatch(t.Context(), b.ID, b.Revision)
		}
	}
	if err != nil || b.State != api.BatchCompleted || b.Counts.Completed != runs {
		t.Errorf("%s with %+v, %v; want all Completed", b.State, b.Counts, err)
	}
}

// TestManyWaitForFew has far more claims wait than there are jobs, on the store
// that commits in groups.
func TestManyWaitForFew(t *testing.T) {
	for name, store := range stores(t) {
		t.Run(name, func(t *testing.T) {
			svc := platform.New(store, platform.Options{})
			const waiting, jobs = 100, 30
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			got := make(chan int, waiting)
			for i := range waiting {
				s, err := svc.Register(ctx, platform.Registration{
					RunnerID: fmt.Sprint("r", i), InstallationID: "i", Capabilities: basilisk(),
				})
				if err != nil {
					t.Fatal(err)
				}
				go func() {
					as, err := svc.Claim(ctx, s.ID, 1, time.Hour)
					if err != nil && !errors.Is(err, context.Canceled) {
						t.Error(err)
					}
					got <- len(as)
				}()
			}
			for range jobs / 3 {
				if _, err := svc.Submit(t.Context(), parse(t, 3, "")); err != nil {
					t.Fatal(err)
				}
			}
			for range jobs {
				if n := <-got; n != 1 {
					t.Fatalf("a claim came back with %d jobs while there were some", n)
				}
			}
			stop()
			for range waiting - jobs {
				if n := <-got; n != 0 {
					t.Errorf("%d jobs more than there are", n)
				}
			}
		})
	}
}
