package platform_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/platform"
	"github.com/tetryx/lynx-runner/internal/platform/store/sqlite"
	"github.com/tetryx/lynx-runner/internal/study"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// parse makes a study of seven parameters with that many runs; compute is added
// to its compute section.
func parse(tb testing.TB, runs int, compute string) *study.Request {
	tb.Helper()
	text := fmt.Sprintf(`
simulation: {type: basilisk, name: orbit, version: 1.0.0}
monte_carlo: {runs: %d, sampling_method: latin_hypercube, seed: 42}
dispersions:
  semi_major_axis_m: {distribution: {type: uniform, min: 6950000, max: 7050000}, units: m}
  eccentricity: {distribution: {type: uniform, min: 0.00005, max: 0.002}, units: none}
  inclination_deg: {distribution: {type: uniform, min: 30, max: 36}, units: deg}
  raan_deg: {distribution: {type: uniform, min: 40, max: 55}, units: deg}
  arg_perigee_deg: {distribution: {type: uniform, min: 330, max: 355}, units: deg}
  true_anomaly_deg: {distribution: {type: uniform, min: 70, max: 100}, units: deg}
  duration_orbits: {distribution: {type: uniform, min: 0.7, max: 0.8}, units: orbits}
compute: {%s}
`, runs, compute)
	r, err := study.Parse([]byte(text), "study.yaml")
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func openService(tb testing.TB) *platform.Service {
	tb.Helper()
	store, err := sqlite.Open(tb.Context(), tb.TempDir())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = store.Close() })
	return platform.New(store, platform.Options{})
}

func BenchmarkSubmit(b *testing.B) {
	for _, runs := range []int{5, 1000, 100_000} {
		b.Run(fmt.Sprint(runs), func(b *testing.B) {
			svc := openService(b)
			r := parse(b, runs, "")
			for b.Loop() {
				if _, err := svc.Submit(b.Context(), r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkClaim has many runners wait for work, claim one job each and report
// it; an iteration is one job from claim to durable result.
func BenchmarkClaim(b *testing.B) {
	for _, runners := range []int{1, 32, 1000} {
		b.Run(fmt.Sprint(runners), func(b *testing.B) {
			svc := openService(b)
			var sessions []string
			for i := range runners {
				s, err := svc.Register(b.Context(), platform.Registration{
					RunnerID: fmt.Sprint("r", i), InstallationID: "i",
					Capabilities: api.Capabilities{MaxConcurrentJobs: 1, SupportedSimulationTypes: []string{"basilisk"}},
				})
				if err != nil {
					b.Fatal(err)
				}
				sessions = append(sessions, s.ID)
			}
			b.ResetTimer()
			if _, err := svc.Submit(b.Context(), parse(b, b.N, "")); err != nil {
				b.Fatal(err)
			}
			var wg sync.WaitGroup
			for i, s := range sessions {
				n := b.N / runners
				if i < b.N%runners {
					n++
				}
				wg.Go(func() {
					for range n {
						as, err := svc.Claim(b.Context(), s, 1, time.Minute)
						if err != nil || len(as) != 1 {
							b.Error(len(as), err)
							return
						}
						ref := platform.AttemptRef{
							AttemptID: as[0].AttemptId,
							Token:     platform.Token{Epoch: as[0].Token.Epoch, Counter: as[0].Token.Counter},
						}
						if err := svc.ReportResult(b.Context(), s, ref, &runnerv1.Result{Outcome: "completed"}); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

// BenchmarkHeartbeat has a thousand runners, each with an attempt, that heartbeat at
// the same time; an iteration is one heartbeat, which renews a lease.
func BenchmarkHeartbeat(b *testing.B) {
	const runners = 1000
	svc := openService(b)
	if _, err := svc.Submit(b.Context(), parse(b, runners, "")); err != nil {
		b.Fatal(err)
	}
	beats := make(chan func() error, runners)
	for i := range runners {
		s, err := svc.Register(b.Context(), platform.Registration{
			RunnerID: fmt.Sprint("r", i), InstallationID: "i",
			Capabilities: api.Capabilities{MaxConcurrentJobs: 1, SupportedSimulationTypes: []string{"basilisk"}},
		})
		if err != nil {
			b.Fatal(err)
		}
		as, err := svc.Claim(b.Context(), s.ID, 1, 0)
		if err != nil || len(as) != 1 {
			b.Fatal(len(as), err)
		}
		held := []platform.AttemptRef{{
			AttemptID: as[0].AttemptId, Token: platform.Token{Epoch: as[0].Token.Epoch, Counter: as[0].Token.Counter},
		}}
		beats <- func() error {
			_, err := svc.Heartbeat(b.Context(), s.ID, held, false, "")
			return err
		}
	}
	b.SetParallelism(runners)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			beat := <-beats
			if err := beat(); err != nil {
				b.Error(err)
			}
			beats <- beat
		}
	})
}
