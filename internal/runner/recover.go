package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/runner/journal"
)

// recoverAlive recovers, and starts the heartbeats behind that. Where it takes
// longer than the interval between two of them, because an engine is away, they
// begin before: the platform is told what the runner does, and that it takes no
// jobs. Loops end with life.
func (r *Runner) recoverAlive(ctx, life context.Context, loops *sync.WaitGroup) error {
	// What heartbeats name has to be complete.
	if err := errors.Join(r.outbox.load(), r.uploads.load()); err != nil {
		return err
	}
	r.pauses.set(pauseRecovery, "what an earlier run of this runner left is being removed")
	recovered := make(chan struct{})
	loops.Go(func() {
		t := time.NewTimer(r.session.heartbeat())
		defer t.Stop()
		select {
		case <-recovered:
		case <-t.C:
		case <-life.Done():
		}
		select {
		case <-r.pauses.news: // the first one tells it anyway
		default:
		}
		r.heartbeats(life)
	})
	if err := r.recover(ctx); err != nil {
		return err
	}
	r.look(ctx)
	r.pauses.set(pauseRecovery, "")
	close(recovered)
	return nil
}

// recover finds what an earlier process of this runner left. Jobs that it had in
// hand are matched with what the executor has of them, for takeUp; everything else
// that still runs, or ended without anybody to ask for it, is killed and removed,
// and since no heartbeat names it the platform gives it out again, if it is its.
func (r *Runner) recover(ctx context.Context) error {
	handles, err := r.find(ctx)
	if err != nil {
		return fmt.Errorf("what an earlier run of this runner left: %w", err)
	}
	keep := map[string]bool{}
	for _, h := range handles {
		if l := r.before.left[h.AttemptID()]; l != nil {
			l.handle = h
			keep[filepath.Base(l.rec.spec.RuntimeDir)] = true
			continue
		}
		if err := r.discard(ctx, h); err != nil {
			return fmt.Errorf("what an earlier run of this runner left: attempt %s: %w", h.AttemptID(), err)
		}
		r.log.Info("removed what an earlier run left", "attempt", h.AttemptID())
	}
	for _, a := range r.before.abandoned {
		r.giveBack(a)
	}
	for _, a := range r.before.settled {
		r.settleLeft(a)
	}
	if err := r.journal.ForgetCauses(); err != nil {
		return err
	}
	if err := journal.MakePrivate(r.cfg.RuntimeDir); err != nil {
		return fmt.Errorf("runtime_dir: %w", err)
	}
	if err := os.MkdirAll(r.sockets, 0o700); err != nil {
		return fmt.Errorf("runtime_dir: %w", err)
	}
	return r.clearSockets(keep)
}

// find asks the executor, again for as long as an engine may be away.
func (r *Runner) find(ctx context.Context) ([]executor.Handle, error) {
	ctx, cancel := context.WithTimeout(ctx, r.pace.engine)
	defer cancel()
	wait := r.pace.backoff()
	for {
		handles, err := r.deps.Executor.Recover(ctx)
		if err == nil {
			return handles, nil
		}
		r.log.Warn("cannot find what an earlier run left; trying again", "error", err)
		if !wait.wait(ctx) {
			return nil, err
		}
	}
}

// clearSockets removes the runtime directories that nobody uses any more: the state
// directory is locked.
func (r *Runner) clearSockets(keep map[string]bool) error {
	entries, err := os.ReadDir(r.sockets)
	for _, e := range entries {
		if !keep[e.Name()] {
			err = errors.Join(err, os.RemoveAll(filepath.Join(r.sockets, e.Name())))
		}
	}
	if err != nil {
		return fmt.Errorf("runtime_dir: %w", err)
	}
	return nil
}

// discard ends an attempt and removes it. It tries for as long as an engine may
// be away: a job that may still run is no state to begin in.
func (r *Runner) discard(ctx context.Context, h executor.Handle) error {
	ctx, cancel := context.WithTimeout(ctx, r.pace.engine)
	defer cancel()
	wait := r.pace.backoff()
	for {
		err := r.tryDiscard(ctx, h)
		if err == nil {
			return nil
		}
		r.log.Warn("cannot remove what an earlier run left; trying again", "attempt", h.AttemptID(), "error", err)
		if !wait.wait(ctx) {
			return err
		}
	}
}

func (r *Runner) tryDiscard(ctx context.Context, h executor.Handle) error {
	bounded, cancel := context.WithTimeout(ctx, r.pace.kill)
	defer cancel()
	if _, err := h.Kill(bounded); err != nil {
		return err
	}
	return h.Remove(bounded)
}
