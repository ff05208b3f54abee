package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
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

// recover deals with what an earlier process of this runner left beside results and
// files that are to be sent: attempts that still run, or that ended without a
// result, are killed and removed, and since no heartbeat names them the platform
// gives them out again.
func (r *Runner) recover(ctx context.Context) error {
	handles, err := r.deps.Executor.Recover(ctx)
	if err != nil {
		return fmt.Errorf("what an earlier run of this runner left: %w", err)
	}
	for _, h := range handles {
		if err := r.discard(ctx, h); err != nil {
			return fmt.Errorf("what an earlier run of this runner left: attempt %s: %w", h.AttemptID(), err)
		}
		r.log.Info("removed what an earlier run left", "attempt", h.AttemptID())
	}
	if err := r.journal.ForgetCauses(); err != nil {
		return err
	}
	if err := journal.MakePrivate(r.cfg.RuntimeDir); err != nil {
		return fmt.Errorf("runtime_dir: %w", err)
	}
	// Nobody uses these sockets any more: the state directory is locked.
	if err := os.RemoveAll(r.sockets); err != nil {
		return fmt.Errorf("runtime_dir: %w", err)
	}
	if err := os.MkdirAll(r.sockets, 0o700); err != nil {
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
