package platform_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/platform"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// wakeHost is a runner of TestNoWakeUpIsLost: 4 CPUs, jobs of which it has, and
// one claim that waits.
type wakeHost struct {
	id, session string
	jobs        []*runnerv1.Assignment
	waiting     *waiting
}

func (h *wakeHost) free() platform.Resources {
	r := platform.Resources{CPUMillis: 4000, MemoryBytes: 1 << 40}
	for _, a := range h.jobs {
		r.CPUMillis -= a.GetCompute().GetCpuMillis()
	}
	return r
}

// settle takes the answer of a claim that is over.
func (h *wakeHost) settle(w *world) {
	if h.waiting != nil && h.waiting.over() {
		w.ok(h.waiting.err)
		h.jobs = append(h.jobs, h.waiting.jobs...)
		h.waiting = nil
	}
}

// reclaim gives up the claim that waits, and waits with what is free now, as
// runners do when that changes.
func (h *wakeHost) reclaim(w *world) {
	if h.waiting != nil {
		h.waiting.cancel()
		h.settle(w)
	}
	h.waiting = w.waitWithin(h.session, 2, h.free())
	h.settle(w)
}

// TestNoWakeUpIsLost: whatever happens, no claim goes on waiting that would get a
// job if it looked.
func TestNoWakeUpIsLost(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		type step struct{ what, host, n int }
		steps := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) step {
			return step{rapid.IntRange(0, 9).Draw(rt, "what"), rapid.IntRange(0, 2).Draw(rt, "host"), rapid.IntRange(1, 4).Draw(rt, "n")}
		}), 1, 40).Draw(rt, "steps")
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			var hosts []*wakeHost
			var batches []string
			for i := range 3 {
				c := basilisk()
				c.CPUCores = 4
				h := &wakeHost{id: fmt.Sprint("h", i)}
				h.session = w.registerAs(platform.Registration{RunnerID: h.id, InstallationID: h.id, Capabilities: c})
				hosts = append(hosts, h)
			}
			for _, s := range steps {
				h := hosts[s.host]
				switch s.what {
				case 0, 1:
					b := w.submit(s.n, fmt.Sprintf(`container: {cpu_request: "%d"}, max_parallel_jobs: %d, max_retries: 1`, s.n, 1+s.host))
					batches = append(batches, b.ID)
				case 2, 3, 4:
					h.reclaim(w)
				case 5, 6:
					if len(h.jobs) > 0 {
						w.ok(w.report(h.session, ref(h.jobs[0]), []api.Outcome{api.OutcomeCompleted, api.OutcomeNonzeroExit}[s.n%2]))
						h.jobs = slices.Delete(h.jobs, 0, 1)
					}
				case 7:
					_, err := w.svc.Heartbeat(w.Context(), h.session, refs(h.jobs), false, []string{"", "paused"}[s.n%2])
					w.ok(err)
				case 8:
					w.pass(time.Duration(s.n) * 10 * time.Second)
				case 9:
					if len(batches) > 0 {
						_, err := w.svc.CancelBatch(w.Context(), batches[s.n%len(batches)])
						w.ok(err)
					}
				}
				for _, h := range hosts {
					h.settle(w)
				}
				for _, h := range hosts {
					h.missed(w, s)
				}
			}
			for _, h := range hosts {
				if h.waiting != nil {
					h.waiting.cancel()
					h.settle(w)
				}
			}
		})
	})
}

// missed fails the test if the claim that waits would get something now.
func (h *wakeHost) missed(w *world, after any) {
	w.Helper()
	if h.waiting == nil {
		return
	}
	got, err := w.svc.ClaimWithin(w.Context(), h.session, 2, &h.waiting.free, 0)
	w.ok(err)
	if len(got) > 0 {
		w.Fatalf("after %v, %s waits beside %d jobs that it would get", after, h.id, len(got))
	}
}

func refs(as []*runnerv1.Assignment) (list []platform.AttemptRef) {
	for _, a := range as {
		list = append(list, ref(a))
	}
	return list
}
