package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/runner/artifact"
	"github.com/tetryx/lynx-runner/internal/runner/telemetry"
	"github.com/tetryx/lynx-runner/internal/runner/watchdog"
	"github.com/tetryx/lynx-runner/internal/study"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// job runs one attempt.
type job struct {
	r    *Runner
	a    *runnerv1.Assignment
	slot *slot
	// ticket is its place among those that want CPU, memory and GPUs.
	ticket *ticket
	// lingers says, after run, that the job may still have them.
	lingers bool
	log     *slog.Logger
	// window is for those who watch the job.
	window *window
	// place is what the slot and the ticket stand for, until it is another's.
	place place
	// stock is what was found in the job's output, where looking began before its end
	// was known; else nil.
	stock chan stock
	// taken is what is known of a job of an earlier process; nil for one of this.
	taken *leftover

	// startKnown is done when the runner knows what became of the start.
	startKnown sync.Once
	// startCtx ends when there is no point in starting any more.
	startCtx    context.Context
	cancelStart context.CancelFunc

	mu      sync.Mutex
	cause   cause
	ended   bool
	stopped chan struct{} // closed when cause is set
}

// record is what is known of an attempt. It grows from step to step, and its
// result is made of it whichever step was the last.
type record struct {
	paths  paths
	spec   executor.Spec
	engine string
	entry  string
	// program is the setting that the command comes from, image the reference of
	// the image, for messages.
	program, image string

	imageID string
	digest  string

	claimed time.Time
	// handle is the started attempt; nil if it never started.
	handle executor.Handle
	// failure is why the attempt could not be run, or not to its end.
	failure error
	// exit is how it ended; exited is false if it never ran or nobody can tell.
	exit   executor.Exit
	exited bool
	// gone is when a kill of ours was over; zero if there was none.
	gone    time.Time
	started time.Time

	verdict   *watchdog.Verdict
	arrived   time.Time // of the verdict's sample
	telemetry telemetry.Summary
	// tabled says that the telemetry log is in the table, and of no more use.
	tabled    bool
	collected artifact.Collection
	metrics   map[string]float64
	leftOut   int
	// diskFull says that the disk of the results was full then, or for the logs before.
	diskFull bool
	// waitsForSpace is since when its files wait for space on the disk.
	waitsForSpace time.Time
	// incomplete is what went wrong with the files after the end.
	incomplete error
	stderr     string // its last line
	warnings   []string
}

func newJob(r *Runner, a *runnerv1.Assignment, s *slot) *job {
	j := &job{r: r, a: a, slot: s, log: r.log.With("attempt", a.GetAttemptId()), stopped: make(chan struct{}), window: newWindow(), place: place{finished: make(chan struct{})}}
	// The parent is set in run; stop may be called before.
	j.startCtx, j.cancelStart = context.WithCancel(context.Background())
	return j
}

func (j *job) ref() *runnerv1.AttemptRef {
	return &runnerv1.AttemptRef{AttemptId: j.a.GetAttemptId(), Token: j.a.GetToken()}
}

// run takes the attempt from its assignment to its result in the outbox, and
// only then removes what is left beside the files, so that a crash in between
// loses nothing. The end of ctx makes every step fail soon.
func (j *job) run(ctx context.Context) {
	defer j.cancelStart()
	defer context.AfterFunc(ctx, j.cancelStart)()
	rec := &record{claimed: j.r.now()}
	defer func() { rec.paths.close() }()
	defer j.window.close()
	j.log.Info("job claimed", "run", j.a.GetRunIndex())
	j.waitForHost()
	if rec.failure = j.prepare(rec); rec.failure == nil {
		rec.failure = j.admit(rec)
	}
	if rec.failure == nil {
		rec.failure = j.execute(ctx, rec)
	}
	j.finish(ctx, rec)
}

// finish makes the result of all that is known, and removes what is left.
func (j *job) finish(ctx context.Context, rec *record) {
	j.end()
	j.window.finish(rec.exit.Logs)
	j.conclude(ctx, rec)
	j.remove(ctx, rec)
}

// execute runs the prepared attempt and fills in all that is known of its end.
func (j *job) execute(ctx context.Context, rec *record) error {
	if err := j.makeRuntimeDir(rec); err != nil {
		return err
	}
	server, err := j.serveTelemetry(rec)
	if err != nil {
		return err
	}
	j.writeDown(rec)
	var handle executor.Handle
	err = j.patiently(func(ctx context.Context) (err error) {
		handle, err = j.r.deps.Executor.Start(ctx, rec.spec)
		return err
	})
	if err != nil {
		_, finishErr := server.Finish(ctx)
		return errors.Join(err, finishErr)
	}
	rec.handle = handle
	j.startDecided(nil, true)
	j.log.Info("job started")
	return j.attend(ctx, rec, server)
}

// attend sees the started attempt to its end.
func (j *job) attend(ctx context.Context, rec *record, server *telemetry.Server) error {
	rec.started = rec.handle.Started()
	j.window.open(rec, server)
	stopReporting := j.reportStarted(ctx, rec.started)
	err := j.supervise(ctx, rec, rec.handle)
	if err == nil && vacated(rec.handle) != nil { // with the exit at the latest
		j.moveOut(ctx, rec)
	}
	stopReporting()
	j.end()
	j.finishTelemetry(ctx, rec, server)
	return err
}

