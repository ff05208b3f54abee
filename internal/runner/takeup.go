package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/runner/artifact"
	"github.com/tetryx/lynx-runner/internal/runner/config"
	"github.com/tetryx/lynx-runner/internal/runner/journal"
	"github.com/tetryx/lynx-runner/internal/runner/telemetry"
	telemetryv1 "github.com/tetryx/lynx-runner/proto/lynx/telemetry/v1"
)

// lossOnKill is how long a job that must not outlive its runner does so: its shim
// may have to connect again.
const lossOnKill = 5 * time.Second

// runnerLoss is how long jobs go on without their runner.
func runnerLoss(cfg *config.Config) time.Duration {
	if cfg.OnRunnerLoss == config.RunnerLossKill {
		return lossOnKill
	}
	return cfg.OnRunnerLossFor
}

// hostRestarted is for the result of an attempt whose end was decided before its
// host crashed.
const hostRestarted = "The host was restarted before the attempt's files were on disk: some may be missing or not whole."

var errHostRestarted = errors.New("the host was restarted, and some of what the job wrote may be lost")

// before is what an earlier process of this runner had in hand.
type before struct {
	// left are the attempts to take up, by id.
	left map[string]*leftover
	// abandoned are those that are ended instead, and settled those whose results
	// are in the outbox.
	abandoned, settled []journal.Attempt
	// lastAlive is when that process was last known to live, back when this one was
	// made.
	lastAlive, back time.Time
	// dealtWith says that all of it is in hand, or gone.
	dealtWith bool
}

// leftover is a job of an earlier process.
type leftover struct {
	job *job
	rec *record
	// handle is what the executor has of it; nil if there is nothing.
	handle executor.Handle
	// begun is when the job was about to be started, by the clock that nobody sets;
	// zero where that is not known.
	begun time.Time
	// verdict is the verdict for which that process killed the job, if it did; the
	// telemetry log may not have its sample.
	verdict cause
}

// writeDown keeps what another process needs to take the attempt up. Where it can't
// be written, such a process gives the attempt back.
func (j *job) writeDown(rec *record) {
	info, err := rec.paths.handle.Stat()
	if err == nil {
		a := journal.Attempt{
			Assignment: j.a, Claimed: rec.claimed, UID: j.slot.uid, GID: j.slot.gid,
			Engine: rec.engine, Entrypoint: rec.entry, Program: rec.program, Image: rec.image, ImageID: rec.imageID,
			CodeDigest: rec.digest, Warnings: rec.warnings,
		}
		if rec.spec.RuntimeDir != "" {
			a.Spec = &rec.spec
		}
		if a.Directory, err = filepath.Rel(j.r.cfg.OutputRoot, rec.paths.dir); err == nil {
			a.Device, a.Inode = identity(info)
			err = j.r.journal.Begun(a)
		}
	}
	if err != nil {
		j.log.Warn("the attempt could not be written down: if this runner is killed, the next start gives it back", "error", err)
	}
}

// identity tells a directory from another of the same name.
func identity(info os.FileInfo) (device, inode uint64) {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Dev), st.Ino //nolint:unconvert // narrower on other systems
	}
	return 0, 0
}

// takeOver reads what an earlier process had in hand, and takes its jobs' users,
// GPUs and resources again, before anything else can.
func (r *Runner) takeOver() error {
	open, settled, torn, err := r.journal.Attempts()
	if err != nil {
		return err
	}
	for _, name := range torn {
		r.log.Warn("what was written of an attempt did not survive a crash of the host; it is given back", "attempt", name)
	}
	r.before = before{left: map[string]*leftover{}, settled: settled, lastAlive: r.journal.LastAlive(), back: r.now()}
	if err := r.journal.Alive(r.before.back); err != nil {
		return err
	}
	if r.cfg.OnRunnerLoss == config.RunnerLossKill {
		r.before.abandoned, open = open, nil
	}
	var users []int
	for _, a := range open {
		if !a.Vacated { // else another of these may have it
			users = append(users, a.UID)
		}
	}
	if r.slots, err = newSlots(r.cfg, os.Geteuid(), os.Getegid(), users...); err != nil {
		return err
	}
	kept := r.slots.kept
	for _, a := range open {
		s := &slot{uid: a.UID, extra: true}
		if !a.Vacated {
			s, kept = kept[0], kept[1:]
		}
		r.before.left[a.Assignment.GetAttemptId()] = r.leftover(a, s)
	}
	return nil
}

