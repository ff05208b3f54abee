package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/executor/internal/attempts"
	"github.com/tetryx/lynx-runner/internal/shim"
	"github.com/tetryx/lynx-runner/internal/shim/control"
)

const (
	// settleWithin bounds the reading of what a shim said before it ended, which is
	// there already.
	settleWithin = time.Second
	// askFirst is how long a shim has for killing the job when it is told to,
	// without a cgroup, before the runner does it.
	askFirst = 500 * time.Millisecond
	// retryPause is the rest after a look at a cgroup that failed.
	retryPause = 100 * time.Millisecond
	// killPause is the time between two rounds of killing.
	killPause = 2 * time.Millisecond
)

// errClosed says that the executor was closed while somebody waited.
var errClosed = errors.New("the process executor is closed")

// handle is one attempt. One goroutine, follow, sees it to its end; the methods
// wait for what that finds.
type handle struct {
	exec *Executor
	state
	// lost says why nothing is known of an attempt's end; see evidence.
	lost      string
	restarted bool

	control *control.Server // nil where it could not be opened
	shim    *shimProcess    // nil where it is gone already

	// killed is set before the first signal of ours is sent.
	killed atomic.Bool

	// gone is closed when no process of the attempt lives any more, at goneAt.
	gone   chan struct{}
	goneAt time.Time

	// done is closed when result, or err, is known.
	done   chan struct{}
	result executor.Exit
	err    error
}

var _ executor.Handle = (*handle)(nil)

func (e *Executor) newHandle(s state) *handle {
	return &handle{exec: e, state: s, gone: make(chan struct{}), done: make(chan struct{})}
}

// AttemptID implements executor.Handle.
func (h *handle) AttemptID() string { return h.state.AttemptID }

// Started implements executor.Handle.
func (h *handle) Started() time.Time { return h.state.Started }

// Wait implements executor.Handle.
func (h *handle) Wait(ctx context.Context) (executor.Exit, error) {
	if err := attempts.Ended(ctx, h.done); err != nil {
		return executor.Exit{}, err
	}
	return h.result, h.err
}

// Kill implements executor.Handle. With a cgroup everything in it dies at once;
// without, the shim is asked, which has the job's processes below it, and killed
// last, so that none gets lost.
func (h *handle) Kill(ctx context.Context) (time.Time, error) {
	select {
	case <-h.gone:
		return h.goneAt, nil
	default:
	}
	h.killed.Store(true)
	ctx, cancel := context.WithTimeout(ctx, h.exec.cfg.KillTimeout)
	defer cancel()
	if h.Cgroup != nil {
		h.exec.urgency.begin(h.Cgroup)
		defer h.exec.urgency.end(h.Cgroup)
	}
	asked := time.Now()
	patient := h.Cgroup == nil && h.control != nil && h.control.Kill() == nil
	for {
		if !patient || time.Since(asked) > askFirst {
			h.signalAll()
			if h.Cgroup != nil {
				h.Cgroup.HurryProcesses()
			}
		}
		select {
		case <-h.gone:
			return h.goneAt, nil
		case <-h.exec.live.Done():
			return time.Time{}, errClosed
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("attempt %s was told to die and still lives: %w", h.AttemptID(), ctx.Err())
		case <-time.After(killPause):
		}
	}
}

// signalAll is one round of killing.
func (h *handle) signalAll() {
	if h.Cgroup != nil {
		if err := h.Cgroup.Kill(); err != nil {
			h.exec.log.Warn("cannot kill", "attempt", h.AttemptID(), "error", err)
		}
		// It may have been started and not be in the cgroup yet.
		if h.shim != nil {
			_ = h.shim.kill()
		}
		return
	}
	if h.shim != nil && shim.KillBelow(h.shim.pid) == 0 {
		_ = h.shim.kill()
	}
}

// Remove implements executor.Handle.
func (h *handle) Remove(ctx context.Context) error {
	select {
	case <-h.done:
	default:
		return fmt.Errorf("attempt %s has not ended: kill it and wait before removing it", h.AttemptID())
	}
	if h.err != nil {
		return fmt.Errorf("attempt %s: %w", h.AttemptID(), h.err)
	}
	ctx, cancel := context.WithTimeout(ctx, h.exec.cfg.KillTimeout)
	defer cancel()
	if h.Cgroup != nil {
		if err := h.Cgroup.remove(ctx); err != nil {
			return err
		}
	}
	if err := h.Scratch.remove(); err != nil {
		return fmt.Errorf("HOME and TMPDIR of attempt %s: %w", h.AttemptID(), err)
	}
	if h.RuntimeDir != "" {
		_ = os.Remove(filepath.Join(h.RuntimeDir, controlSocket))
	}
	if err := h.exec.forgetState(h.AttemptID()); err != nil {
		return fmt.Errorf("state of attempt %s: %w", h.AttemptID(), err)
	}
	h.exec.attempts.Forget(h.AttemptID(), h)
	return nil
}

