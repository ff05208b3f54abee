package runner

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/runner/config"
	"github.com/tetryx/lynx-runner/internal/runner/host"
)

// pauseKind is a reason to take no new jobs for now. Each comes and goes by itself.
type pauseKind int

const (
	// pauseRecovery is what an earlier run of this runner left, until it is gone.
	pauseRecovery pauseKind = iota
	// pauseDisk is too little free space.
	pauseDisk
	// pauseEngine is an engine that does not answer.
	pauseEngine
	// pauseStarts is that jobs cannot be started, although the engine answers.
	pauseStarts
	pauseKinds
)

// pauses are the reasons that there are, each with a sentence for people.
type pauses struct {
	mu      sync.Mutex
	reasons [pauseKinds]string
	open    chan struct{} // closed while there is none
	news    chan struct{} // has an element when a reason came, went or changed
}

func newPauses() *pauses {
	p := &pauses{open: make(chan struct{}), news: make(chan struct{}, 1)}
	close(p.open)
	return p
}

// set makes reason, or nothing, the sentence of its kind, and returns whether it
// came (1), went (-1) or neither. It is kept short, whatever an engine has to say: a
// platform refuses heartbeats that are beyond measure.
func (p *pauses) set(kind pauseKind, reason string) int {
	reason = clip(reason)
	p.mu.Lock()
	defer p.mu.Unlock()
	before, wasOpen := p.reasons[kind], p.reasons == [pauseKinds]string{}
	if before == reason {
		return 0
	}
	p.reasons[kind] = reason
	switch isOpen := p.reasons == [pauseKinds]string{}; {
	case wasOpen:
		p.open = make(chan struct{})
	case isOpen:
		close(p.open)
	}
	select {
	case p.news <- struct{}{}:
	default:
	}
	switch {
	case before == "":
		return 1
	case reason == "":
		return -1
	}
	return 0
}

// text is all reasons, as a sentence; empty if there is none.
func (p *pauses) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []string
	for _, reason := range p.reasons {
		if reason != "" {
			list = append(list, reason)
		}
	}
	return strings.Join(list, "; ")
}

// pass waits until there is no reason and reports whether ctx still lives.
func (p *pauses) pass(ctx context.Context) bool {
	p.mu.Lock()
	open := p.open
	p.mu.Unlock()
	select {
	case <-open:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// pause takes no new jobs for a reason, or, without one, no longer for that.
func (r *Runner) pause(kind pauseKind, reason string) {
	switch r.pauses.set(kind, reason) {
	case 1:
		r.log.Warn("taking no new jobs for now", "reason", reason)
	case -1:
		if left := r.pauses.text(); left != "" {
			r.log.Info("a reason to take no new jobs is gone, another is not", "reason", left)
		} else {
			r.log.Info("taking jobs again")
		}
	}
}

// watchHost looks at what jobs need besides a slot until ctx ends.
func (r *Runner) watchHost(ctx context.Context) {
	for sleep(ctx, r.pace.look) {
		r.look(ctx)
	}
}

// look finds reasons to take no new jobs, and that there are none any more. It is
// not called twice at a time.
func (r *Runner) look(ctx context.Context) {
	said, err := r.disk.Check()
	if err != nil {
		said = err.Error()
	}
	r.pause(pauseDisk, said)
	engine, ok := r.deps.Executor.(executor.Pinger)
	if !ok {
		return
	}
	bounded, cancel := context.WithTimeout(ctx, r.pace.ping)
	defer cancel()
	err = engine.Ping(bounded)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		r.pause(pauseEngine, printable(fmt.Sprintf("%s does not answer: %v", r.deps.Executor.Name(), err)))
	default:
		r.pause(pauseEngine, "")
	}
}

// newDisk watches the file systems that results and the runner's own state are
// written to.
func newDisk(cfg *config.Config) *host.Disk {
	return &host.Disk{
		Dirs:    []host.DiskDir{{Setting: "output_root", Path: cfg.OutputRoot}, {Setting: "state_dir", Path: cfg.StateDir}},
		Reserve: cfg.Reserve.Disk.Of,
		Space:   host.SpaceOf,
	}
}
