package api

// Outcome is why an attempt ended. It is decided once, by the runner, and never
// changes afterwards.
type Outcome string

// The outcomes. A platform keeps one that it does not know and treats it as
// OutcomeInfrastructure.
const (
	// OutcomeCompleted is exit status 0 and nothing wrong.
	OutcomeCompleted Outcome = "completed"
	// OutcomeNonzeroExit is an exit status other than 0.
	OutcomeNonzeroExit Outcome = "nonzero_exit"
	// OutcomeSignaled is a signal that was not ours.
	OutcomeSignaled Outcome = "signaled"
	// OutcomeOutOfMemory is the main process killed for want of memory.
	OutcomeOutOfMemory Outcome = "out_of_memory"
	// OutcomeTimeout is the job's time limit.
	OutcomeTimeout Outcome = "timeout"
	// OutcomeEarlyTermination is an early-termination condition that fired.
	OutcomeEarlyTermination Outcome = "early_termination"
	// OutcomeCancelled is a user who cancelled the job or its batch.
	OutcomeCancelled Outcome = "cancelled"
	// OutcomeOutputLimit is more output than allowed.
	OutcomeOutputLimit Outcome = "output_limit"
	// OutcomeInvalidJob is a job that can't run as it was submitted: an image or
	// an entrypoint that is not there, a request above the owner's maxima.
	OutcomeInvalidJob Outcome = "invalid_job"
	// OutcomeTelemetryInvalid is telemetry that a condition can't be trusted on:
	// another unit, NaN, infinity.
	OutcomeTelemetryInvalid Outcome = "telemetry_invalid"
	// OutcomeLeaseLost is an attempt that was given to somebody else; it decides
	// nothing.
	OutcomeLeaseLost Outcome = "lease_lost"
	// OutcomeInfrastructure is any failure that is not the job's: the engine, the
	// host, a runner that was stopped.
	OutcomeInfrastructure Outcome = "infrastructure"
)

// Known reports whether o is one of the outcomes of this version.
func (o Outcome) Known() bool {
	switch o {
	case OutcomeCompleted, OutcomeNonzeroExit, OutcomeSignaled, OutcomeOutOfMemory,
		OutcomeTimeout, OutcomeEarlyTermination, OutcomeCancelled, OutcomeOutputLimit,
		OutcomeInvalidJob, OutcomeTelemetryInvalid, OutcomeLeaseLost, OutcomeInfrastructure:
		return true
	}
	return false
}

// Retryable reports whether a job with this outcome is tried again while it has
// retries left (compute.max_retries). Infrastructure failures are requeued by a
// count of their own and are not meant here.
func (o Outcome) Retryable() bool {
	return o == OutcomeNonzeroExit || o == OutcomeSignaled || o == OutcomeOutOfMemory
}
