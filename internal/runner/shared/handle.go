package shared

import (
	"context"
	"sync"
	"time"

	"github.com/tetryx/lynx-runner/executor"
)

// handle is one job in a container. One goroutine, follow, sees it to its end.
type handle struct {
	c       *container
	spec    executor.Spec
	started time.Time

	mu sync.Mutex
	// killed says that the container is being killed for this job's sake, settled
	// that the job ended before anybody could.
	killed, settled bool

	// done is closed when exit, or err, is known, and the job's directories are back;
	// vacated before that, where exit is.
	done, vacated chan struct{}
	exit          executor.Exit
	err           error
}

var (
	_ executor.Handle  = (*handle)(nil)
	_ executor.Vacater = (*handle)(nil)
)

// AttemptID implements executor.Handle.
func (h *handle) AttemptID() string { return h.spec.AttemptID }

// Started implements executor.Handle.
func (h *handle) Started() time.Time { return h.started }

// Wait implements executor.Handle.
func (h *handle) Wait(ctx context.Context) (executor.Exit, error) {
	select {
	case <-h.done:
		return h.exit, h.err
	default:
	}
	select {
	case <-h.done:
		return h.exit, h.err
	case <-ctx.Done():
		return executor.Exit{}, ctx.Err()
	}
}

// Vacated implements executor.Vacater: when its directories are back, the container is
// for the next job, or no process of it lives.
func (h *handle) Vacated() <-chan struct{} { return h.vacated }

// Kill implements executor.Handle: the container goes, unless the job has ended.
func (h *handle) Kill(ctx context.Context) (time.Time, error) {
	h.mu.Lock()
	settled := h.settled
	h.killed = !settled
	h.mu.Unlock()
	if settled {
		exit, err := h.Wait(ctx)
		return exit.Ended, err
	}
	return h.c.inner.Kill(ctx)
}

// Remove implements executor.Handle. A container that served its last job is ended
// and removed in the background.
func (h *handle) Remove(context.Context) error {
	h.c.exec.mu.Lock()
	defer h.c.exec.mu.Unlock()
	delete(h.c.exec.handles, h.spec.AttemptID)
	return nil
}

// follow waits for the job's end, brings its directories back, and then gives the
// container to the next job, or up. first is the end of a job that never was
// started.
func (h *handle) follow(first *executor.ServedEnd) {
	defer close(h.done)
	defer func() {
		if h.err == nil {
			close(h.vacated)
		}
	}()
	why := ""
	if end := h.untilEnded(first); end != nil {
		why = h.settle(end)
	} else {
		why = h.takeContainers()
	}
	if err := h.c.dirs.takeOut(h.spec); err != nil {
		h.err, why = err, "the job's directories could not be taken out: "+err.Error()
	}
	if why == "" {
		h.c.exec.put(h.c, h.c.limits.Idle)
		return
	}
	if h.err == nil { // the place is another's next
		h.endContainer()
	}
	h.c.exec.discard(h.c, why)
}

// untilEnded returns how the job ended, or nil where the container did.
func (h *handle) untilEnded(end *executor.ServedEnd) *executor.ServedEnd {
	lost := h.c.inner.Lost()
	var late <-chan time.Time
	for end == nil {
		select {
		case n := <-h.c.news:
			end = n.Ended
		case <-h.c.over:
			return nil
		case <-lost:
			lost, late = nil, time.After(lostWithin)
		case <-late:
			late = nil
			h.endContainer()
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.killed {
		return nil
	}
	return end
}

// settle makes the exit of a job that ended, and says why its container must not
// serve another; empty if it may.
func (h *handle) settle(end *executor.ServedEnd) (why string) {
	c := h.c
	x := end.Exit
	x.Started, x.Ended = h.started, time.Now()
	x.OOM = executor.OOM{Killed: c.inner.OOMKills(), Limit: *h.spec.Sandbox.Resources.Memory.Limit}
	switch {
	case end.Odd != "":
		why = end.Odd
	case x.OOM.Killed > 0:
		why = "a process was killed for want of memory"
	case x.Signal != 0 || !x.Known:
		why = "the job did not end by an exit code"
	case c.jobs >= c.limits.MaxJobs:
		why = "it has served enough jobs"
	case c.ended():
		why = "the connection broke"
	}
	c.cpu += x.Usage.CPU
	if end.Odd != "" {
		x.Notes = append(x.Notes, "the container was not given to another job: "+end.Odd)
		h.endContainer() // with what is left in it
		x.Ended = time.Now()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.settled = true
	h.exit = x
	if h.killed && why == "" {
		why = "it was killed at the job's end"
	}
	return why
}

// endContainer kills the container and waits until nothing of it lives.
func (h *handle) endContainer() {
	ctx, cancel := context.WithTimeout(context.Background(), endWithin)
	defer cancel()
	if _, err := h.c.inner.Kill(ctx); err != nil {
		h.c.exec.log.Error("cannot kill a shared container", "container", h.c.inner.AttemptID(), "error", err)
	}
}

// takeContainers makes the job's exit of its container's: it was killed, or its init
// or fork server ended.
func (h *handle) takeContainers() (why string) {
	<-h.c.over
	x := h.c.exit
	if x.Started = h.started; x.Ended.Before(x.Started) {
		x.Started = x.Ended // the news of the start came later than the end
	}
	x.Usage.Wall = max(0, x.Ended.Sub(h.started))
	x.Usage.CPU = max(0, x.Usage.CPU-h.c.cpu)
	h.exit, h.err = x, h.c.err
	return "it ended with its job"
}
