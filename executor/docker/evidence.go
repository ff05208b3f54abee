package docker

import (
	"fmt"
	"time"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/executor/internal/cgroup"
	"github.com/tetryx/lynx-runner/internal/shim"
)

// evidence is all that was seen of an attempt's end, by whom.
type evidence struct {
	// record is the engine's; nil where it has none any more.
	record *record
	// lost says why there is no record.
	lost string
	// report is the shim's; nil where none came.
	report *shim.ExitReport
	// logs is what the log files say, where no report does; logProblem a sentence.
	logs       executor.Logs
	logProblem string
	// counters are the cgroup's, if any could be read.
	counters cgroup.Counters
	// killed says that this executor killed the container.
	killed bool
	// brokeOff says that the engine was away while the container ran or ended, or may
	// have been, because this runner was.
	brokeOff bool
	// signalled says that somebody else had the engine send a signal.
	signalled bool

	memoryLimit int64
	// killAfter is the time after which the shim kills the job by itself; 0 if
	// never.
	killAfter      time.Duration
	started, ended time.Time
}

// record is the engine's state of an ended container.
type record struct {
	exitCode  int
	oomKilled bool
	// neverStarted says that the container was created and not started.
	neverStarted bool
	// problem is the engine's own error text.
	problem string
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
	if v.logProblem != "" {
		x.Notes = append(x.Notes, v.logProblem)
	}
	if v.record != nil {
		x.OOM.Engine = v.record.oomKilled
	}
	if v.report != nil {
		v.addReport(&x)
	}
	v.decideCode(&x)
	v.decideExternal(&x)
	return x
}

// addReport takes from the shim's report what only it can know.
func (v evidence) addReport(x *executor.Exit) {
	r := v.report
	x.ExecError, x.DeadlineKill = r.ExecError, r.DeadlineKill
	// The cgroup's processor time includes the container's set-up; its memory
	// peak is better than the largest process.
	x.Usage.CPU = time.Duration(r.CPUMicros) * time.Microsecond
	x.Usage.Wall = time.Duration(r.WallMicros) * time.Microsecond
	if x.Usage.PeakMemory == 0 {
		x.Usage.PeakMemory = r.MaxRSSBytes
	}
	x.Logs.Stdout = executor.LogStat(r.Stdout)
	x.Logs.Stderr = executor.LogStat(r.Stderr)
	if r.SetupError != "" {
		x.Notes = append(x.Notes, "the shim could not prepare the job: "+r.SetupError)
	}
}

// decideCode settles code and signal. The shim exits as the job did, so its
// report and the engine's record must agree; where they don't, the record
// stands, unless its engine was away and records that it does not know.
func (v evidence) decideCode(x *executor.Exit) {
	note := func(format string, args ...any) { x.Notes = append(x.Notes, fmt.Sprintf(format, args...)) }
	switch {
	case v.record != nil && v.record.neverStarted:
		note("the container was created and never started%s", because(v.record.problem))
	case v.record == nil && v.report == nil:
		note("nobody knows how the job ended: %s, and the shim reported nothing", v.lost)
	case v.record == nil:
		note("the exit is the shim's report alone: %s", v.lost)
		x.Code, x.Signal, x.Known = v.report.Code, v.report.Signal, v.report.SetupError == ""
	case v.report == nil && v.record.exitCode == sigkilled && v.killed:
		// As it should be: nobody knows how the job would have ended.
	case v.report == nil && v.record.exitCode == sigkilled && v.outOfMemory():
		note("the shim's report is missing: the engine recorded SIGKILL and that the container ran out of memory")
		x.Code, x.Signal, x.Known = sigkilled, 9, true
	case v.report == nil && v.record.exitCode == sigkilled:
		note("the container's init was killed before it could report how the job ended%s", because(v.record.problem))
	case v.report == nil && v.brokeOff:
		// The shim reports whatever the job does, unless it never ran: what ended may be
		// the runtime's own process in its place, or the engine does not know. A job that
		// removes the report from its log directory only has itself run again.
		note("the engine, which may have been away when the container ended, recorded exit code %d, and the shim reported nothing%s", v.record.exitCode, because(v.record.problem))
	case v.report == nil:
		note("the shim's report is missing: the exit code is the engine's record, and its other numbers are incomplete")
		x.Code, x.Known = v.record.exitCode, true
	case v.record.exitCode == reportedCode(*v.report):
		x.Code, x.Signal, x.Known = v.record.exitCode, v.report.Signal, v.report.SetupError == ""
	case v.brokeOff && unseen(v.record.exitCode):
		note("the exit is the shim's report alone: the engine was away when the container ended")
		x.Code, x.Signal, x.Known = reportedCode(*v.report), v.report.Signal, v.report.SetupError == ""
	case v.record.exitCode == sigkilled:
		// The init was killed between its report and its exit; the record says
		// nothing about the job then, and the report is not confirmed.
		note("the shim reported exit code %d and was killed before it could exit with it", reportedCode(*v.report))
	default:
		note("the shim reported exit code %d, and the engine recorded %d, which stands", reportedCode(*v.report), v.record.exitCode)
		x.Code, x.Known = v.record.exitCode, true
	}
}

// unseen says whether an engine records that code when it was restarted and finds a
// container ended of which nobody can tell it how: 255 where containerd's own process
// for it is gone, 0 where containerd has forgotten it. A job may exit with them too, so
// they mean nothing where the engine has not been away.
func unseen(code int) bool { return code == 255 || code == 0 }

// sigkilled is the exit code of a process that SIGKILL ended.
const sigkilled = 128 + 9

// reportedCode is the code that the shim exits with after a report.
func reportedCode(r shim.ExitReport) int {
	if r.Signal != 0 {
		return 128 + r.Signal
	}
	return r.Code
}

// decideExternal says whether somebody else ended the container: its record is
// gone, the engine was told to signal it, or its init was killed without a word
// and neither by this executor nor for want of memory.
func (v evidence) decideExternal(x *executor.Exit) {
	if v.killed || (v.record != nil && v.record.neverStarted) {
		return
	}
	switch {
	case v.signalled:
		x.Notes = append(x.Notes, "somebody else had the engine send the container a signal (a shutdown of the engine, `docker stop`)")
	case v.record == nil && v.report == nil:
	case v.record != nil && v.report == nil && v.record.exitCode == sigkilled && !v.outOfMemory():
		if v.killAfter > 0 && v.ended.Sub(v.started) >= v.killAfter {
			// Nobody was there to take the report of the shim, which says 137 too.
			x.DeadlineKill = true
			return
		}
		x.Notes = append(x.Notes, "it was neither killed by this runner nor for want of memory")
	default:
		return
	}
	x.ExternalKill = true
}

// outOfMemory says that the kernel killed for want of memory in the container.
func (v evidence) outOfMemory() bool {
	return v.counters.OOMKills > 0 || (v.record != nil && v.record.oomKilled)
}

func because(text string) string {
	if text == "" {
		return ""
	}
	return ": " + text
}
