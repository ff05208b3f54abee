package api

import "time"

// JobState is where a job is in its life. Completed, Failed, Timeout and
// Cancelled are terminal: such a job is never run again.
type JobState string

// The states of a job.
const (
	// JobPending is waiting for a runner.
	JobPending JobState = "Pending"
	// JobClaimed was taken by a runner, which prepares it.
	JobClaimed JobState = "Claimed"
	// JobRunning executes.
	JobRunning JobState = "Running"
	// JobCompleted ended well.
	JobCompleted JobState = "Completed"
	// JobFailed ended badly, and no retry is left.
	JobFailed JobState = "Failed"
	// JobTimeout exceeded its time limit.
	JobTimeout JobState = "Timeout"
	// JobCancelled was cancelled by a user.
	JobCancelled JobState = "Cancelled"
)

// JobStates lists the states of a job in the order of its life.
func JobStates() []JobState {
	return []JobState{JobPending, JobClaimed, JobRunning, JobCompleted, JobFailed, JobTimeout, JobCancelled}
}

// Terminal reports whether a job in state s will never change again.
func (s JobState) Terminal() bool {
	switch s {
	case JobCompleted, JobFailed, JobTimeout, JobCancelled:
		return true
	case JobPending, JobClaimed, JobRunning:
	}
	return false
}

// RunConfig is the sampled part of a run's configuration, spelled as in the run
// configuration file that the scenario reads.
type RunConfig struct {
	// RunID is the run index as a string.
	RunID    string `json:"run_id" doc:"The run index as a string."`
	RunIndex int    `json:"run_index" doc:"The row of the sampling design, from 0."`
	// Seed is the run's own, below 2^53.
	Seed       uint64             `json:"seed" doc:"The run's own seed, below 2^53."`
	Parameters map[string]float64 `json:"parameters" doc:"The sampled value of each dispersion."`
	// Units has an entry for each parameter that has a unit.
	Units map[string]string `json:"units" doc:"The unit of each parameter that has one."`
}

// Job is one run of a batch. Fields that have no value yet are nil.
type Job struct {
	JobID     string    `json:"job_id" doc:"A UUID."`
	BatchID   string    `json:"batch_id"`
	RunConfig RunConfig `json:"run_config" doc:"What was sampled for this run."`
	Status    JobState  `json:"status" enum:"Pending,Claimed,Running,Completed,Failed,Timeout,Cancelled"`
	// Retries counts the attempts after the first that were made because the
	// simulation failed; Requeues those made because a runner or the
	// infrastructure did.
	Retries    int `json:"retries" doc:"Times that the job was tried again because the simulation failed."`
	MaxRetries int `json:"max_retries"`
	Requeues   int `json:"requeues" doc:"Times that the job was tried again because a runner or the infrastructure failed."`
	// Reruns counts the attempts after the first that a user asked for. Each allows
	// MaxRetries retries more.
	Reruns      int      `json:"reruns" doc:"Times that the job was tried again because a user asked for it; each allows max_retries retries more."`
	Attempt     int      `json:"attempt" doc:"The number of the latest attempt, from 1; 0 before the first."`
	Outcome     *Outcome `json:"outcome" doc:"Why the last attempt ended; null before any did."`
	TimeoutSecs *int     `json:"timeout_secs" doc:"Time limit of an attempt in seconds; null means the runner's default."`
	// CancelRequested says that a user cancelled the job and that its runner has
	// not yet reported the end.
	CancelRequested bool       `json:"cancel_requested"`
	CreatedAt       time.Time  `json:"created_at"`
	ClaimedAt       *time.Time `json:"claimed_at"`
	StartedAt       *time.Time `json:"started_at"`
	CompletedAt     *time.Time `json:"completed_at"`
	AssignedRunner  *string    `json:"assigned_runner" doc:"The runner's id."`
	ErrorMessage    *string    `json:"error_message" doc:"A sentence for people."`
	// PendingReason is why nobody takes a job that is Pending; nil where one only
	// has to wait for a free runner.
	PendingReason *string `json:"pending_reason" doc:"Why no runner takes a job that is Pending, a sentence for people; null if it only has to wait for a free one."`
}
