package docker

import (
	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/shim"
)

var _ executor.ServingHandle = (*handle)(nil)

// Run implements executor.ServingHandle.
func (h *handle) Run() error { return h.control.Job() }

// Lost implements executor.ServingHandle.
func (h *handle) Lost() <-chan struct{} { return h.control.Lost() }

// Served implements executor.ServingHandle. It is for one reader.
func (h *handle) Served() <-chan executor.ServedNews {
	news := make(chan executor.ServedNews)
	h.exec.wg.Go(func() {
		for {
			select {
			case m := <-h.control.Jobs():
				select {
				case news <- servedNews(m):
				case <-h.done:
					return
				}
			case <-h.done:
				return
			}
		}
	})
	return news
}

// OOMKills implements executor.ServingHandle.
func (h *handle) OOMKills() int64 {
	c, _ := h.cgroup.Counters()
	return c.OOMKills
}

// servedNews puts a shim's message into the executor's terms.
func servedNews(m shim.Message) executor.ServedNews {
	if m.Job == nil {
		return executor.ServedNews{}
	}
	v := evidence{report: &m.Job.Exit}
	var x executor.Exit
	v.addReport(&x)
	x.Code, x.Signal, x.Known = m.Job.Exit.Code, m.Job.Exit.Signal, m.Job.Exit.SetupError == ""
	return executor.ServedNews{Ended: &executor.ServedEnd{Exit: x, Odd: m.Job.Odd}}
}
