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
	// released counts the calls of release.
	released int
}

// waiter is one claim that waits. The lock of waiters guards all but signal.
type waiter struct {
	runner Runner
	free   Resources
	// heldBack is the Seq of the batch that the runner gets nothing behind; 0 if it
	// is not held back.
	heldBack int64
	place    *list.Element
	// signal has an element from when the waiter is woken until it notices.
	signal chan struct{}
	// woken is the work that signal stands for, nil if it stands for none; noticed
	// is the same once the waiter has noticed it, until it has looked.
	woken, noticed *work
}

func (ws *waiters) join(c *claimant) *waiter {
	w := &waiter{runner: c.runner, free: c.free, heldBack: c.heldBack, signal: make(chan struct{}, 1)}
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

// looked says that w looked for work, as c, and found none; released is what
// releases said before.
func (ws *waiters) looked(w *waiter, c *claimant, released int) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w.runner, w.heldBack = c.runner, c.heldBack
	if k := w.noticed; k != nil && !w.may(*k) {
		ws.wakeLocked(*k)
	}
	w.noticed = nil
	if w.heldBack != 0 && released != ws.released { // it was let go meanwhile
		w.heldBack = 0
		w.tell()
	}
}

// releases is the number of releases so far.
func (ws *waiters) releases() int {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	return ws.released
}

// release makes those look again that were held back.
func (ws *waiters) release() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.released++
	for e := ws.list.Front(); e != nil; e = e.Next() {
		if w := e.Value.(*waiter); w.heldBack != 0 {
			w.heldBack = 0
			w.tell()
		}
	}
}

// may reports whether w would be given such work.
func (w *waiter) may(k work) bool {
	return w.runner.takesJobs() && k.suits(&w.runner) && w.free.fit(w.runner.needs(k.compute)) > 0 &&
		(w.heldBack == 0 || k.seq <= w.heldBack)
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
			if k.is(a) {
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
	for _, last := range []bool{false, true} {
		for e := ws.list.Front(); e != nil && k.n > 0; e = e.Next() {
			w := e.Value.(*waiter)
			if w.woken == nil && (w.runner.ID == k.not) == last && w.may(k) {
				one := k
				one.n = 1
				w.woken = &one
				w.tell()
				k.n--
			}
		}
		if k.not == "" {
			return
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
