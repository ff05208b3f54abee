package runner

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/runner/engine"
	"github.com/tetryx/lynx-runner/internal/runner/watchdog"
)

// evidence is everything that an outcome is decided on.
type evidence struct {
	// cause is the first reason of the runner's own for ending the job.
	cause cause
	// verdict is the watchdog's on the samples; nil if there is none.
	verdict *watchdog.Verdict
	// exit is how the job ended; exited is false if it never ran, or nobody knows.
	exit   executor.Exit
	exited bool
	// failure is what kept the job from running, or from being seen to its end.
	failure error
	// overLimit says which output limit the files that were found exceed.
	overLimit string
	// diskFull says that the disk of the results had no space left at the end, or for
	// the logs at some time.
	diskFull bool
	// incomplete is what went wrong with the files after the end.
	incomplete error
	// shutdown says that a hard stop cut the work on the files short.
	shutdown bool

	// The rest is for the message.
	timeout    time.Duration
	program    string
	image      string
	fileLimit  int64
	stderrLine string
}

// classify decides why an attempt ended, and says it in a sentence for people
// (empty for a completed job). It is the one place that does. In order:
//
//  1. A lost lease or a cancellation that came before any verdict: the platform
//     has decided already.
//  2. The verdict on the job's samples. It does not depend on whether the kill
//     was in time, nor on what else ended the job.
//  3. The runner's own reason for ending the job, the first that there was.
//  4. What kept the job from running.
//  5. What was seen of its end. Out of memory needs the kernel's word that it
//     killed something and a main process that SIGKILL ended; a child's death
//     alone decides nothing. A job that fails on a full disk is not to blame: what
//     it may write itself is bounded.
//
// An attempt whose files a hard stop of the runner has cut short is run again: what is
// told of a job that ran is whole.
func classify(e evidence) (api.Outcome, string) {
	outcome, message := decide(e)
	switch outcome {
	case api.OutcomeLeaseLost, api.OutcomeCancelled, api.OutcomeInvalidJob, api.OutcomeInfrastructure:
		return outcome, message
	}
	if e.shutdown && e.incomplete != nil {
		return api.OutcomeInfrastructure, "The runner was stopped before it had taken all that the job left (runner_shutdown): " + sentence(e.incomplete.Error())
	}
	return outcome, message
}

func decide(e evidence) (api.Outcome, string) {
	switch {
	case e.cause.kind == causeLeaseLost:
		return api.OutcomeLeaseLost, "The attempt was taken from this runner."
	case e.cause.kind == causeCancel:
		return api.OutcomeCancelled, "The job was cancelled."
	case e.verdict != nil && e.verdict.Kind == watchdog.Invalid:
		return api.OutcomeTelemetryInvalid, e.verdict.Message
	case e.verdict != nil:
		return api.OutcomeEarlyTermination, e.verdict.Message
	case e.cause.kind != causeNone:
		return classifyCause(e)
	case e.failure != nil:
		return classifyFailure(e)
	case !e.exited:
		return api.OutcomeInfrastructure, "Nobody can tell how the job ended."
	}
	return classifyExit(e)
}

// classifyCause is for the runner's own reasons.
func classifyCause(e evidence) (api.Outcome, string) {
	switch e.cause.kind {
	case causeTimeout:
		return api.OutcomeTimeout, fmt.Sprintf("The job ran longer than its time limit of %v and was killed; raise compute.job_timeout_seconds if it needs more.", e.timeout)
	case causeOutputLimit:
		return api.OutcomeOutputLimit, outputMessage(e.cause.detail) + " It was killed."
	case causeShutdown:
		return api.OutcomeInfrastructure, "The runner was stopped while it had the job (runner_shutdown)."
	case causeRestart:
		return api.OutcomeInfrastructure, "The runner was restarted and could not take the job up (runner_restart): " + sentence(e.cause.detail)
	case causeRunnerLoss:
		return api.OutcomeInfrastructure, "The runner was away for too long, and the job was ended meanwhile (runner_restart): " + sentence(e.cause.detail)
	case causeVerdict: // without a verdict there is none; the telemetry server lost it
		return api.OutcomeInfrastructure, "The job was killed upon a verdict that is lost: " + e.cause.detail
	}
	return api.OutcomeInfrastructure, "The runner lost sight of the job: " + sentence(e.cause.detail)
}

