//go:build engine

package soak

import (
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tetryx/lynx-runner/tests/internal/stand"
)

// fault is one kind of fault.
type fault struct {
	name string
	// targets are the things that it can happen to, one of them at a time.
	targets []string
	// mayBeLong says that it may last for longer than a lease: nothing ends a job
	// meanwhile that would then have been tried too often.
	mayBeLong bool
	// begin makes it happen, and returns what ends it; nil if it ends by itself.
	begin func(t *testing.T, s *site, k strike) (end func(t *testing.T))
}

var (
	containers = []string{"runner a", "runner b"}
	runners    = []string{"runner a", "runner b", "runner p"}
	platform   = []string{"platform"}
	engine     = []string{"engine"}
)

// faults are all kinds. What stands there twice is drawn twice as often.
var faults = []fault{
	{name: "kill -9", targets: runners, mayBeLong: true, begin: killed},
	{name: "kill -9", targets: platform, mayBeLong: true, begin: killed},
	{name: "SIGTERM", targets: runners, begin: terminated},
	{name: "SIGTERM", targets: platform, begin: terminated},
	{name: "SIGSTOP", targets: runners, mayBeLong: true, begin: frozen},
	{name: "SIGSTOP", targets: platform, begin: frozen},
	{name: "kill -9", targets: engine, begin: engineEnds(syscall.SIGKILL)},
	{name: "SIGTERM", targets: engine, begin: engineEnds(syscall.SIGTERM)},
	{name: "SIGSTOP", targets: engine, begin: engineFrozen},
	{name: "a call of the engine", targets: containers, begin: engineCall},
	{name: "the engine's socket", targets: containers, begin: engineAway},
	{name: "partition", targets: runners, mayBeLong: true, begin: partition},
	{name: "a call of the platform", targets: runners, begin: platformCall},
	{name: "full disk of outputs", targets: runners, begin: fullDisk("output")},
	{name: "full disk of state", targets: runners, begin: fullDisk("state")},
	{name: "full disk", targets: platform, begin: fullDisk("data")},
	{name: "container removed", targets: engine, begin: removed},
}

// service is the program that a fault happens to.
func (k strike) service(s *site) *service { return s.services[strings.TrimPrefix(k.target, "runner ")] }

// worker is the runner that it happens to.
func (k strike) worker(s *site) *worker { return s.workers[strings.TrimPrefix(k.target, "runner ")] }

func killed(t *testing.T, s *site, k strike) func(t *testing.T) {
	p := k.service(s)
	p.held, p.expected = true, true
	if p.Up() {
		p.Kill(t)
	}
	return func(*testing.T) { p.held = false }
}

// terminated: a runner finishes what it has, unless a second signal comes before.
func terminated(t *testing.T, s *site, k strike) func(t *testing.T) {
	p := k.service(s)
	p.held, p.expected = true, true
	signal := func(t *testing.T) {
		if p.Up() && !p.Gone() {
			p.Signal(t, syscall.SIGTERM)
		}
	}
	signal(t)
	return func(t *testing.T) {
		signal(t)
		p.held = false
	}
}

func frozen(t *testing.T, s *site, k strike) func(t *testing.T) {
	p := k.service(s)
	if !p.Up() || p.Gone() {
		return nil
	}
	p.Signal(t, syscall.SIGSTOP)
	return func(t *testing.T) { p.Signal(t, syscall.SIGCONT) }
}

func engineEnds(sig syscall.Signal) func(t *testing.T, s *site, k strike) func(t *testing.T) {
	return func(t *testing.T, s *site, _ strike) func(t *testing.T) {
		s.engine.Stop(t, sig)
		return s.engine.Start
	}
}

func engineFrozen(t *testing.T, s *site, _ strike) func(t *testing.T) {
	s.engine.Signal(t, syscall.SIGSTOP)
	return func(t *testing.T) { s.engine.Signal(t, syscall.SIGCONT) }
}

// engineCall: the next call of some kind gets a wrong answer, or none.
func engineCall(_ *testing.T, s *site, k strike) func(t *testing.T) {
	points := []stand.Point{stand.AtCreate, stand.AtStart, stand.AtWait, stand.AtInspect, stand.AtRemove}
	wrong := []stand.Fault{stand.Status500, stand.Truncated, stand.Lost, stand.Hang}
	k.worker(s).engine.Set(points[k.pick%5], wrong[k.pick/5%4], 1)
	return nil
}

func engineAway(_ *testing.T, s *site, k strike) func(t *testing.T) {
	proxy := k.worker(s).engine
	proxy.Away()
	return proxy.Back
}

func partition(_ *testing.T, s *site, k strike) func(t *testing.T) {
	proxy := k.worker(s).platform
	proxy.Away()
	return proxy.Back
}

// platformCall: the next calls of some method get an error, or are done and get an
// error all the same.
func platformCall(_ *testing.T, s *site, k strike) func(t *testing.T) {
	methods := []string{"ClaimJobs", "ReportStarted", "ReportResult", "Heartbeat", "PutFiles", "Register"}
	wrong := []stand.PlatformFault{{Status: 500, Times: 2}, {Status: 401, Times: 2}, {GRPC: "10", Times: 2}, {Status: 503, After: true, Times: 1}}
	k.worker(s).platform.Set(methods[k.pick%6], wrong[k.pick/6%4])
	return nil
}

func fullDisk(sub string) func(t *testing.T, s *site, k strike) func(t *testing.T) {
	return func(t *testing.T, s *site, k strike) func(t *testing.T) {
		dir := filepath.Join(s.Dir, sub)
		if w := k.worker(s); w != nil {
			dir = filepath.Join(w.Dir, sub)
		}
		from, free := time.Now(), stand.Fill(t, dir)
		return func(*testing.T) {
			free()
			s.full = append(s.full, span{dir, from, time.Now()})
		}
	}
}

// removed: an administrator removes a container with the job in it, if there is one
// that is not going by itself just then.
func removed(t *testing.T, s *site, k strike) func(t *testing.T) {
	ids := strings.Fields(stand.Docker(t, s.engine.Socket, "ps", "--quiet", "--filter", "label=io.tetryx.lynx.attempt"))
	if len(ids) > 0 {
		id := ids[k.pick%uint64(len(ids))]
		_ = exec.CommandContext(t.Context(), "docker", "--host", "unix://"+s.engine.Socket, "rm", "--force", id).Run()
	}
	return nil
}
