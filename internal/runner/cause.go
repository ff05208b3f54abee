package runner

import (
	"runtime"
	"time"

	telemetryv1 "github.com/tetryx/lynx-runner/proto/lynx/telemetry/v1"
)

// causeKind is a reason of the runner's own for ending a job.
type causeKind int

const (
	causeNone causeKind = iota
	// causeVerdict is the watchdog's.
	causeVerdict
	causeTimeout
	causeOutputLimit
	// causeCancel is a user who cancelled the job or its batch.
	causeCancel
	causeLeaseLost
	// causeShutdown is a hard stop of the runner.
	causeShutdown
	// causeEngineLost is an engine that no longer tells of the job.
	causeEngineLost
	// causeRestart is a job of an earlier process that cannot be taken up.
	causeRestart
	// causeRunnerLoss is a runner that was away for longer than jobs go on alone.
	causeRunnerLoss
)

var causeNames = map[causeKind]string{
	causeVerdict: "verdict", causeTimeout: "timeout", causeOutputLimit: "output_limit", causeCancel: "cancel",
	causeLeaseLost: "lease_lost", causeShutdown: "runner_shutdown", causeEngineLost: "engine_lost",
	causeRestart: "runner_restart", causeRunnerLoss: "runner_loss",
}

func (k causeKind) String() string { return causeNames[k] }

// kindOf is the kind of a name; causeNone if there is none.
func kindOf(name string) causeKind {
	for kind, known := range causeNames {
		if known == name {
			return kind
		}
	}
	return causeNone
}

// cause is why the runner ends a job.
type cause struct {
	kind causeKind
	// at is when the reason arose; for a verdict, the sample's arrival.
	at time.Time
	// detail is a part of a sentence for some kinds: which limit, what error.
	detail string
	// sample is what a verdict is about.
	sample *telemetryv1.Sample
}

// stop ends the job for a reason. Only the first reason counts, and none after
// the job has ended by itself. It never blocks.
func (j *job) stop(c cause) {
	if j.take(c) {
		// The kill is next in line on this thread. It need not wait for another one to
		// be woken, which on busy cores takes milliseconds.
		runtime.Gosched()
	}
}

// take makes c the job's cause, and says whether it did.
func (j *job) take(c cause) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.ended || j.cause.kind != causeNone {
		return false
	}
	j.cause = c
	close(j.stopped)
	if c.kind == causeCancel || c.kind == causeLeaseLost || c.kind == causeShutdown {
		j.cancelStart() // an image may just be on its way
	}
	return true
}

// absolve drops a limit's or the runner's own reason that arose after the job had
// ended: it ended by itself.
func (j *job) absolve(gone time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if k := j.cause.kind; (k == causeTimeout || k == causeShutdown) && gone.Before(j.cause.at) {
		j.cause, j.ended = cause{}, true
	}
}

// end closes the time in which stop counts.
func (j *job) end() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ended = true
}

// reason is the first cause so far.
func (j *job) reason() cause {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.cause
}