// classifyFailure is for jobs that could not be run.
func classifyFailure(e evidence) (api.Outcome, string) {
	var invalid *engine.InvalidError
	var untold *untoldError
	switch {
	case errors.As(e.failure, &untold):
		return api.OutcomeInfrastructure, "The job ended by itself, but nobody can tell how: " + sentence(untold.Error())
	case errors.As(e.failure, &invalid):
		return api.OutcomeInvalidJob, "The job cannot run: " + sentence(invalid.Message)
	case errors.Is(e.failure, executor.ErrImage):
		return api.OutcomeInvalidJob, fmt.Sprintf("The job cannot run: %s Build or pull the image %q on the runner's host, or name another one (image in the runner's configuration, compute.container.image in the study).",
			sentence(e.failure.Error()), e.image)
	case errors.Is(e.failure, executor.ErrInvalidSpec):
		return api.OutcomeInvalidJob, "The job cannot run: " + sentence(e.failure.Error())
	}
	return api.OutcomeInfrastructure, "The runner could not run the job: " + sentence(e.failure.Error())
}

// classifyExit is for jobs that ended by themselves, or by somebody else.
func classifyExit(e evidence) (api.Outcome, string) {
	x := e.exit
	killed := x.Signal == int(unix.SIGKILL) || !x.Known
	switch {
	case x.ExecError != "":
		return api.OutcomeInvalidJob, fmt.Sprintf("The job's command could not be executed: %s %s", sentence(x.ExecError), e.program)
	case x.DeadlineKill:
		return api.OutcomeTimeout, fmt.Sprintf("The job ran longer than its time limit of %v and was killed while the runner was away.", e.timeout)
	case killed && x.OOM.Killed > 0:
		return api.OutcomeOutOfMemory, memoryMessage(x)
	case x.ExternalKill:
		return api.OutcomeInfrastructure, "The job was ended by somebody else: the engine's shutdown, or an administrator." + notes(x)
	case !x.Known:
		return api.OutcomeInfrastructure, "Nobody can tell how the job ended." + notes(x)
	case x.Signal == int(unix.SIGXFSZ):
		return api.OutcomeOutputLimit, outputMessage(fmt.Sprintf("more than %s in one file", bytesText(e.fileLimit)))
	case e.diskFull && (x.Signal != 0 || x.Code != 0):
		return api.OutcomeInfrastructure, "The job failed while the disk of the runner's results (output_root) was full." + lastLine(e)
	case x.Signal != 0:
		return api.OutcomeSignaled, fmt.Sprintf("The job was ended by signal %d (%s).%s", x.Signal, signalName(x.Signal), lastLine(e))
	case x.Code != 0:
		return api.OutcomeNonzeroExit, fmt.Sprintf("The job exited with status %d.%s%s", x.Code, childMemory(x), lastLine(e))
	case e.overLimit != "":
		return api.OutcomeOutputLimit, outputMessage(e.overLimit)
	case e.incomplete != nil:
		return api.OutcomeInfrastructure, "The job completed, but what it left could not be collected: " + sentence(e.incomplete.Error())
	}
	return api.OutcomeCompleted, ""
}

func outputMessage(over string) string {
	return fmt.Sprintf("The job wrote more than it may: %s (sandbox.output in the runner's configuration).", over)
}

func memoryMessage(x executor.Exit) string {
	peak := ""
	if x.Usage.PeakMemory > 0 {
		peak = fmt.Sprintf(" (its peak was %s)", bytesText(x.Usage.PeakMemory))
	}
	return fmt.Sprintf("The job ran out of memory: its main process was killed at the limit of %s%s; ask for more with compute.container.memory_request.", bytesText(x.OOM.Limit), peak)
}

// childMemory tells of processes that ran out of memory although the main one
// ended by itself.
func childMemory(x executor.Exit) string {
	if x.OOM.Killed == 0 {
		return ""
	}
	return fmt.Sprintf(" %d of its child processes ran out of memory at the limit of %s.", x.OOM.Killed, bytesText(x.OOM.Limit))
}

func lastLine(e evidence) string {
	if e.stderrLine == "" {
		return " It wrote nothing to stderr."
	}
	return " The last line of its stderr: " + e.stderrLine
}

func notes(x executor.Exit) string {
	if len(x.Notes) == 0 {
		return ""
	}
	return " " + strings.Join(x.Notes, " ")
}

func signalName(n int) string {
	if name := unix.SignalName(unix.Signal(n)); name != "" {
		return name
	}
	return "no name"
}

func bytesText(n int64) string { return resource.NewQuantity(n, resource.BinarySI).String() }

// sentence ends a text with a full stop.
func sentence(s string) string {
	s = printable(strings.TrimSpace(s))
	if s == "" || strings.HasSuffix(s, ".") {
		return s
	}
	return s + "."
}
