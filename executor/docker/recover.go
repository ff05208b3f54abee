package docker

import (
	"context"
	"path/filepath"
	"strconv"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/shim/control"
)

// Recover implements executor.Executor. A container that was created and never
// started comes back as an attempt that has ended, unknown how: it is for the
// caller to remove.
func (e *Executor) Recover(ctx context.Context) ([]executor.Handle, error) {
	ids, err := e.engine.list(ctx, labelRunner, e.cfg.RunnerID)
	if err != nil {
		return nil, err
	}
	var handles []executor.Handle
	for _, id := range ids {
		c, err := e.engine.inspect(ctx, id)
		if errdefs.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if c.Name != "/"+containerName(c.Config.Labels[labelAttempt]) {
			e.log.Warn("a container has this runner's label and is not its own: an image may bring labels, and never a name", "container", c.Name)
			continue
		}
		h, err := e.once(ctx, c.Config.Labels[labelAttempt], func() (*handle, error) { return e.attach(ctx, c) })
		if err != nil {
			return nil, err
		}
		handles = append(handles, h)
	}
	return handles, nil
}

// attach makes a handle of a container that an earlier process created. A
// running one's shim finds the control socket again by itself.
func (e *Executor) attach(ctx context.Context, c container.InspectResponse) (*handle, error) {
	labels := c.Config.Labels
	h := e.newHandle(c.ID, labels[labelAttempt], labels[labelRuntimeDir])
	h.unsure = true
	h.limit = c.HostConfig.Memory
	h.started = engineTime(c.State.StartedAt)
	h.killAfter = time.Duration(labelled(labels, labelKillAfter)) * time.Millisecond
	h.logs = logs{head: labelled(labels, labelLogHead), tail: labelled(labels, labelLogTail)}
	for _, m := range c.HostConfig.Mounts {
		if m.Target == executor.ContainerLog {
			h.logs.dir = m.Source
		}
	}
	switch {
	case c.State.Status == container.StateCreated:
		h.endForgotten(ctx)
		h.started = time.Now()
		h.markGone(h.started)
	case ended(c.State):
		h.brokeOff = true
		h.markGone(engineTime(c.State.FinishedAt))
	default:
		h.reopenControl()
		h.hold(c)
	}
	e.wg.Go(func() { h.follow(e.live, nil) })
	return h, nil
}

// labelled is a number in a label; 0 if there is none.
func labelled(labels map[string]string, name string) int64 {
	n, _ := strconv.ParseInt(labels[name], 10, 64)
	return n
}

// reopenControl listens again where the shim dials. Without it the job goes on
// as well, and ends with the engine's record alone.
func (h *handle) reopenControl() {
	s, err := control.Listen(filepath.Join(h.runtimeDir, controlSocket), h.exec.log)
	if err != nil {
		h.exec.log.Warn("a recovered job's control socket can't be opened; its end will be known from the engine alone",
			"attempt", h.attempt, "error", err)
		return
	}
	h.control = s
}

// engineTime reads a time of the engine's; the zero time, which it writes as the
// year 1, where there is none.
func engineTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}
	}
	return t.Local()
}
