package docker

import (
	"time"

	"github.com/tetryx/lynx-runner/executor/internal/cgroup"
)

// watchDeath is for how long the thread that has killed a container looks whether it
// is dead. What takes longer is not late by what another thread takes to see it.
const watchDeath = time.Second

// killUrgently is killDirectly on a thread that goes before others. That thread stays to
// see the container die: on busy cores another one that waits for it may be woken
// tens of milliseconds after the last process has gone.
func (h *handle) killUrgently() bool {
	if h.exec.live.Err() != nil { // nobody would wait for that thread
		return h.killDirectly()
	}
	sent := make(chan bool, 1)
	h.exec.wg.Go(func() {
		cgroup.Urgently(func() {
			sent <- h.killDirectly()
			if h.init == nil {
				return
			}
			if at, ok := h.init.dead(watchDeath); ok {
				h.markGone(at)
			}
		})
	})
	return <-sent
}

// killDirectly kills without the engine and says whether that can work.
func (h *handle) killDirectly() bool {
	if h.init != nil && h.init.kill() == nil {
		// Else the rest of the container dies only after the last thread of its init,
		// and all of it with a job's share of the CPU. It is worth trying only.
		h.cgroup.Hurry()
		cgroup.HurryProcess(h.init.pid)
		if err := h.cgroup.Kill(); err != nil {
			h.exec.log.Debug("the container's cgroup can't be killed", "attempt", h.attempt, "error", err)
		}
		h.cgroup.HurryProcesses()
		return true
	}
	return h.control != nil && h.control.Kill() == nil
}
