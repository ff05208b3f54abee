package shared

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tetryx/lynx-runner/executor"
)

// container is one that serves jobs.
type container struct {
	exec   *Executor
	inner  executor.ServingHandle
	news   <-chan executor.ServedNews
	dirs   dirs
	key    string
	uid    uint32
	limits executor.Shared

	// jobs is how many it has served, cpu what they used.
	jobs int
	cpu  time.Duration
	// timer ends it while it waits.
	timer     *time.Timer
	discarded sync.Once

	// over is closed when it has ended; then exit, or err, is known.
	over chan struct{}
	exit executor.Exit
	err  error
}

func newContainer(e *Executor, inner executor.ServingHandle, d dirs, spec executor.Spec) *container {
	c := &container{
		exec: e, inner: inner, news: inner.Served(), dirs: d, key: keyOf(spec), uid: spec.User.UID,
		limits: *spec.Shared, over: make(chan struct{}),
	}
	e.watches.Go(func() {
		defer close(c.over)
		c.exit, c.err = inner.Wait(context.Background()) // it ends with the executor at the latest
	})
	return c
}

func (c *container) ended() bool {
	select {
	case <-c.over:
		return true
	case <-c.inner.Lost():
		return true
	default:
		return false
	}
}

// begin has the container run a job, and returns when that runs, or never will. An
// error means that it did not begin; its directories are where they were.
func (c *container) begin(ctx context.Context, spec executor.Spec) (_ *handle, err error) {
	err = c.dirs.bringIn(spec)
	if err == nil {
		err = c.inner.Run()
	}
	if err != nil {
		return nil, errors.Join(err, c.dirs.takeOut(spec))
	}
	h := &handle{c: c, spec: spec, started: time.Now(), done: make(chan struct{}), vacated: make(chan struct{})}
	c.jobs++
	patience := time.NewTimer(readyWithin)
	defer patience.Stop()
	var first *executor.ServedEnd
	select {
	case n := <-c.news:
		h.started, first = time.Now(), n.Ended
	case <-c.over:
		if c.jobs > 1 { // it ended while it waited, and this job never began
			err = errors.New("it has ended")
		}
	case <-patience.C:
		err = fmt.Errorf("the fork server was not ready for its first job after %v", readyWithin)
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		// Before its directories are taken away nothing of the job may live.
		bounded, cancel := context.WithTimeout(context.Background(), endWithin)
		defer cancel()
		_, killErr := c.inner.Kill(bounded)
		return nil, errors.Join(err, killErr, c.dirs.takeOut(spec))
	}
	c.exec.watches.Go(func() { h.follow(first) })
	return h, nil
}
