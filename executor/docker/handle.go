package docker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/executor/internal/attempts"
	"github.com/tetryx/lynx-runner/executor/internal/cgroup"
	"github.com/tetryx/lynx-runner/internal/shim/control"
)

const (
	// engineKillAfter is how long a kill by the kernel has before the engine is
	// asked as well: four times what a container of a hundred processes takes.
	engineKillAfter = 20 * time.Millisecond
	// settleWithin bounds the reading of what a shim said before it ended, which is
	// there already.
	settleWithin = time.Second
	// firstRetry and lastRetry bound the pauses between questions to an engine
	// that does not answer.
	firstRetry = 20 * time.Millisecond
	lastRetry  = 2 * time.Second
)

// errClosed says that the executor was closed while somebody waited.
var errClosed = errors.New("the docker executor is closed")

// handle is one attempt's container. One goroutine, follow, sees it to its end;
// the methods wait for what that finds.
type handle struct {
	exec       *Executor
	id         string // the container's
	attempt    string
	runtimeDir string
	started    time.Time
	limit      int64
	killAfter  time.Duration
	logs       logs

	control *control.Server // nil where it could not be opened
	init    *initProcess    // nil where the init can't be opened from here
	cgroup  cgroup.Group

	// brokeOff says that the engine was away since the container was started here, or
	// may have been before the handle was made. It belongs to follow.
	brokeOff bool
	// unsure says that the engine may have left something of the container, because
	// it or the runner was away. It is settled when done is closed.
	unsure bool

	// killed is set before the first signal of ours is sent.
	killed atomic.Bool

	// gone is closed when no process of the container lives any more, at goneAt.
	gone     chan struct{}
	goneOnce sync.Once
	goneAt   time.Time

	// vacated is closed when the container has no memory left either.
	vacated     chan struct{}
	vacatedOnce sync.Once

	// done is closed when result, or err, is known.
	done   chan struct{}
	result executor.Exit
	err    error
}

var _ executor.Handle = (*handle)(nil)

// AttemptID implements executor.Handle.
func (h *handle) AttemptID() string { return h.attempt }

// Started implements executor.Handle.
func (h *handle) Started() time.Time { return h.started }

// Wait implements executor.Handle.
func (h *handle) Wait(ctx context.Context) (executor.Exit, error) {
	if err := attempts.Ended(ctx, h.done); err != nil {
		return executor.Exit{}, err
	}
	return h.result, h.err
}

// Kill implements executor.Handle. The kernel's own signal comes first, or, for
// a runner without the right to send it, the shim's help; the engine's kill, which
// takes ten times as long, follows where neither did it at once.
func (h *handle) Kill(ctx context.Context) (time.Time, error) {
	select {
	case <-h.gone:
		return h.goneAt, nil
	default:
	}
	h.killed.Store(true)
	pause := engineKillAfter
	if !h.killUrgently() {
		pause = 0
	}
	ctx, cancel := context.WithTimeout(ctx, h.exec.cfg.CallTimeout)
	defer cancel()
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-h.gone:
		return h.goneAt, nil
	case <-t.C:
	case <-ctx.Done():
	}
	// The engine's kill outlives the caller's patience: what was decided is done.
	killed := make(chan error, 1)
	if h.exec.live.Err() == nil {
		h.exec.wg.Go(func() { killed <- h.exec.engine.kill(h.exec.live, h.id) })
	}
	for {
		select {
		case <-h.gone:
			return h.goneAt, nil
		case err := <-killed:
			if err != nil {
				h.exec.log.Warn("engine could not kill", "attempt", h.attempt, "error", err)
			}
			killed = nil
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("attempt %s was told to die and still lives: %w", h.attempt, ctx.Err())
		}
	}
}

