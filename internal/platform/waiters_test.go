package platform

import (
	"testing"

	"github.com/tetryx/lynx-runner/api"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

func waitingRunner(types ...string) *claimant {
	return &claimant{free: unbounded, runner: Runner{ID: "r", Capabilities: api.Capabilities{SupportedSimulationTypes: types}}}
}

func told(w *waiter) bool { return len(w.signal) == 1 }

func TestWakeAsManyAsThereIsWork(t *testing.T) {
	var ws waiters
	a, other, b, c := ws.join(waitingRunner("x")), ws.join(waitingRunner("y")), ws.join(waitingRunner("y", "x")), ws.join(waitingRunner("x"))
	ws.wake(work{simulation: "x", n: 2})
	if !told(a) || told(other) || !told(b) || told(c) {
		t.Errorf("told %v %v %v %v; want the first two that can do it", told(a), told(other), told(b), told(c))
	}
	ws.wake(work{simulation: "x", n: 1})
	if !told(c) {
		t.Error("the next piece of work did not go to the next one")
	}
	ws.wake(work{simulation: "x", compute: Compute{GPUs: 1}, n: 1})
	if told(other) {
		t.Error("work for a GPU woke a runner without one")
	}
}

// TestLeavePassesOn has a waiter leave in each of the ways that it can with a
// wake-up on it.
func TestLeavePassesOn(t *testing.T) {
	x := &runnerv1.Assignment{Simulation: &runnerv1.Simulation{Type: "x"}}
	y := &runnerv1.Assignment{Simulation: &runnerv1.Simulation{Type: "y"}}
	for name, c := range map[string]struct {
		noticed bool
		wakes   int
		got     []*runnerv1.Assignment
		want    bool
	}{
		"woken and not noticed":             {false, 1, nil, true},
		"noticed and not looked":            {true, 1, nil, true},
		"got it":                            {true, 1, []*runnerv1.Assignment{x}, false},
		"got something else":                {true, 1, []*runnerv1.Assignment{y}, true},
		"got it among others":               {true, 1, []*runnerv1.Assignment{y, x}, false},
		"woken twice and got one":           {true, 2, []*runnerv1.Assignment{x}, true},
		"woken twice and got two":           {true, 2, []*runnerv1.Assignment{x, x}, false},
		"got it before it noticed":          {false, 1, []*runnerv1.Assignment{x}, false},
		"not woken, and got what there was": {false, 0, []*runnerv1.Assignment{x}, false},
	} {
		t.Run(name, func(t *testing.T) {
			var ws waiters
			w := ws.join(waitingRunner("x", "y"))
			for range c.wakes {
				ws.wake(work{simulation: "x", n: 1})
				if c.noticed && w.noticed == nil && !ws.wait(t.Context(), w) {
					t.Fatal("not woken")
				}
			}
			next := ws.join(waitingRunner("x"))
			ws.leave(w, c.got)
			if told(next) != c.want {
				t.Errorf("the next one was told: %v; want %v", told(next), c.want)
			}
			if ws.list.Len() != 1 {
				t.Errorf("%d are waiting; want the next one only", ws.list.Len())
			}
		})
	}
}

func TestDrainedWaiterPassesOn(t *testing.T) {
	var ws waiters
	w, next := ws.join(waitingRunner("x")), ws.join(waitingRunner("x"))
	ws.wake(work{simulation: "x", n: 1})
	ws.wait(t.Context(), w)
	drained := waitingRunner("x")
	drained.runner.Drain = true
	ws.looked(w, drained, 0)
	if !told(next) {
		t.Error("what a drained runner may not have was not offered to the next one")
	}
	ws.wake(work{simulation: "x", n: 1})
	if told(w) {
		t.Error("a drained runner was woken")
	}
	ws.looked(w, waitingRunner("x"), 0)
	ws.wake(work{simulation: "x", n: 1})
	if !told(w) {
		t.Error("a runner that is drained no more was not woken")
	}
}

// TestWorkThatDoesNotFitWakesOthers: the runner may be large enough, but has no
// room now.
func TestWorkThatDoesNotFitWakesOthers(t *testing.T) {
	var ws waiters
	small, large := waitingRunner("x"), waitingRunner("x")
	small.free.MemoryBytes = 5
	a, b := ws.join(small), ws.join(large)
	ws.wake(work{simulation: "x", compute: Compute{MemoryBytes: 6}, n: 1})
	if told(a) || !told(b) {
		t.Errorf("told %v %v; want the one with room", told(a), told(b))
	}
	ws.wake(work{simulation: "x", compute: Compute{MemoryBytes: 5}, n: 1})
	if !told(a) {
		t.Error("what fits woke nobody")
	}
}

func TestHeldBackWaiters(t *testing.T) {
	var ws waiters
	held := waitingRunner("x")
	held.heldBack = 7
	w, next := ws.join(waitingRunner("x")), ws.join(waitingRunner("x"))
	ws.wake(work{seq: 8, simulation: "x", n: 1})
	ws.wait(t.Context(), w)
	ws.looked(w, held, ws.releases())
	if !told(next) {
		t.Error("what a runner that is held back may not have was not offered to the next one")
	}
	ws.wake(work{seq: 9, simulation: "x", n: 1})
	if told(w) {
		t.Error("a runner was woken for work behind what holds it back")
	}
	ws.wake(work{seq: 6, simulation: "x", n: 1})
	if !told(w) {
		t.Error("a runner was not woken for work before what holds it back")
	}
	ws.wait(t.Context(), w)
	ws.looked(w, held, ws.releases())
	ws.release()
	if !told(w) {
		t.Error("a runner was not told that it is held back no more")
	}
	ws.wait(t.Context(), w)
	before := ws.releases()
	ws.release()
	ws.looked(w, held, before)
	if !told(w) {
		t.Error("a release during the look was missed")
	}
}
