// Package shared gives jobs of one batch a container one after another, where
// their study asks for it (compute.isolation: batch) and the runner's owner allows
// it. Executor stands before another executor: attempts without Spec.Shared pass
// through it unchanged, and for the others it keeps the contract of package
// executor, so that nothing above knows the difference.
//
// # A container's life
//
// A container is made for the first job that needs it and is an attempt of its own
// for the executor below: its init is the shim, its main process a fork server
// (lynx_sdk.forkserver) that has its modules loaded. After a job it waits for
// another with the same key: batch, user, image, limits, environment, command and
// code. It serves one job at a time.
//
// It is ended, and a new one takes its place, as soon as anything is not as it
// should be: the job was killed or ended by a signal, a process was left or killed
// for want of memory, what the job wrote outside of its own directories could not
// be removed, limits changed, memory grew, the connection broke. So it is after
// MaxJobs jobs, after Idle without one, when its user is needed for another job,
// and when the runner stops. Nothing is mended.
//
// # A job's directories
//
// The container's only writable mount is a directory of the runner's, in which a job
// can't write. The job's own two are renamed into it, as out and log, and when the
// job has ended they are renamed back to where they belong, before the next job's
// take their place. Both are gone from the mount then: no name is left in it of a
// file that was collected. What has several names has them all in the same attempt,
// and is no artifact, as it is none with a container of its own.
//
// The run configuration and the telemetry socket come and go in the runtime
// directory, which is mounted read-only: at no time can a job reach another's.
package shared

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/tetryx/lynx-runner/executor"
)

// Prefix begins the attempt id of every container that serves.
const Prefix = "shared-"

const (
	// readyWithin bounds how long a new container may take until its first job
	// runs, with everything that is preloaded.
	readyWithin = 2 * time.Minute
	// endWithin bounds the end of one that is not needed any more.
	endWithin = 30 * time.Second
	// lossWithin is when a container ends whose runner is gone. The runner's next
	// start would end it in any case.
	lossWithin = 10 * time.Second
	// lostWithin is how long a container whose connection broke has to end by
	// itself, which is why most of them break.
	lostWithin = 2 * time.Second
)

// Config is what an Executor is made of.
type Config struct {
	// Dir is a directory for the mounts, made when it is needed: on the file system
	// of the attempts' directories, and this runner's alone.
	Dir string
	// UID is the runner's own user. Only root can give jobs a user who can't write
	// to the runner's directories.
	UID int
	// Log may be nil.
	Log *slog.Logger
}

// Executor is an executor.Executor, and an executor.Pinger. Make one with New.
type Executor struct {
	executor.Executor
	cfg Config
	log *slog.Logger

	mu sync.Mutex
	// idle has at most one container for each user, as a user has one job at a time.
	idle map[uint32]*container
	// handles are those of the attempts that were started and not removed.
	handles map[string]*handle
	closed  bool
	// endings are containers that are being ended, watches what ends with the
	// executor below at the latest.
	endings, watches sync.WaitGroup
}

// New puts an executor before another, which must be able to serve
// (executor.ServingHandle). It owns that from now on.
func New(inner executor.Executor, cfg Config) *Executor {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Executor{Executor: inner, cfg: cfg, log: cfg.Log, idle: map[uint32]*container{}, handles: map[string]*handle{}}
}

// Ping implements executor.Pinger, where the executor below does.
func (e *Executor) Ping(ctx context.Context) error {
	if p, ok := e.Executor.(executor.Pinger); ok {
		return p.Ping(ctx)
	}
	return nil
}

// Start implements executor.Executor. An attempt that shares gets the container
// that waits for it, or a new one.
func (e *Executor) Start(ctx context.Context, spec executor.Spec) (executor.Handle, error) {
	waiting := e.take(spec)
	if spec.Shared == nil {
		return e.Executor.Start(ctx, spec)
	}
	if e.cfg.UID != 0 {
		return nil, fmt.Errorf("%w: compute.isolation: batch needs a runner that root started: only there has a job another user than the runner, and can't write where other runs' results pass", executor.ErrInvalidSpec)
	}
	if len(spec.GPUs) > 0 {
		return nil, fmt.Errorf("%w: compute.isolation: batch can't be had together with GPUs, which a waiting container would keep from others", executor.ErrInvalidSpec)
	}
	e.mu.Lock()
	h, there := e.handles[spec.AttemptID]
	e.mu.Unlock()
	if there {
		return h, nil
	}
	h, err := e.begin(ctx, spec, waiting)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	e.handles[spec.AttemptID] = h
	e.mu.Unlock()
	return h, nil
}