// Remove implements executor.Handle.
func (h *handle) Remove(ctx context.Context) error {
	select {
	case <-h.done:
	default:
		return fmt.Errorf("attempt %s has not ended: kill it and wait before removing it", h.attempt)
	}
	// Before the removal: a runner that is killed now will find the container again, and
	// with it what is left. That alone it would not find.
	if h.unsure {
		if err := h.exec.endLeft(ctx, h.id); err != nil {
			return err
		}
	}
	if err := h.exec.engine.remove(ctx, h.id); err != nil {
		return err
	}
	h.release()
	removeOwnFiles(h.runtimeDir)
	h.exec.attempts.Forget(h.attempt, h)
	return nil
}

// removeOwnFiles deletes what the executor made in the runtime directory.
func removeOwnFiles(dir string) {
	if dir == "" {
		return
	}
	for _, name := range []string{hostsFile, shimConfigFile, controlSocket} {
		_ = os.Remove(filepath.Join(dir, name))
	}
}

// release gives the handle's descriptors back. It may be called again.
func (h *handle) release() {
	if h.control != nil {
		_ = h.control.Close()
	}
	if h.init != nil {
		h.init.close()
	}
}

// follow sees the container to its end: the shim's report, the init's death, the
// engine's record, in the order in which they come. waiting is a wait that was
// registered with the engine; nil if none is.
func (h *handle) follow(ctx context.Context, waiting exited) {
	defer close(h.done)
	defer h.release()
	if h.init != nil {
		h.exec.wg.Go(func() {
			if at, err := h.init.wait(); err == nil {
				h.markGone(at)
				h.vacate()
			}
		})
	}
	seen := evidence{memoryLimit: h.limit, killAfter: h.killAfter, started: h.started}
	waiting, err := h.untilGone(ctx, waiting, &seen)
	if err != nil {
		h.err = err
		return
	}
	patience, cancel := context.WithTimeout(ctx, h.exec.cfg.RecordTimeout)
	defer cancel()
	seen.record, err = h.record(patience, waiting)
	switch {
	case ctx.Err() != nil:
		h.err = errClosed
		return
	case err != nil:
		seen.lost = err.Error()
	}
	if seen.report == nil {
		seen.report = h.logs.keptReport()
	}
	seen.killed, seen.ended, seen.brokeOff = h.killed.Load(), h.goneAt, h.brokeOff
	if doubtful(seen) {
		// An engine that has been started again has forgotten whom it told to end.
		told := seen.report != nil && seen.report.Forwarded != 0
		seen.signalled = told || h.exec.engine.killedByOthers(ctx, h.id, h.started)
	}
	if seen.report == nil {
		seen.logs, seen.logProblem = h.logs.finish()
	}
	h.unsure = h.unsure || h.brokeOff || seen.record == nil
	h.result = seen.exit()
	h.markVacated()
}

// doubtful says whether somebody else may have ended the container: it ended by
// one of the signals that an engine sends, and not on our word.
func doubtful(v evidence) bool {
	if v.killed || v.record == nil {
		return false
	}
	code := v.record.exitCode
	if v.brokeOff && unseen(code) && v.report != nil {
		code = reportedCode(*v.report)
	}
	switch code {
	case 128 + 15, sigkilled, 128 + 2, 128 + 3, 128 + 1:
		return true
	}
	return false
}

// untilGone returns once no process is left. On the way it takes the shim's
// report, reads the cgroup while that still exists, and lets the shim go. Without
// a hold on the init the engine's word decides; then the returned wait is used up
// and nil.
func (h *handle) untilGone(ctx context.Context, waiting exited, seen *evidence) (exited, error) {
	var reported <-chan struct{}
	if h.control != nil {
		reported = h.control.Exited()
	}
	for {
		var byEngine exited
		if h.init == nil {
			var err error
			if waiting, err = h.rewait(ctx, waiting); err != nil {
				return nil, errClosed
			}
			byEngine = waiting
		}
		select {
		case <-reported:
			reported = nil
			h.takeReport(seen)
		case <-h.gone:
			// The cgroup outlives the processes for some milliseconds.
			h.takeCounters(seen)
			// The report may have come at the same moment.
			if h.control != nil {
				h.control.Settle(settleWithin)
			}
			h.takeLateReport(seen)
			return waiting, nil
		case err := <-byEngine:
			waiting = nil
			if err == nil {
				h.markGone(time.Now())
			} else {
				h.brokeOff = true
				_ = sleep(ctx, firstRetry) // an engine may break each wait at once
			}
		case <-ctx.Done():
			return nil, errClosed
		}
	}
}

