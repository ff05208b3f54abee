// Package attempts keeps an executor's handles, one for each attempt. It is what
// makes Start idempotent within a process, also for calls at the same time; that
// it is so across processes is the executor's own care.
package attempts

import (
	"context"
	"sync"
)

// Registry holds handles by attempt id. The zero Registry is empty and ready. Its
// methods may be called concurrently.
type Registry[H comparable] struct {
	mu      sync.Mutex
	entries map[string]*entry[H]
}

// entry is a handle that somebody is making, or has made.
type entry[H comparable] struct {
	ready  chan struct{} // closed when handle and err are final
	handle H
	err    error
}

// Once returns the attempt's handle: the one that is there, the one that another
// call is making, for which it waits, or the one that it makes by newOne. A
// failure is told to the call whose newOne failed and is forgotten: those that
// waited for it try by themselves, one at a time. The context's end stops the
// waiting, not newOne.
func (r *Registry[H]) Once(ctx context.Context, attempt string, newOne func() (H, error)) (H, error) {
	for {
		e, mine := r.enter(attempt)
		if mine {
			return r.make(attempt, e, newOne)
		}
		select {
		case <-e.ready:
			if e.err == nil {
				return e.handle, nil
			}
		case <-ctx.Done():
			var none H
			return none, ctx.Err()
		}
	}
}

// enter returns the attempt's entry, and whether the caller is the one to fill it.
func (r *Registry[H]) enter(attempt string) (e *entry[H], mine bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e, ok := r.entries[attempt]; ok {
		return e, false
	}
	if r.entries == nil {
		r.entries = map[string]*entry[H]{}
	}
	e = &entry[H]{ready: make(chan struct{})}
	r.entries[attempt] = e
	return e, true
}

func (r *Registry[H]) make(attempt string, e *entry[H], newOne func() (H, error)) (H, error) {
	e.handle, e.err = newOne()
	if e.err != nil {
		r.mu.Lock()
		delete(r.entries, attempt)
		r.mu.Unlock()
	}
	close(e.ready)
	return e.handle, e.err
}

// Forget drops an attempt's handle, if it is still this one: a later Once makes
// another.
func (r *Registry[H]) Forget(attempt string, handle H) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := r.entries[attempt]
	if !ok {
		return
	}
	select {
	case <-e.ready:
		if e.handle == handle {
			delete(r.entries, attempt)
		}
	default: // another one is being made
	}
}

// Ended waits for an attempt's end, when done is closed, or for ctx's, whose error it
// returns. An end that is known counts first.
func Ended(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	default:
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