// release gives the handle's descriptors back. It may be called again.
func (h *handle) release() {
	if h.control != nil {
		_ = h.control.Close()
	}
	if h.shim != nil {
		h.shim.close()
	}
}

// follow sees the attempt to its end: the shim's report, its death, the death of
// all that is left.
func (h *handle) follow(ctx context.Context) {
	defer close(h.done)
	defer h.release()
	seen := evidence{
		memoryLimit: h.Memory, started: h.state.Started, lost: h.lost, restarted: h.restarted,
	}
	at, err := h.untilShimGone(ctx, &seen)
	if err == nil {
		at, err = h.untilEmpty(ctx, at)
	}
	if err != nil {
		h.err = errClosed
		return
	}
	h.goneAt = at
	close(h.gone)
	// Remove, which takes the cgroup, comes after this.
	if h.Cgroup != nil {
		seen.counters, _ = h.Cgroup.Counters()
	}
	seen.killed, seen.ended = h.killed.Load(), at
	if seen.report == nil {
		seen.logs, seen.logProblem = h.finishLogs()
	}
	h.result = seen.exit()
}

// untilShimGone returns when the shim was gone. On the way it takes its report and
// lets it go.
func (h *handle) untilShimGone(ctx context.Context, seen *evidence) (time.Time, error) {
	if h.shim == nil {
		return h.leftBehind(seen), nil
	}
	var reported <-chan struct{}
	if h.control != nil {
		reported = h.control.Exited()
	}
	ended := make(chan time.Time, 1)
	h.exec.wg.Go(func() {
		if at, err := h.shim.wait(ctx); err == nil {
			ended <- at
		}
	})
	for {
		select {
		case <-reported:
			reported = nil
			_ = h.control.Ack() // a shim that is gone needs none
		case at := <-ended:
			if status, ok := h.shim.reap(); ok {
				seen.status = &status
			}
			h.takeReport(seen)
			return at, nil
		case <-ctx.Done():
			return time.Time{}, ctx.Err()
		}
	}
}

// takeReport takes the report that came over the connection, or else the one that
// the shim left in the file.
func (h *handle) takeReport(seen *evidence) {
	if h.control != nil {
		h.control.Settle(settleWithin)
		if r, ok := h.control.Report(); ok {
			seen.report = &r
			return
		}
	}
	seen.report, _ = h.exec.savedReport(h.AttemptID())
}

// leftBehind takes what an earlier process's attempt that has ended left.
func (h *handle) leftBehind(seen *evidence) time.Time {
	report, at := h.exec.savedReport(h.AttemptID())
	seen.report = report
	if report == nil || at.Before(h.state.Started) {
		return time.Now()
	}
	return at
}

// untilEmpty ends what the shim could not, and returns when nothing was left.
func (h *handle) untilEmpty(ctx context.Context, at time.Time) (time.Time, error) {
	if h.Cgroup == nil {
		if h.shim != nil {
			for killSession(h.shim.pid, h.UID) > 0 {
				if err := pause(ctx, killPause); err != nil {
					return at, err
				}
				at = time.Now()
			}
		}
		return at, nil
	}
	for {
		found, err := h.Cgroup.empty(ctx)
		if found {
			at = time.Now()
		}
		if err == nil {
			return at, nil
		}
		if ctx.Err() != nil {
			return at, ctx.Err()
		}
		h.exec.log.Error("cannot tell whether processes are left", "attempt", h.AttemptID(), "error", err)
		if err := pause(ctx, retryPause); err != nil {
			return at, err
		}
	}
}

// finishLogs puts the logs together where the shim was killed before it could, and
// counts them. The problem is a sentence; empty if there was none.
func (h *handle) finishLogs() (counts executor.Logs, problem string) {
	if h.LogDir == "" {
		return counts, ""
	}
	for _, stream := range []struct {
		name string
		stat *executor.LogStat
	}{{stdoutLog, &counts.Stdout}, {stderrLog, &counts.Stderr}} {
		r, err := shim.FinishLog(filepath.Join(h.LogDir, stream.name), h.LogHead, h.LogTail)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			problem = "the end of a log is missing: " + err.Error()
		}
		*stream.stat = executor.LogStat(r)
	}
	return counts, problem
}