// serveTelemetry begins to listen for the job's samples.
func (j *job) serveTelemetry(rec *record) (*telemetry.Server, error) {
	server, err := telemetry.Serve(telemetry.Config{
		AttemptID: j.a.GetAttemptId(),
		Socket:    filepath.Join(rec.spec.RuntimeDir, executor.TelemetrySocket),
		LogPath:   rec.paths.telemetryLog,
		Evaluate:  watchdog.New(j.conditions()).Evaluate,
		OnVerdict: func(f telemetry.Finding) {
			j.stop(cause{kind: causeVerdict, at: f.Arrived, detail: f.Verdict.Message, sample: f.Sample})
		},
		Found: j.found(),
		Now:   j.r.now,
		Log:   j.log,
	})
	if err != nil {
		return nil, fmt.Errorf("telemetry: %w", err)
	}
	return server, nil
}

// conditions are the early-termination conditions that are in force.
func (j *job) conditions() []study.Condition {
	if !j.a.GetEarlyTermination().GetEnabled() {
		return nil
	}
	var list []study.Condition
	for _, c := range j.a.GetEarlyTermination().GetConditions() {
		list = append(list, study.Condition{
			Name: c.GetName(), Description: c.GetDescription(), Variable: c.GetVariable(),
			Operator: study.Operator(c.GetOperator()), Threshold: c.GetThreshold(), Units: c.GetUnits(),
		})
	}
	return list
}

// finishTelemetry waits for the end of the stream. The verdict is the samples',
// also where it came too late to kill anything.
func (j *job) finishTelemetry(ctx context.Context, rec *record, server *telemetry.Server) {
	summary, err := server.Finish(ctx)
	if err != nil {
		rec.incomplete = errors.Join(rec.incomplete, fmt.Errorf("telemetry: %w", err))
	}
	rec.telemetry = summary
	rec.warnings = append(rec.warnings, summary.Warnings...)
	if v, arrived, ok := server.Verdict(); ok {
		rec.verdict, rec.arrived = &v, arrived
	}
}

// reportStarted tells the platform, again and again until it worked or the
// returned function is called, which waits until no call is under way.
func (j *job) reportStarted(ctx context.Context, at time.Time) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		wait := j.r.pace.backoff()
		for {
			err := j.r.session.call(ctx, j.r.pace.call, func(ctx context.Context, session string) error {
				_, err := j.r.deps.Platform.ReportStarted(ctx, &runnerv1.ReportStartedRequest{
					SessionId: session, Attempt: j.ref(), StartedAt: timestamppb.New(at),
				})
				return err
			})
			switch {
			case err == nil || refused(err):
				return
			case runnerv1.ReasonOf(err) == runnerv1.ReasonStaleToken:
				j.stop(cause{kind: causeLeaseLost, at: j.r.now()})
				return
			case !wait.wait(ctx):
				return
			}
		}
	})
	return func() { cancel(); done.Wait() }
}

// remove deletes what the executor keeps of the attempt, and its runtime
// directory. What cannot be removed is left to the next start of the runner.
func (j *job) remove(ctx context.Context, rec *record) {
	switch {
	case rec.handle == nil:
	case !rec.exited && rec.gone.IsZero() && !j.place.left:
		j.lingers = true
		j.log.Error("the job may still run; the next start of this runner ends and removes it")
	default:
		j.removeHandle(ctx, rec.handle)
	}
	if rec.spec.RuntimeDir == "" {
		return
	}
	if err := os.RemoveAll(rec.spec.RuntimeDir); err != nil {
		j.log.Error("cannot remove a runtime directory; the next start of this runner does it", "error", err)
	}
}

// removeHandle tries for as long as an engine may be away, and a little longer
// than ctx: a removal takes less time than to find what is left.
func (j *job) removeHandle(ctx context.Context, h executor.Handle) {
	ctx, cancel := outlive(ctx, j.r.pace.deliver)
	defer cancel()
	ctx, cancelTries := context.WithTimeout(ctx, j.r.pace.engine)
	defer cancelTries()
	wait := j.r.pace.backoff()
	for {
		bounded, cancel := context.WithTimeout(ctx, j.r.pace.kill)
		err := h.Remove(bounded)
		cancel()
		if err == nil {
			return
		}
		j.log.Error("cannot remove what the executor keeps of the job", "error", err)
		if !wait.wait(ctx) {
			return
		}
	}
}

// conclude decides the outcome, writes everything down and hands the result to
// the outbox. The files that the result names are durable before the result is.
func (j *job) conclude(ctx context.Context, rec *record) {
	j.collect(ctx, rec)
	j.tellOfDisk(rec)
	outcome, result := j.writeUp(ctx, rec)
	if err := j.sync(ctx, rec, outcome); err != nil {
		note(rec, "what it left is not safely on disk", err)
		outcome, result = j.writeUp(ctx, rec)
	}
	report := &runnerv1.ReportResultRequest{Attempt: j.ref(), Result: result}
	fit(report)
	j.tellOfStart(rec, outcome)
	j.log.Info("job ended", "outcome", outcome, "message", result.GetErrorMessage())
	if outcome == api.OutcomeLeaseLost {
		j.settled(rec)
		if err := j.r.journal.Forget(j.a.GetAttemptId()); err != nil {
			j.log.Warn("journal", "error", err)
		}
		return
	}
	j.r.outbox.put(report, func() { j.settled(rec) })
}

// writeUp decides the outcome, writes the manifest and gives the files to their
// owner.
func (j *job) writeUp(ctx context.Context, rec *record) (api.Outcome, *runnerv1.Result) {
	outcome, message := classify(j.evidence(ctx, rec))
	result := j.result(rec, outcome, message)
	j.writeManifest(ctx, rec, result)
	j.giveAway(rec, result)
	return outcome, result
}

// settled drops what only a job without a result needs.
func (j *job) settled(rec *record) {
	if rec.tabled {
		if err := os.Remove(rec.paths.telemetryLog); err != nil {
			j.log.Warn("cannot remove a telemetry log", "error", err)
		}
	}
	rec.paths.removeReport()
	if err := j.forget(); err != nil {
		j.log.Warn("journal", "error", err)
	}
}