// begin starts a job in the container that waits, or in a new one.
func (e *Executor) begin(ctx context.Context, spec executor.Spec, c *container) (*handle, error) {
	if c != nil {
		h, err := c.begin(ctx, spec)
		if err == nil {
			return h, nil
		}
		e.discard(c, "it does not take a job: "+err.Error())
	}
	c, err := e.create(ctx, spec)
	if err != nil {
		return nil, err
	}
	h, err := c.begin(ctx, spec)
	if err != nil {
		e.discard(c, "it does not take its first job: "+err.Error())
		return nil, err
	}
	return h, nil
}

// take returns the container that waits for this job; nil if none does. What waits
// with the same user for other jobs is ended: its memory is this one's now.
func (e *Executor) take(spec executor.Spec) *container {
	e.mu.Lock()
	c := e.idle[spec.User.UID]
	delete(e.idle, spec.User.UID)
	e.mu.Unlock()
	switch {
	case c == nil:
		return nil
	case !c.timer.Stop():
		// Its time is up, and it is being ended.
	case spec.Shared == nil || c.key != keyOf(spec):
		e.discard(c, "its user has another job")
	case c.ended():
		e.discard(c, "it ended while it waited")
	default:
		return c
	}
	return nil
}

// put lets a container wait for its next job.
func (e *Executor) put(c *container, idle time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		e.discard(c, "the runner stops")
		return
	}
	e.idle[c.uid] = c
	c.timer = time.AfterFunc(idle, func() {
		e.mu.Lock()
		mine := e.idle[c.uid] == c
		if mine {
			delete(e.idle, c.uid)
		}
		e.mu.Unlock()
		e.discard(c, "no job came")
	})
}

// discard ends a container and removes it, behind the caller's back. What can't be
// removed is found at the runner's next start.
func (e *Executor) discard(c *container, why string) {
	c.discarded.Do(func() {
		e.log.Debug("a shared container is ended", "container", c.inner.AttemptID(), "jobs", c.jobs, "why", why)
		e.endings.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), endWithin)
			defer cancel()
			err := end(ctx, c.inner)
			if err = errors.Join(err, c.dirs.remove()); err != nil {
				e.log.Error("cannot remove a shared container; the next start of this runner does it", "container", c.inner.AttemptID(), "error", err)
			}
		})
	})
}

// end ends a container and removes it.
func end(ctx context.Context, h executor.Handle) error {
	if _, err := h.Kill(ctx); err != nil {
		return err
	}
	if _, err := h.Wait(ctx); err != nil {
		return err
	}
	return h.Remove(ctx)
}

// Recover implements executor.Executor. Containers that served an earlier process
// are ended, with the jobs that they had, and are not among the handles; the jobs'
// files are brought back to where they belong.
func (e *Executor) Recover(ctx context.Context) ([]executor.Handle, error) {
	handles, err := e.Executor.Recover(ctx)
	if err != nil {
		return nil, err
	}
	var others []executor.Handle
	for _, h := range handles {
		if !strings.HasPrefix(h.AttemptID(), Prefix) {
			others = append(others, h)
			continue
		}
		if err := end(ctx, h); err != nil {
			return nil, fmt.Errorf("container %s, which served jobs: %w", h.AttemptID(), err)
		}
	}
	return others, Sweep(e.cfg.Dir)
}

// Close ends the containers that wait, and closes the executor below.
func (e *Executor) Close() error {
	e.mu.Lock()
	e.closed = true
	for uid, c := range e.idle {
		delete(e.idle, uid)
		c.timer.Stop()
		e.discard(c, "the runner stops")
	}
	e.mu.Unlock()
	e.endings.Wait()
	_ = os.Remove(e.cfg.Dir) // unless something is left
	err := e.Executor.Close()
	e.watches.Wait()
	return err
}

// create makes a container for jobs like this one.
func (e *Executor) create(ctx context.Context, spec executor.Spec) (*container, error) {
	id := Prefix + strings.ToLower(rand.Text()[:16])
	dirs, err := makeDirs(e.cfg.Dir, id, filepath.Dir(spec.RuntimeDir))
	if err != nil {
		return nil, fmt.Errorf("directories of a shared container: %w", err)
	}
	inner, err := e.Executor.Start(ctx, dirs.spec(id, spec))
	if err != nil {
		return nil, errors.Join(err, dirs.remove())
	}
	serving, ok := inner.(executor.ServingHandle)
	if !ok {
		err := fmt.Errorf("%w: executor %s can't share containers", executor.ErrInvalidSpec, e.Name())
		return nil, errors.Join(err, end(context.WithoutCancel(ctx), inner), dirs.remove())
	}
	return newContainer(e, serving, dirs, spec), nil
}