// leftover makes a job of what was written of an attempt. Where it cannot be taken
// up, the job has a reason to end.
func (r *Runner) leftover(a journal.Attempt, s *slot) *leftover {
	s.gid = a.GID
	id := a.Assignment.GetAttemptId()
	l := &leftover{job: newJob(r, a.Assignment, s), rec: &record{
		claimed: a.Claimed, engine: a.Engine, entry: a.Entrypoint, program: a.Program, image: a.Image, imageID: a.ImageID,
		digest: a.CodeDigest, warnings: a.Warnings,
	}}
	j := l.job
	j.taken = l
	if a.Age >= 0 {
		l.begun = time.Now().Add(-a.Age)
	}
	cannot := func(err error) {
		if err != nil {
			j.stop(cause{kind: causeRestart, at: r.now(), detail: err.Error()})
		}
	}
	// What was decided is done, before anything else.
	why, decided, err := r.journal.CauseOf(id)
	if err != nil {
		r.log.Warn("journal", "attempt", id, "error", err)
	}
	switch c := (cause{kind: kindOf(why.Kind), at: why.At, detail: why.Message}); {
	case !decided:
	case c.kind == causeVerdict:
		l.verdict = c
		if l.verdict.sample, err = sampleOf(why); err != nil {
			r.log.Warn("journal: the sample of a verdict", "attempt", id, "error", err)
		}
	case c.kind != causeNone:
		j.stop(c)
	}
	if a.HostRestarted {
		// How it ended says nothing: what it wrote may have been lost after that.
		l.rec.warnings = append(l.rec.warnings, hostRestarted)
		cannot(errHostRestarted)
	}
	var need demand
	var gpus []string
	if a.Spec != nil {
		l.rec.spec = *a.Spec
	}
	if a.Spec != nil && !a.Vacated {
		limits := limitsOf(*a.Spec)
		gpus = a.Spec.GPUs
		need = demand{cpu: limits.CPUMillis, memory: limits.MemoryBytes, gpus: int64(len(gpus))}
	}
	if err := r.gpus.Retake(gpus); err != nil {
		cannot(err)
		gpus, need.gpus = nil, 0
	}
	j.ticket = r.admission.adopt(need, gpus)
	if s.extra && !a.Vacated {
		cannot(fmt.Errorf("user %d, which it runs as, is a job's of another runner now", s.uid))
	}
	l.rec.paths, err = r.reopen(a)
	cannot(err)
	r.jobs[id] = j // nobody else knows the runner yet
	return l
}

// sampleOf is the sample of a recorded verdict; nil if none was written.
func sampleOf(c journal.Cause) (*telemetryv1.Sample, error) {
	if len(c.Sample) == 0 {
		return nil, nil
	}
	s := new(telemetryv1.Sample)
	if err := proto.Unmarshal(c.Sample, s); err != nil {
		return nil, err
	}
	return s, nil
}

// found is the verdict that an earlier process of this runner had come to, as its
// journal has it: its telemetry log may not have the sample.
func (j *job) found() *telemetry.Finding {
	if j.taken == nil || j.taken.verdict.sample == nil {
		return nil
	}
	return &telemetry.Finding{Sample: j.taken.verdict.sample, Arrived: j.taken.verdict.at}
}

// reopen finds an attempt's directory again, and removes what was half written there.
func (r *Runner) reopen(a journal.Attempt) (paths, error) {
	root, err := os.OpenRoot(r.cfg.OutputRoot)
	if err != nil {
		return paths{}, err
	}
	defer func() { _ = root.Close() }()
	handle, err := root.OpenFile(a.Directory, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return paths{}, fmt.Errorf("its directory: %w", err)
	}
	info, err := handle.Stat()
	if err == nil {
		if device, inode := identity(info); device != a.Device || inode != a.Inode {
			err = fmt.Errorf("%s is another directory than it was", filepath.Join(r.cfg.OutputRoot, a.Directory))
		}
	}
	if err != nil {
		return paths{}, errors.Join(err, handle.Close())
	}
	half, _ := filepath.Glob(filepath.Join(ownPath(handle), ".telemetry-*.parquet"))
	for _, path := range half {
		_ = os.Remove(path)
	}
	return newPaths(filepath.Join(r.cfg.OutputRoot, a.Directory), handle), nil
}

// takeUp has the jobs of an earlier process go on.
func (r *Runner) takeUp(ctx context.Context) {
	r.before.dealtWith = true
	for _, l := range r.before.left {
		r.launch(l.job, func() { l.job.goOn(ctx, l) })
	}
}

// goOn is run for a job of an earlier process.
func (j *job) goOn(ctx context.Context, l *leftover) {
	defer j.cancelStart()
	defer context.AfterFunc(ctx, j.cancelStart)()
	rec := l.rec
	defer func() { rec.paths.close() }()
	defer j.window.close()
	if l.handle == nil {
		j.log.Info("an earlier run of this runner had a job that does not run; giving it back")
		rec.failure = errors.New("the runner was restarted, and the job had not begun or is not there any more (runner_restart)")
	} else {
		j.log.Info("taking up a job of an earlier run", "run", j.a.GetRunIndex(), "away", r0(j.r.before.back.Sub(j.r.before.lastAlive)))
		rec.handle = l.handle
		rec.failure = j.resume(ctx, rec)
	}
	j.finish(ctx, rec)
}

