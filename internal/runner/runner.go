// Package runner is the worker: it registers with a platform, claims jobs, runs
// each through an executor, and reports how it ended.
//
// # One loop, one file
//
//	session.go    the registration, shared by all loops, renewed when refused
//	claim.go      asks for as many jobs as there are free slots, CPUs and memory
//	pause.go      looks whether jobs can be run at all: disk, engine
//	starts.go     the same by what becomes of them
//	heartbeat.go  says what is held; hears of cancels, lost leases and drains
//	job.go        one attempt from assignment to result; supervise.go its middle,
//	              vacate.go when its slot is another's
//	outbox.go     delivers results until each is acknowledged
//	upload.go     sends the files of attempts, to a platform that keeps them
//	tail.go       shows running jobs to whoever watches
//	recover.go    what an earlier process of this runner left
//	takeup.go     its jobs, which go on
//
// # One attempt
//
//	prepare.go    limits and specification; files.go the attempt's directory
//	admission.go  lets it begin when there is CPU, memory and GPUs for it
//	outcome.go    why it ended: the only place that decides that
//	finish.go     collects what it left; result.go and manifest.go write it down
//
// # What holds
//
// A result is on disk before it is sent, and before anything of its attempt is
// removed. A slot is free when nothing of its job lives any more, which may be before
// the result is there (vacate.go). The first reason for which the runner itself ends a
// job is the one that counts, but a verdict on the job's samples does not depend on
// timing. Whatever fails, the attempt's processes, container, sockets and runtime
// directory go, and its files stay.
//
// # Stopping
//
// Drain ends the claiming, and Run returns when everything is delivered. A job
// that the platform gives out at that very moment is run too: the last claim is
// waited for. The end of Run's context is a hard stop: jobs are killed and
// reported as infrastructure (runner_shutdown), which a platform requeues. A
// result that cannot be delivered in time stays in the outbox and is delivered by
// the next process with this state directory. In both cases the last word to the
// platform is that the runner leaves, so that it is known to be offline at once.
//
// A job outlives a process of the runner that is killed. The next process with this
// state directory takes it up: it holds the attempt from its first heartbeat on, and
// sees the job to its end as if it had started it. One that was not started yet, or
// is not there any more, is reported as infrastructure (runner_restart). With
// on_runner_loss: kill such attempts are ended and left out of the heartbeats,
// whereupon the platform gives them out again.
package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/runner/artifact"
	"github.com/tetryx/lynx-runner/internal/runner/config"
	"github.com/tetryx/lynx-runner/internal/runner/engine"
	"github.com/tetryx/lynx-runner/internal/runner/host"
	"github.com/tetryx/lynx-runner/internal/runner/journal"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// Deps is what a Runner works with.
type Deps struct {
	Executor executor.Executor
	// Platform is the platform's client; the connection's credentials are its own.
	Platform runnerv1.RunnerServiceClient
	// GPUs finds the host's GPUs, where the configuration offers any; host.NVIDIA if
	// nil.
	GPUs host.GPUFinder
	// Alone says that the platform has no other runner. Where nothing can be started
	// there is nobody to leave the jobs to then: they are given up in seconds.
	Alone bool
	// Version is the program's version, for the platform and the manifests.
	Version string
	// Log may be nil.
	Log *slog.Logger
	// Now is the clock; time.Now if nil.
	Now func() time.Time
}

// Runner is a worker.
type Runner struct {
	cfg     *config.Config
	deps    Deps
	log     *slog.Logger
	now     func() time.Time
	pace    pace
	engines []engine.Engine
	journal *journal.Journal
	slots   *slots
	session *session
	outbox  *outbox
	uploads *uploads
	code    *treeDigest
	// owner gets the results; nil where the runner is not root.
	owner *config.Owner
	// sockets is the directory of the attempts' runtime directories.
	sockets string
	// measure is artifact.Usage, but where a test makes it slow.
	measure func(context.Context, artifact.Limits, ...string) (artifact.Use, error)

	drain     chan struct{}
	drainOnce sync.Once
	gate      *gate
	admission *admission
	aftermath aftermath
	gpus      *host.GPUPool
	pauses    *pauses
	starts    *starts
	disk      *host.Disk

	// before is what an earlier process of this runner had in hand.
	before before

	mu   sync.Mutex
	jobs map[string]*job // by attempt id
	wg   sync.WaitGroup  // running jobs
}

