package simulation

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/platform"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// runner is a model of internal/runner: the same loops, decisions and durable
// state, without the work.
type runner struct {
	w  *world
	id string
	// slots is how many jobs it runs at a time.
	slots int
	// takesUp says what it does with jobs that an earlier process left running:
	// take them up, or end them.
	takesUp bool
	cutOff  bool

	// What is left when the process is killed: the host's containers and the
	// outbox on disk.
	host   map[string]*container
	outbox map[string]report

	// The process.
	up      bool
	process int
	session string
	drained bool
	running map[string]*container
	asking  bool
}

// container is a job on the runner's host.
type container struct {
	ref       platform.AttemptRef
	cancelled bool
	ended     bool
	outcome   string // what it comes to, unless it is cancelled
}

type report struct {
	ref     platform.AttemptRef
	outcome string
}

func newRunner(w *world, id string) *runner {
	r := &runner{w: w, id: id, slots: 1 + w.rng.IntN(3), takesUp: w.chance(0.5), host: map[string]*container{}, outbox: map[string]report{}}
	r.start()
	return r
}

// start is a new process: it registers, and then looks at what an earlier one left.
func (r *runner) start() {
	r.process++
	r.up, r.session, r.drained, r.asking = true, "", false, false
	r.running = map[string]*container{}
	r.w.note("%s up", r.id)
	r.register(func() {
		for _, id := range slices.Sorted(maps.Keys(r.host)) {
			c := r.host[id]
			switch _, reported := r.outbox[id]; {
			case reported || !r.takesUp:
				delete(r.host, id)
			case c.ended:
				r.conclude(c)
			default:
				r.running[id] = c
			}
		}
		r.heartbeats()
		r.claims()
		r.deliveries()
	})
}

func (r *runner) crash() {
	if !r.up {
		return
	}
	r.w.note("%s down", r.id)
	r.up = false
	r.process++
	r.w.after(r.w.between(time.Second, 100*time.Second), r.start)
}

// stop is a hard stop, which ends in order: jobs are given back, and the platform is
// told. What is under way then may or may not arrive.
func (r *runner) stop() {
	if !r.up || r.session == "" {
		return
	}
	for _, id := range slices.Sorted(maps.Keys(r.running)) {
		c := r.running[id]
		c.outcome = "infrastructure"
		r.conclude(c)
	}
	var held []platform.AttemptRef
	for _, id := range slices.Sorted(maps.Keys(r.outbox)) {
		held = append(held, r.outbox[id].ref)
	}
	session := r.session
	call(r, func(ctx context.Context, svc *platform.Service) (struct{}, error) {
		return struct{}{}, svc.Leave(ctx, session, held)
	}, func(struct{}, error) {})
	r.crash()
}

// every does something again and again, as long as the process lives.
func (r *runner) every(d time.Duration, do func()) {
	process := r.process
	var again func()
	again = func() {
		if r.process == process {
			do()
			r.w.after(d, again)
		}
	}
	again()
}

// register gets a session, trying until it has one.
func (r *runner) register(then func()) {
	registration := platform.Registration{
		RunnerID: r.id, InstallationID: "installation of " + r.id,
		Capabilities: api.Capabilities{MaxConcurrentJobs: r.slots, CPUCores: 64, MemoryGB: 64, SupportedSimulationTypes: []string{"basilisk"}},
	}
	call(r, func(ctx context.Context, svc *platform.Service) (platform.Session, error) {
		return svc.Register(ctx, registration)
	}, func(s platform.Session, err error) {
		if err != nil {
			process := r.process
			r.w.after(r.w.between(time.Second, 4*time.Second), func() {
				if r.process == process {
					r.register(then)
				}
			})
			return
		}
		r.session = s.ID
		then()
	})
}

// refused renews the session if that is what an error asks for.
func (r *runner) refused(err error, session string) {
	if errors.Is(err, platform.ErrUnknownSession) && r.session == session {
		r.register(func() {})
	}
}

