package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/shim/control"
)

// Recover implements executor.Executor. An attempt whose shim was never told what
// to do, or whose state is damaged, comes back as one that has ended, unknown how:
// it is for the caller to remove.
func (e *Executor) Recover(ctx context.Context) ([]executor.Handle, error) {
	ids, err := e.known()
	if err != nil {
		return nil, err
	}
	var handles []executor.Handle
	for _, id := range ids {
		h, err := e.once(ctx, id, func() (*handle, error) {
			s, err := e.load(id)
			switch {
			case errors.Is(err, errDamaged), errors.Is(err, fs.ErrNotExist):
				return e.attachDamaged(id, err), nil
			case err != nil:
				return nil, fmt.Errorf("attempt %s of an earlier process: %w", id, err)
			}
			return e.attach(s), nil
		})
		if err != nil {
			return nil, err
		}
		handles = append(handles, h)
	}
	return handles, nil
}

// attach makes a handle of an attempt that an earlier process started. A living
// shim finds the control socket again by itself.
func (e *Executor) attach(s state) *handle {
	h := e.newHandle(s)
	switch {
	case s.PID == 0:
		h.state.Started = time.Now()
		h.lost = "the attempt was prepared and never started"
	case s.Boot != thisBoot():
		h.lost, h.restarted = "the machine was restarted while the job ran", true
	default:
		p, err := findShim(s.PID, s.StartTime)
		if err == nil {
			h.shim = p
			h.reopenControl()
		} else if !errors.Is(err, errGone) {
			e.log.Warn("the shim of an attempt can't be opened", "attempt", s.AttemptID, "error", err)
		}
	}
	e.wg.Go(func() { h.follow(e.live) })
	return h
}

// attachDamaged makes a handle of an attempt of which only the name is known. Its
// processes are still found, in the cgroup of that name.
func (e *Executor) attachDamaged(id string, err error) *handle {
	e.log.Error("an attempt's state can't be read; its processes are ended as far as they can be found", "attempt", id, "error", err)
	h := e.newHandle(state{AttemptID: id, Cgroup: e.groups.attempt(id), Started: time.Now()})
	h.lost = "nobody knows how the job ended: " + err.Error()
	e.wg.Go(func() { h.follow(e.live) })
	return h
}

// reopenControl listens again where the shim dials. Without it the job goes on as
// well, and its report is in the file.
func (h *handle) reopenControl() {
	s, err := control.Listen(filepath.Join(h.RuntimeDir, controlSocket), h.exec.log)
	if err != nil {
		h.exec.log.Warn("a recovered job's control socket can't be opened", "attempt", h.AttemptID(), "error", err)
		return
	}
	s.Expect(h.PID)
	h.control = s
}
