package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/shim/control"
)

// startedWithin is how long Start waits for the shim's word that the job runs,
// after the engine has said that the container does. It takes milliseconds; where
// it is exceeded Start returns all the same, and Wait will tell.
const startedWithin = 5 * time.Second

// Start implements executor.Executor.
func (e *Executor) Start(ctx context.Context, spec executor.Spec) (executor.Handle, error) {
	if err := e.validate(spec); err != nil {
		return nil, err
	}
	return e.once(ctx, spec.AttemptID, func() (*handle, error) { return e.launch(ctx, spec) })
}

// once makes an attempt's handle, or returns the one that was or is being made.
func (e *Executor) once(ctx context.Context, attempt string, newOne func() (*handle, error)) (executor.Handle, error) {
	h, err := e.attempts.Once(ctx, attempt, newOne)
	if err != nil {
		return nil, err // not a nil *handle, which is no nil Handle
	}
	return h, nil
}

// launch creates and starts a container, or takes up the one that is there.
func (e *Executor) launch(ctx context.Context, spec executor.Spec) (h *handle, err error) {
	select {
	case e.starts <- struct{}{}:
		defer func() { <-e.starts }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	body, err := e.body(ctx, spec)
	if err != nil {
		return nil, err
	}
	if body.NetworkDisabled {
		if err := writeHosts(spec.RuntimeDir); err != nil {
			return nil, err
		}
		defer func() {
			if h == nil {
				_ = os.Remove(filepath.Join(spec.RuntimeDir, hostsFile))
			}
		}()
	}
	name := containerName(spec.AttemptID)
	// What is in the way may only have been created, or be on its way out.
	for range 3 {
		id, warnings, err := e.engine.create(ctx, name, body)
		if errdefs.IsConflict(err) {
			h, err := e.takeUp(ctx, spec, name)
			if h != nil || err != nil {
				return h, err
			}
			continue
		}
		if err != nil {
			return nil, e.createFailed(name, spec, err)
		}
		for _, w := range warnings {
			if _, known := e.warned.LoadOrStore(w, true); !known {
				e.log.Warn("the engine warns about a container", "warning", w)
			}
		}
		return e.run(ctx, spec, id)
	}
	return nil, fmt.Errorf("container %s: the name stays in use although the container is removed again and again", name)
}

// body collects what the create request needs to know.
func (e *Executor) body(ctx context.Context, spec executor.Spec) (createBody, error) {
	volumes, err := e.imageVolumes(ctx, spec.Image)
	if err != nil {
		return createBody{}, err
	}
	mountpoints, err := hostMountpoints()
	if err != nil {
		return createBody{}, fmt.Errorf("read the host's mount points: %w", err)
	}
	return e.translate(spec, volumes, mountpoints)
}

// createFailed tells the job's fault from the engine's. A create that timed out
// may have happened all the same.
func (e *Executor) createFailed(name string, spec executor.Spec, err error) error {
	switch {
	case errdefs.IsNotFound(err):
		return fmt.Errorf("%w: %s is not on the engine any more: %w", executor.ErrImage, spec.Image, err)
	case errdefs.IsInvalidArgument(err):
		return fmt.Errorf("%w: %w", executor.ErrInvalidSpec, err)
	}
	if e.discardUnstarted(name) != nil {
		e.wg.Go(func() { e.discardLater(name, spec.AttemptID) })
	}
	return err
}

// discardUnstarted removes what a create that was not answered may have made.
// What ever ran stays: it is for a later Start or Recover to find. An error says
// that the engine could not tell.
func (e *Executor) discardUnstarted(name string) error {
	ctx := context.WithoutCancel(e.live)
	c, err := e.engine.inspect(ctx, name)
	switch {
	case errdefs.IsNotFound(err):
		return nil
	case err != nil:
		return err
	case c.State.Status == container.StateCreated && c.Config.Labels[labelRunner] == e.cfg.RunnerID:
		return e.engine.remove(ctx, c.ID)
	}
	return nil
}

// errDiscarded says that an attempt that could not be started has left nothing.
var errDiscarded = errors.New("nothing is left of the attempt")

// discardLater is discardUnstarted for an engine that is away, as often as it
// takes. It holds the attempt's place while it looks, so that it never meets the
// container of a later Start, and ends with one that succeeds.
func (e *Executor) discardLater(name, attempt string) {
	for sleep(e.live, lastRetry) == nil {
		_, err := e.attempts.Once(e.live, attempt, func() (*handle, error) {
			if err := e.discardUnstarted(name); err != nil {
				return nil, err
			}
			return nil, errDiscarded
		})
		if err == nil || errors.Is(err, errDiscarded) {
			return
		}
	}
}

// takeUp makes a handle of a container that has the attempt's name. nil without
// an error means that it was removed, because it never ran, or is gone: the name
// is free again.
func (e *Executor) takeUp(ctx context.Context, spec executor.Spec, name string) (*handle, error) {
	c, err := e.engine.inspect(ctx, name)
	switch {
	case errdefs.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, err
	case c.Config.Labels[labelRunner] != e.cfg.RunnerID || c.Config.Labels[labelAttempt] != spec.AttemptID:
		return nil, fmt.Errorf("container %s exists and is not this runner's: its label %s is %q; remove or rename it",
			name, labelRunner, c.Config.Labels[labelRunner])
	case c.State.Status == container.StateCreated:
		// It never ran: nothing is lost, and this Start may have other paths.
		if err := e.endForgotten(ctx, c.ID); err != nil {
			return nil, err
		}
		return nil, e.engine.remove(ctx, c.ID)
	case c.State.Status == container.StateRemoving:
		return nil, sleep(ctx, firstRetry)
	}
	return e.attach(ctx, c)
}

// run starts a created container. Whatever fails, the container is removed.
func (e *Executor) run(ctx context.Context, spec executor.Spec, id string) (_ *handle, err error) {
	h := e.newHandle(id, spec.AttemptID, spec.RuntimeDir)
	h.limit = *spec.Sandbox.Resources.Memory.Limit
	if !spec.Serve { // there it is each job's
		h.killAfter = time.Duration(shimConfig(spec).KillAfterMillis) * time.Millisecond
	}
	h.logs = logs{dir: spec.LogDir, head: spec.LogHead, tail: spec.LogTail}
	follow, cancel := context.WithCancel(e.live)
	defer func() {
		if err != nil {
			cancel()
			h.release()
			e.discard(id)
			removeOwnFiles(spec.RuntimeDir)
		}
	}()
	if err := writeShimConfig(spec); err != nil {
		return nil, err
	}
	if h.control, err = control.Listen(filepath.Join(spec.RuntimeDir, controlSocket), e.log); err != nil {
		return nil, err
	}
	waiting, err := e.engine.wait(follow, id, container.WaitConditionNextExit)
	if err != nil {
		return nil, err
	}
	c, started, err := e.begin(ctx, id)
	if err != nil {
		return nil, h.lost(ctx, err)
	}
	h.started = started
	h.hold(c)
	e.wg.Go(func() {
		defer cancel()
		h.follow(follow, waiting)
	})
	return h, h.untilStarted(ctx)
}

// lost tells an engine that could not start the container from one that did and was
// killed before it wrote that down: then another Start would run the job twice, the
// second time perhaps beside the first.
func (h *handle) lost(ctx context.Context, err error) error {
	h.endForgotten(context.WithoutCancel(ctx))
	if _, none := os.Stat(filepath.Join(h.logs.dir, stdoutLog)); none != nil {
		return err
	}
	// Not wrapped: it is not for another try, as ErrUnavailable is.
	return errors.New("the engine lost the container while it started it: " + err.Error())
}

// begin has the engine start a container and returns what it says of it then, and
// when it was started. An engine that breaks off in the middle may have started it
// all the same: what it says when it is back decides, for a job that runs is not to
// be run again.
func (e *Executor) begin(ctx context.Context, id string) (c container.InspectResponse, started time.Time, err error) {
	unclear := e.engine.start(ctx, id)
	if unclear != nil && !errors.Is(unclear, executor.ErrUnavailable) {
		return c, started, unclear
	}
	started = time.Now()
	ctx, cancel := context.WithTimeout(ctx, e.cfg.RecordTimeout)
	defer cancel()
	for pause := firstRetry; ; pause = min(2*pause, lastRetry) {
		c, err = e.engine.inspect(ctx, id)
		switch {
		case err == nil && unclear == nil:
			return c, started, nil
		case err == nil && c.State.Status == container.StateCreated:
			return c, started, unclear
		case err == nil:
			return c, engineTime(c.State.StartedAt), nil
		case errdefs.IsNotFound(err) || sleep(ctx, pause) != nil:
			return c, started, errors.Join(unclear, err)
		}
	}
}

// untilStarted waits for the shim's word that the job's main process runs, or
// that it never will. Only the caller's impatience is an error.
func (h *handle) untilStarted(ctx context.Context) error {
	t := time.NewTimer(startedWithin)
	defer t.Stop()
	select {
	case <-h.control.Started():
	case <-h.control.Exited():
	case <-h.gone:
	case <-h.done:
	case <-t.C:
		h.exec.log.Warn("the shim has not said that the job runs", "attempt", h.attempt, "after", startedWithin)
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

func (e *Executor) newHandle(id, attempt, runtimeDir string) *handle {
	return &handle{
		exec: e, id: id, attempt: attempt, runtimeDir: runtimeDir,
		gone: make(chan struct{}), vacated: make(chan struct{}), done: make(chan struct{}),
	}
}

// hold gets a hold on a running container's init, and lets that init in at the
// control socket. A runner without the right, or on another machine than the
// engine's containers, goes on without.
func (h *handle) hold(c container.InspectResponse) {
	pid := c.State.Pid
	if pid == 0 { // it has ended already
		if h.control != nil {
			h.control.ExpectFirst()
		}
		return
	}
	if h.control != nil {
		h.control.Expect(pid)
	}
	init, err := h.exec.open(pid, func() error { return isInitOf(h.id, pid) })
	if err != nil {
		h.exec.log.Debug("the container's init can't be opened; the engine's word decides", "attempt", h.attempt, "error", err)
		return
	}
	h.init = init
	if h.cgroup, err = findCgroup("/proc", cgroupMount, pid, h.id); err != nil {
		h.exec.log.Debug("the container's cgroup can't be read", "attempt", h.attempt, "error", err)
	}
}

// discard removes a container that must not stay, without the caller's context,
// which may be what ended. While the engine is away it goes on trying behind the
// caller's back, until the executor is closed; such an engine may forget what runs.
func (e *Executor) discard(id string) {
	err := e.engine.remove(context.WithoutCancel(e.live), id)
	if err == nil {
		removeGroups(cgroupMount, id) // of a start that was broken off
		return
	}
	e.log.Warn("a container cannot be removed; trying again", "container", short(id), "error", err)
	e.wg.Go(func() {
		for pause := firstRetry; sleep(e.live, pause) == nil; pause = min(2*pause, lastRetry) {
			if e.engine.remove(e.live, id) == nil && e.endLeft(e.live, id) == nil {
				return
			}
		}
		e.log.Warn("container left behind; it is found again at the next start", "container", short(id))
	})
}

func writeShimConfig(spec executor.Spec) error {
	b, err := json.Marshal(shimConfig(spec))
	if err != nil {
		return fmt.Errorf("shim configuration: %w", err)
	}
	path := filepath.Join(spec.RuntimeDir, shimConfigFile)
	if err := os.WriteFile(path, b, 0o644); err != nil {
		return fmt.Errorf("shim configuration: %w", err)
	}
	return os.Chmod(path, 0o644) // whatever the umask
}