// rewait returns the wait that is registered, or registers a new one where it
// broke. A container that has ended meanwhile is marked as gone.
func (h *handle) rewait(ctx context.Context, waiting exited) (exited, error) {
	select {
	case <-h.gone:
		return waiting, nil
	default:
	}
	if waiting != nil {
		return waiting, nil
	}
	w, err := h.wait(ctx)
	if err == nil && w == nil {
		h.markGone(time.Now())
	}
	return w, err
}

func (h *handle) takeReport(seen *evidence) {
	h.takeCounters(seen)
	h.takeLateReport(seen)
	_ = h.control.Ack() // a shim that is gone needs none
}

func (h *handle) takeCounters(seen *evidence) {
	if c, ok := h.cgroup.Counters(); ok {
		seen.counters = c
	}
}

func (h *handle) takeLateReport(seen *evidence) {
	if h.control == nil {
		return
	}
	if r, ok := h.control.Report(); ok {
		seen.report = &r
	}
}

func (h *handle) markGone(at time.Time) {
	h.goneOnce.Do(func() {
		h.goneAt = at
		close(h.gone)
	})
}

// record waits for the engine's record of the container's end. A nil record with
// an error means that there is none to be had.
func (h *handle) record(ctx context.Context, waiting exited) (*record, error) {
	for pause := firstRetry; ; pause = min(2*pause, lastRetry) {
		if waiting != nil {
			select {
			case err := <-waiting:
				if err != nil {
					h.brokeOff = true
					h.exec.log.Debug("a wait broke; asking the engine again", "attempt", h.attempt, "error", err)
				}
			case <-ctx.Done():
				return nil, fmt.Errorf("the engine did not confirm the container's end: %w", ctx.Err())
			}
		}
		c, err := h.exec.engine.inspect(ctx, h.id)
		switch {
		case errdefs.IsNotFound(err):
			return nil, fmt.Errorf("the container was removed by somebody else: %w", err)
		case err == nil && ended(c.State):
			return newRecord(c.State), nil
		case err == nil:
			if waiting, err = h.exec.engine.wait(ctx, h.id, container.WaitConditionNotRunning); err == nil {
				continue
			}
		}
		waiting, h.brokeOff = nil, true
		if sleep(ctx, pause) != nil {
			return nil, fmt.Errorf("the engine does not answer: %w", err)
		}
	}
}

// wait registers a wait for a container that may have ended meanwhile, as often
// as it takes. nil means that it has ended.
func (h *handle) wait(ctx context.Context) (exited, error) {
	for pause := firstRetry; ; pause = min(2*pause, lastRetry) {
		c, err := h.exec.engine.inspect(ctx, h.id)
		switch {
		case errdefs.IsNotFound(err), err == nil && ended(c.State):
			return nil, nil
		case err == nil:
			if w, err := h.exec.engine.wait(ctx, h.id, container.WaitConditionNotRunning); err == nil {
				return w, nil
			}
		}
		h.brokeOff = true
		if err := sleep(ctx, pause); err != nil {
			return nil, err
		}
	}
}

// ended says whether a container does not run and never will again.
func ended(s *container.State) bool {
	return s.Status == container.StateExited || s.Status == container.StateDead || s.Status == container.StateCreated
}

func newRecord(s *container.State) *record {
	return &record{
		exitCode: s.ExitCode, oomKilled: s.OOMKilled, problem: s.Error,
		neverStarted: s.Status == container.StateCreated,
	}
}