// r0 is a duration for people.
func r0(d time.Duration) time.Duration { return max(0, d).Round(time.Second / 10) }

// resume is execute for a job that runs already, or did.
func (j *job) resume(ctx context.Context, rec *record) error {
	rec.started = rec.handle.Started()
	if rec.paths.handle == nil { // nothing to watch it with
		return j.supervise(ctx, rec, rec.handle)
	}
	if err := os.MkdirAll(rec.spec.RuntimeDir, 0o755); err != nil {
		j.log.Warn("the runtime directory of a job that was taken up", "error", err)
	}
	server, err := j.serveTelemetry(rec)
	if err != nil {
		// A job that nobody watches must not go on.
		j.stop(cause{kind: causeRestart, at: j.r.now(), detail: err.Error()})
		return errors.Join(j.supervise(ctx, rec, rec.handle), err)
	}
	err = j.attend(ctx, rec, server)
	j.admitHole(rec)
	return err
}

// timeLeft is what is left of the job's time. One that was taken up late may have
// ended long ago, which takes a moment to show. Its start is a time of the host's
// clock, which may have been set since: it was no earlier than it was written down.
func (j *job) timeLeft(rec *record, h executor.Handle) time.Duration {
	lasted := j.r.now().Sub(h.Started())
	if j.taken != nil && !j.taken.begun.IsZero() {
		if most := time.Since(j.taken.begun); lasted < 0 || lasted > most {
			lasted = most
		}
	}
	left := rec.spec.Timeout - lasted
	if j.taken != nil {
		left = max(left, j.r.pace.settle)
	}
	return left
}

// admitHole tells of telemetry that may be missing. A stream's batches are
// numbered, and come again until they are acknowledged; one sample that comes by
// itself, while nobody is there, is lost, and so is what was not acknowledged of a
// job that ended meanwhile.
func (j *job) admitHole(rec *record) {
	b := j.r.before
	endedAway := rec.exited && rec.exit.Ended.Before(b.back)
	if rec.telemetry.Samples == 0 || !endedAway && rec.telemetry.Unsequenced == 0 {
		return
	}
	if endedAway && rec.exit.Ended.Before(b.lastAlive) {
		return
	}
	rec.warnings = append(rec.warnings, fmt.Sprintf("The runner was killed and away for up to %v while the job ran; telemetry that the job sent in that time, and not again, is missing.", r0(b.back.Sub(b.lastAlive))))
}

// hindsight is the first reason of the runner's own for ending the job; of a job of
// an earlier process also the one that shows only now that the job was killed.
func (j *job) hindsight(rec *record) cause {
	why := j.reason()
	x := rec.exit
	if j.taken == nil || why.kind != causeNone || rec.verdict != nil || !rec.exited || x.DeadlineKill || x.OOM.Killed > 0 {
		return why
	}
	if x.Known && x.Signal != int(unix.SIGKILL) {
		return why
	}
	b, patience := j.r.before, rec.spec.RunnerLoss
	switch {
	case j.taken.verdict.kind != causeNone:
		return j.taken.verdict
	case rec.spec.Timeout > 0 && !x.Ended.Before(x.Started.Add(rec.spec.Timeout)) && x.Ended.Before(b.back):
		// It was killed at its deadline, before that could be written down.
		return cause{kind: causeTimeout, at: x.Ended}
	case patience > 0 && !b.lastAlive.IsZero() && x.Ended.Before(b.back) && !x.Ended.Before(b.lastAlive.Add(patience)):
		return cause{kind: causeRunnerLoss, at: x.Ended, detail: fmt.Sprintf("on_runner_loss_for is %v", patience)}
	}
	return why
}

// giveBack makes the files of an attempt that is not taken up their owner's.
func (r *Runner) giveBack(a journal.Attempt) {
	id := a.Assignment.GetAttemptId()
	p, err := r.reopen(a)
	if err == nil && r.owner != nil {
		err = artifact.Chown(ownPath(p.handle), a.UID, r.owner.UID, r.owner.GID)
	}
	p.removeReport()
	p.close()
	if err = errors.Join(err, r.journal.Ended(id)); err != nil {
		r.log.Warn("an attempt of an earlier run could not be put in order", "attempt", id, "error", err)
	}
}

// settleLeft does what the earlier process had left to do after a result was in the
// outbox.
func (r *Runner) settleLeft(a journal.Attempt) {
	id := a.Assignment.GetAttemptId()
	p, err := r.reopen(a)
	if err == nil {
		if _, tableErr := os.Lstat(p.parquet); tableErr == nil {
			err = os.RemoveAll(p.telemetryLog)
		}
	}
	p.removeReport()
	p.close()
	if err = errors.Join(err, r.journal.Ended(id)); err != nil {
		r.log.Warn("an attempt of an earlier run could not be put in order", "attempt", id, "error", err)
	}
}