func (r *runner) heartbeats() {
	r.every(10*time.Second, func() {
		var held []platform.AttemptRef
		for _, id := range slices.Sorted(maps.Keys(r.running)) {
			held = append(held, r.running[id].ref)
		}
		for _, id := range slices.Sorted(maps.Keys(r.outbox)) {
			held = append(held, r.outbox[id].ref)
		}
		session := r.session
		call(r, func(ctx context.Context, svc *platform.Service) (platform.Instructions, error) {
			return heartbeat(ctx, svc, session, held)
		}, func(in platform.Instructions, err error) {
			if err != nil {
				r.refused(err, session)
				return
			}
			r.drained = in.Drain
			for _, id := range in.Cancel {
				if c := r.running[id]; c != nil {
					c.cancelled = true
					r.conclude(c)
				}
			}
			for _, id := range in.Lost {
				r.w.note("%s loses %s", r.id, id)
				delete(r.running, id)
				delete(r.host, id)
			}
		})
	})
}

// claims asks for jobs while there are free slots, one question at a time.
func (r *runner) claims() {
	r.every(3*time.Second, func() {
		free := r.slots - len(r.running)
		if r.asking || r.drained || free <= 0 {
			return
		}
		r.asking = true
		session := r.session
		call(r, func(ctx context.Context, svc *platform.Service) ([]*runnerv1.Assignment, error) {
			return claim(ctx, svc, session, free)
		}, func(assignments []*runnerv1.Assignment, err error) {
			r.asking = false
			r.refused(err, session)
			for _, a := range assignments {
				r.execute(platform.AttemptRef{
					AttemptID: a.GetAttemptId(),
					Token:     platform.Token{Epoch: a.GetToken().GetEpoch(), Counter: a.GetToken().GetCounter()},
				})
			}
		})
	})
}

// execute starts a job, unless it is in hand already.
func (r *runner) execute(ref platform.AttemptRef) {
	_, reported := r.outbox[ref.AttemptID]
	if reported || r.host[ref.AttemptID] != nil {
		return
	}
	c := &container{ref: ref, outcome: pick(r.w, "completed", "completed", "completed", "nonzero_exit", "timeout", "early_termination")}
	r.w.note("%s runs %v", r.id, ref)
	r.host[ref.AttemptID], r.running[ref.AttemptID] = c, c
	session := r.session
	call(r, func(ctx context.Context, svc *platform.Service) (struct{}, error) {
		return struct{}{}, svc.ReportStarted(ctx, session, ref, epoch.Add(r.w.now))
	}, func(_ struct{}, err error) {
		r.refused(err, session)
		if errors.Is(err, platform.ErrStaleToken) && r.running[ref.AttemptID] == c {
			delete(r.running, ref.AttemptID)
			delete(r.host, ref.AttemptID)
		}
	})
	r.w.after(r.w.between(time.Second, 70*time.Second), func() {
		if c.ended || r.host[ref.AttemptID] != c {
			return
		}
		c.ended = true
		if r.up && r.running[ref.AttemptID] == c {
			r.conclude(c)
		}
	})
}

// conclude writes a result down and lets go of the job.
func (r *runner) conclude(c *container) {
	outcome := c.outcome
	if c.cancelled && !c.ended {
		outcome = "cancelled"
	}
	c.ended = true
	id := c.ref.AttemptID
	r.w.truth[attemptOf(c.ref)] = outcome
	r.outbox[id] = report{c.ref, outcome}
	delete(r.running, id)
	delete(r.host, id)
	r.w.note("%s has %s: %s", r.id, id, outcome)
	r.deliver(id)
}

func (r *runner) deliveries() {
	r.every(4*time.Second, func() {
		for _, id := range slices.Sorted(maps.Keys(r.outbox)) {
			r.deliver(id)
		}
	})
}

// deliver sends one result. It leaves the outbox when the platform has it, or
// refuses it for good.
func (r *runner) deliver(id string) {
	rep, session := r.outbox[id], r.session
	call(r, func(ctx context.Context, svc *platform.Service) (struct{}, error) {
		return struct{}{}, r.w.report(ctx, svc, session, rep)
	}, func(_ struct{}, err error) {
		r.refused(err, session)
		if (err == nil || errors.Is(err, platform.ErrStaleToken)) && r.outbox[id] == rep {
			delete(r.outbox, id)
		}
	})
}

func pick[T any](w *world, from ...T) T { return from[w.rng.IntN(len(from))] }
