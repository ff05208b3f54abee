package process

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/executor/internal/cgroup"
	"github.com/tetryx/lynx-runner/internal/shim"
)

// evidence is all that was seen of an attempt's end.
type evidence struct {
	// status is the shim's; nil where this process is not its parent.
	status *unix.WaitStatus
	// report is the shim's; nil where none came.
	report *shim.ExitReport
	// logs is what the log files say, where no report does; logProblem a sentence.
	logs       executor.Logs
	logProblem string
	counters   cgroup.Counters
	// killed says that this executor killed the attempt.
	killed bool
	// lost says why nothing can be known: the attempt was never started, its state
	// is damaged, the machine was restarted.
	lost string
	// restarted says that the machine was.
	restarted bool

	memoryLimit    int64
	started, ended time.Time
}

// exit weighs the evidence. It says what happened to the job's main process and
// how that is known; what it means is the caller's to judge.
func (v evidence) exit() executor.Exit {
	x := executor.Exit{
		Started: v.started, Ended: v.ended,
		OOM:   executor.OOM{Killed: v.counters.OOMKills, Limit: v.memoryLimit},
		Usage: executor.Usage{Wall: max(0, v.ended.Sub(v.started)), CPU: v.counters.CPU, PeakMemory: v.counters.Peak},
		Logs:  v.logs,
	}
	for _, note := range []string{v.logProblem, v.lost} {
		if note != "" {
			x.Notes = append(x.Notes, note)
		}
	}
	if v.report != nil {
		v.addReport(&x)
	} else {
		v.withoutReport(&x)
	}
	return x
}

// addReport takes the shim's report, whose exit status must agree with it.
func (v evidence) addReport(x *executor.Exit) {
	r := v.report
	x.ExecError, x.DeadlineKill = r.ExecError, r.DeadlineKill
	// The cgroup's processor time includes the shim's; its memory peak is better
	// than the largest process.
	x.Usage.CPU = time.Duration(r.CPUMicros) * time.Microsecond
	x.Usage.Wall = time.Duration(r.WallMicros) * time.Microsecond
	if x.Usage.PeakMemory == 0 {
		x.Usage.PeakMemory = r.MaxRSSBytes
	}
	x.Logs = executor.Logs{Stdout: executor.LogStat(r.Stdout), Stderr: executor.LogStat(r.Stderr)}
	if r.SetupError != "" {
		x.Notes = append(x.Notes, "the shim could not prepare the job: "+r.SetupError)
	}
	x.Code, x.Signal, x.Known = r.Code, r.Signal, r.SetupError == ""
	if v.status != nil && v.status.Exited() && v.status.ExitStatus() != r.Code {
		x.Notes = append(x.Notes, fmt.Sprintf("the shim reported exit code %d and exited with %d, which stands", r.Code, v.status.ExitStatus()))
		x.Code, x.Signal = v.status.ExitStatus(), 0
	}
}

// withoutReport is for a shim that ended before it could report. It always reports
// before it exits, so it was killed, and the job with it.
func (v evidence) withoutReport(x *executor.Exit) {
	note := func(text string) { x.Notes = append(x.Notes, text) }
	switch {
	case v.restarted:
		x.ExternalKill = true
	case v.lost != "" || v.killed:
	case v.counters.OOMKills > 0:
		note("the shim was killed as well when the job ran out of memory")
		x.Code, x.Signal, x.Known = 128+int(unix.SIGKILL), int(unix.SIGKILL), true
	case v.status != nil && v.status.Exited():
		note(fmt.Sprintf("the shim ended with exit code %d and without a report", v.status.ExitStatus()))
	default:
		note("the shim was ended before it could report how the job did, neither by this runner nor for want of memory")
		x.ExternalKill = true
	}
}