// pace is how long the loops wait. Tests are quicker.
type pace struct {
	call       time.Duration // one call to the platform
	poll       time.Duration // a claim waits that long for work
	recheck    time.Duration // the same while a large job might fit only later
	answer     time.Duration // a draining runner waits that long for a claim's answer
	backoffMin time.Duration
	backoffMax time.Duration
	usage      time.Duration // between two looks at a job's output
	settle     time.Duration // a job that was taken up has that long to turn out to have ended
	engine     time.Duration // an engine that fails for so long has lost a job
	record     time.Duration // a kill waits so long for its reason to be written; it is synced before the result is sent in any case
	kill       time.Duration // one attempt at a kill, a wait or a removal
	stop       time.Duration // a hard stop gives jobs that long
	deliver    time.Duration // a hard stop gives the outbox and the uploads that long
	look       time.Duration // between two looks at disk and engine
	ping       time.Duration // an engine that does not answer for so long is away
	sickMin    time.Duration // a host that starts no jobs pauses that long
	sickMax    time.Duration // after many such pauses
	sickAlone  time.Duration // for each where it is the only host
	gpus       time.Duration // between two looks at GPUs that other runners have
	table      time.Duration // the table of an attempt's telemetry may take so long
	space      time.Duration // an attempt's files wait so long for space on the disk
	stall      time.Duration // an upload that does not move for so long is tried again
}

var defaultPace = pace{
	call: 10 * time.Second, poll: 30 * time.Second, recheck: 3 * time.Second, answer: 2 * time.Second,
	backoffMin: 250 * time.Millisecond, backoffMax: 15 * time.Second,
	usage: 500 * time.Millisecond, engine: 3 * time.Minute, record: 5 * time.Millisecond, kill: 30 * time.Second,
	settle: 2 * time.Second, stop: 8 * time.Second, deliver: 2 * time.Second,
	sickMin: 15 * time.Second, sickMax: 10 * time.Minute, sickAlone: time.Second,
	look: 5 * time.Second, ping: 10 * time.Second, gpus: 500 * time.Millisecond, table: time.Minute, space: 10 * time.Second, stall: 30 * time.Second,
}

// New makes a runner and takes its state directory (an error that wraps
// journal.ErrLocked while another process has it) and a user id for each slot.
// They are given back when Run returns.
func New(cfg *config.Config, deps Deps) (*Runner, error) {
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	engines, err := newEngines(cfg)
	if err != nil {
		return nil, err
	}
	r := &Runner{
		cfg: cfg, deps: deps, log: deps.Log, now: deps.Now, pace: defaultPace, engines: engines,
		code: newTreeDigest(cfg.WorkingDirectory), drain: make(chan struct{}), gate: newGate(), jobs: map[string]*job{},
		measure: artifact.Usage, pauses: newPauses(), disk: newDisk(cfg), aftermath: newAftermath(cfg.MaxConcurrentJobs),
	}
	if r.gpus, err = newGPUs(cfg, deps.GPUs, r.log); err != nil {
		return nil, err
	}
	r.admission = newAdmission(demand{cpu: cfg.JobCPUMillis(), memory: cfg.JobMemoryBytes(), gpus: int64(r.gpus.Size())}, r.gpus, r.pace.gpus)
	if r.owner, err = outputOwner(cfg); err != nil {
		return nil, err
	}
	if r.journal, err = journal.Open(cfg.StateDir); err != nil {
		return nil, err
	}
	if err := r.takeOver(); err != nil {
		return nil, errors.Join(err, r.journal.Close())
	}
	r.starts = newStarts(r.pace.sick(deps.Alone), func(reason string) { r.pause(pauseStarts, reason) })
	r.sockets = filepath.Join(cfg.RuntimeDir, r.journal.InstallationID()[:8])
	r.session = &session{r: r}
	r.outbox = newOutbox(r)
	r.uploads = newUploads(r)
	return r, nil
}

// outputOwner makes the output root and finds out who gets what lies there.
func outputOwner(cfg *config.Config) (*config.Owner, error) {
	if err := os.MkdirAll(cfg.OutputRoot, 0o755); err != nil {
		return nil, fmt.Errorf("output_root: %w", err)
	}
	if os.Geteuid() != 0 {
		return nil, nil
	}
	if cfg.OutputOwner.Set {
		return &cfg.OutputOwner, nil
	}
	uid, gid, err := ownerOf(cfg.OutputRoot)
	if err != nil {
		return nil, fmt.Errorf("output_root: %w", err)
	}
	return &config.Owner{UID: uid, GID: gid, Set: true}, nil
}

// Drain makes the runner take no new jobs; Run returns when the running ones
// have ended and their results are delivered. It may be called at any time, more
// than once.
func (r *Runner) Drain() { r.drainOnce.Do(func() { close(r.drain) }) }

func (r *Runner) draining() bool {
	select {
	case <-r.drain:
		return true
	default:
		return false
	}
}

