package platform

import (
	"container/list"
	"context"
	"sync"

	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// waiters are the claims that wait for work, longest wait first. New work wakes
// as many waiters that can do it as there are new jobs, not all of them. A wake-up
// is never lost: a waiter that leaves, or finds its runner drained, without having
// looked or taken what it was woken for wakes the next one instead.
type waiters struct {
	mu   sync.Mutex
	list list.List // of *waiter
}

// waiter is one claim that waits. The lock of waiters guards all but signal.
type waiter struct {
	runner Runner
	place  *list.Element
	// signal has an element from when the waiter is woken until it notices.
	signal chan struct{}
	// woken is the work that signal stands for, nil if it stands for none; noticed
	// is the same once the waiter has noticed it, until it has looked.
	woken, noticed *work
}

func (ws *waiters) join(r *Runner) *waiter {
	w := &waiter{runner: *r, signal: make(chan struct{}, 1)}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w.place = ws.list.PushBack(w)
	return w
}

// wait returns true when w is woken and false when ctx ends.
func (ws *waiters) wait(ctx context.Context, w *waiter) bool {
	select {
	case <-ctx.Done():
		return false
	case <-w.signal:
	}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w.noticed, w.woken = w.woken, nil
	return true
}

// looked says that w looked for work, its runner being r, and found none.
func (ws *waiters) looked(w *waiter, r *Runner) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w.runner = *r
	k := w.noticed
	w.noticed = nil
	if k != nil && !r.takesJobs() {
		ws.wakeLocked(*k)
	}
}

// leave takes w, which claimed got, off the list and passes on the wake-ups that
// it did not use.
func (ws *waiters) leave(w *waiter, got []*runnerv1.Assignment) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.list.Remove(w.place)
	for _, k := range []*work{w.noticed, w.woken} {
		if k == nil {
			continue
		}
		used := false
		for i, a := range got {
			if a.GetSimulation().GetType() == k.simulation && a.GetCompute().GetGpus() > 0 == k.gpu {
				used, got = true, got[i+1:]
				break
			}
		}
		if !used {
			ws.wakeLocked(*k)
		}
	}
}

// wake tells as many of those who can do the work as there is of it.
func (ws *waiters) wake(k work) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.wakeLocked(k)
}

func (ws *waiters) wakeLocked(k work) {
	for e := ws.list.Front(); e != nil && k.n > 0; e = e.Next() {
		w := e.Value.(*waiter)
		if w.woken == nil && w.runner.takesJobs() && k.suits(&w.runner.Capabilities) {
			w.woken = &work{simulation: k.simulation, gpu: k.gpu, n: 1}
			w.tell()
			k.n--
		}
	}
}

// wakeRunner makes the waiting claims of a runner look again: its session or its
// maintenance changed.
func (ws *waiters) wakeRunner(id string) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for e := ws.list.Front(); e != nil; e = e.Next() {
		if w := e.Value.(*waiter); w.runner.ID == id {
			w.tell()
		}
	}
}

func (w *waiter) tell() {
	select {
	case w.signal <- struct{}{}:
	default: // told already
	}
}
