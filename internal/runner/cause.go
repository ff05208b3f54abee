package runner

import "time"

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
)

var causeNames = map[causeKind]string{
	causeVerdict: "verdict", causeTimeout: "timeout", causeOutputLimit: "output_limit", causeCancel: "cancel",
	causeLeaseLost: "lease_lost", causeShutdown: "runner_shutdown", causeEngineLost: "engine_lost",
}

func (k causeKind) String() string { return causeNames[k] }

// cause is why the runner ends a job.
type cause struct {
	kind causeKind
	// at is when the reason arose; for a verdict, the sample's arrival.
	at time.Time
	// detail is a part of a sentence for some kinds: which limit, what error.
	detail string
}

// stop ends the job for a reason. Only the first reason counts, and none after
// the job has ended by itself. It never blocks.
func (j *job) stop(c cause) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.ended || j.cause.kind != causeNone {
		return
	}
	j.cause = c
	close(j.stopped)
	if c.kind == causeCancel || c.kind == causeLeaseLost || c.kind == causeShutdown {
		j.cancelStart() // an image may just be on its way
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