// Run works until it is idle after Drain (nil), or ctx ends: a hard stop, upon
// which jobs are killed and reported as infrastructure (runner_shutdown) within
// about ten seconds, and ctx's error is returned. Any other error means that the
// runner could not begin. It is called once.
func (r *Runner) Run(ctx context.Context) error {
	defer r.close()
	// The loops outlive ctx: after a hard stop there are results to deliver.
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	if err := r.register(ctx); err != nil || r.session.id() == "" {
		return err
	}
	var loops sync.WaitGroup
	defer loops.Wait()
	defer end()
	if n := r.abreast(); n < int64(r.cfg.MaxConcurrentJobs) {
		r.log.Warn("there are more slots than jobs fit that ask for nothing: lower sandbox.cpu or sandbox.memory, or raise what capabilities declares, to fill them",
			"slots", r.cfg.MaxConcurrentJobs, "fit", n)
	}
	// Not before: a runner whose id another one has must not touch what that one
	// runs.
	if err := r.recoverAlive(ctx, life, &loops); err != nil {
		return err
	}
	// A hard stop is a drain too: the platform has to hear of it.
	defer context.AfterFunc(ctx, r.Drain)()
	loops.Go(func() { r.watchHost(life) })
	loops.Go(func() { r.outbox.deliver(life) })
	loops.Go(func() { r.uploads.run(life) })
	loops.Go(func() { r.tails(life) })
	r.work(ctx)
	r.settle(ctx)
	end()
	loops.Wait() // no heartbeat may come after the last word
	r.leave(ctx)
	return ctx.Err()
}

// register makes the runner known. If it is drained before that succeeded there
// is nothing to do, and no session.
func (r *Runner) register(ctx context.Context) error {
	wanted, cancel := r.untilDrained(ctx)
	defer cancel()
	err := r.session.first(wanted)
	if r.draining() && ctx.Err() == nil && wanted.Err() != nil {
		return nil
	}
	return err
}

// untilDrained returns a context that ends with Drain or with ctx.
func (r *Runner) untilDrained(ctx context.Context) (context.Context, context.CancelFunc) {
	wanted, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-r.drain:
		case <-wanted.Done():
		}
		cancel()
	}()
	return wanted, cancel
}

// work claims and runs jobs until none is to be claimed and none runs.
func (r *Runner) work(ctx context.Context) {
	jobs, cancel := outlive(ctx, r.pace.stop)
	defer cancel()
	defer context.AfterFunc(ctx, r.stopJobs)()
	r.takeUp(jobs)
	claiming, stopClaiming := r.untilDrained(ctx)
	defer stopClaiming()
	r.claims(claiming, jobs)
	r.log.Info("no new jobs; waiting for what runs")
	if ctx.Err() != nil {
		r.stopJobs() // also one that was claimed in the last moment
	}
	r.wg.Wait()
}

// settle waits until every result is delivered, and what else the platform keeps
// of the attempts; after a hard stop not for long.
func (r *Runner) settle(ctx context.Context) {
	bounded, cancel := outlive(ctx, r.pace.deliver)
	defer cancel()
	if left := r.outbox.drained(bounded); left > 0 {
		r.log.Warn("results are not delivered; the next start of this runner does it", "results", left, "state_dir", r.cfg.StateDir)
	}
	if left := r.uploads.drained(bounded); left > 0 {
		r.log.Warn("the files of some attempts are not sent; the next start of this runner does it", "attempts", left, "state_dir", r.cfg.StateDir)
	}
}

// outlive returns a context that ends d after ctx has.
func outlive(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		sleep(longer, d)
		cancel()
	})
	return longer, func() { stop(); cancel() }
}

func (r *Runner) close() {
	var err error
	if r.before.dealtWith { // else jobs may have their sockets there
		err = os.RemoveAll(r.sockets)
	} else {
		for _, l := range r.before.left {
			l.rec.paths.close()
		}
	}
	err = errors.Join(err, r.journal.Close())
	r.slots.close()
	r.admission.close()
	r.starts.close()
	r.gpus.Close()
	if err != nil {
		r.log.Warn("closing the runner", "error", err)
	}
}

// start runs one assignment on a slot, which it gives back.
func (r *Runner) start(ctx context.Context, a *runnerv1.Assignment, s *slot) {
	j := newJob(r, a, s)
	j.ticket = r.admission.enter(r.demand(a)) // in the order of the claims
	r.mu.Lock()
	r.jobs[a.GetAttemptId()] = j
	r.mu.Unlock()
	r.starts.begin()
	r.launch(j, func() { j.run(ctx) })
}

// launch has a job run, and gives back what it has, unless that was done before.
func (r *Runner) launch(j *job, run func()) {
	r.wg.Go(func() {
		run()
		r.mu.Lock()
		delete(r.jobs, j.a.GetAttemptId())
		r.mu.Unlock()
		j.finished()
	})
}

func (r *Runner) job(attemptID string) *job {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.jobs[attemptID]
}

// stopJobs tells every job that the runner stops, and lets none begin any more.
func (r *Runner) stopJobs() {
	r.admission.close()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, j := range r.jobs {
		j.stop(cause{kind: causeShutdown, at: r.now()})
	}
}

// held is every attempt that this runner answers for: running, or ended and not
// delivered. A job enters the outbox before it leaves the map of jobs, so in this
// order none is missed.
func (r *Runner) held() []*runnerv1.AttemptRef {
	byID := map[string]*runnerv1.AttemptRef{}
	r.mu.Lock()
	for id, j := range r.jobs {
		byID[id] = j.ref()
	}
	r.mu.Unlock()
	for _, ref := range r.outbox.refs() {
		byID[ref.GetAttemptId()] = ref
	}
	return slices.Collect(maps.Values(byID))
}
