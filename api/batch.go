package api

import "time"

// BatchState is where a batch is in its life. Completed, Failed and Cancelled
// are terminal.
type BatchState string

// The states of a batch.
const (
	// BatchPending means that no job was claimed yet.
	BatchPending BatchState = "Pending"
	// BatchRunning means that at least one job was claimed.
	BatchRunning BatchState = "Running"
	// BatchCompleted means that every job is terminal and no more than
	// monte_carlo.max_failed of them are Failed or Timeout.
	BatchCompleted BatchState = "Completed"
	// BatchFailed means that every job is terminal and too many of them failed.
	BatchFailed BatchState = "Failed"
	// BatchCancelled means that the batch was cancelled and every job is terminal.
	BatchCancelled BatchState = "Cancelled"
)

// Terminal reports whether a batch in state s will never change again.
func (s BatchState) Terminal() bool {
	return s == BatchCompleted || s == BatchFailed || s == BatchCancelled
}

// Submission is the answer to an accepted study.
type Submission struct {
	BatchID   string `json:"batch_id" doc:"The new batch's id, a UUID."`
	TotalJobs int    `json:"total_jobs" doc:"How many runs the batch has."`
	// EstimatedCompletionTimeMins is nil where the platform can't tell, which is
	// always the case before any run of the batch has ended.
	EstimatedCompletionTimeMins *float64 `json:"estimated_completion_time_mins" doc:"Minutes until the batch is expected to be over; null where that is not known."`
	// Seed is the study's own or, if it has none, the one that was drawn for it.
	// Below 2^53.
	Seed uint64 `json:"seed" doc:"The seed of the sampling design, below 2^53: the study's, or the one drawn for it."`
	// Warnings are sentences about fields of the study that were accepted and
	// recorded but have no effect.
	Warnings []string `json:"warnings" nullable:"false" doc:"Sentences about fields that were accepted and recorded but have no effect."`
}

// Batch is one submitted study. Times that have not come yet are nil.
type Batch struct {
	BatchID       string     `json:"batch_id" doc:"A UUID."`
	Name          string     `json:"name" doc:"The study's name."`
	Status        BatchState `json:"status" enum:"Pending,Running,Completed,Failed,Cancelled"`
	TotalJobs     int        `json:"total_jobs"`
	CompletedJobs int        `json:"completed_jobs" doc:"Jobs in state Completed."`
	FailedJobs    int        `json:"failed_jobs" doc:"Jobs in state Failed or Timeout."`
	CancelledJobs int        `json:"cancelled_jobs" doc:"Jobs in state Cancelled."`
	// MaxFailed is how many jobs may fail in a batch that is still Completed.
	MaxFailed int `json:"max_failed" doc:"How many jobs may fail in a batch that is still Completed."`
	// CancelRequested says that a user cancelled the batch; jobs that run may take
	// a moment to end.
	CancelRequested bool   `json:"cancel_requested"`
	Seed            uint64 `json:"seed" doc:"The seed of the sampling design, below 2^53."`
	SamplingMethod  string `json:"sampling_method"`
	// SimulationName, SimulationVersion and SimulationType are the study's.
	SimulationName    string     `json:"simulation_name"`
	SimulationVersion string     `json:"simulation_version"`
	SimulationType    string     `json:"simulation_type"`
	CreatedAt         time.Time  `json:"created_at"`
	StartedAt         *time.Time `json:"started_at" doc:"When the first job was claimed."`
	CompletedAt       *time.Time `json:"completed_at"`
	Warnings          []string   `json:"warnings" nullable:"false" doc:"What the submission was warned about."`
}

// BatchStatus is a batch with the count of its jobs in each state: enough to show
// progress without asking for each job.
type BatchStatus struct {
	Batch Batch `json:"batch"`
	// JobsByStatus has every state as a key, also those with no job.
	JobsByStatus map[JobState]int `json:"jobs_by_status" doc:"From state to the number of jobs in it; every state is there."`
	// EstimatedCompletionTimeMins is nil where the platform can't tell: before any
	// run of the batch has ended, and once the batch is over.
	EstimatedCompletionTimeMins *float64 `json:"estimated_completion_time_mins" doc:"Minutes until the batch is expected to be over; null where that is not known."`
	// Revision grows whenever something about the batch or its jobs changes;
	// [Client.WaitBatch] takes the last one seen.
	Revision uint64 `json:"revision" doc:"Grows with every change; give the last one seen as ?revision= to wait for the next."`
}

// Retry is what came of running again what did not succeed: the batch as it is
// then, and how many of its jobs are Pending again.
type Retry struct {
	BatchStatus

	Jobs int `json:"jobs" doc:"How many jobs are to be run again."`
}

// Page is one part of a list. Items keep their order over the pages, and
// following the cursors yields each item that was there throughout exactly once.
type Page[T any] struct {
	Items []T `json:"items" nullable:"false"`
	// NextCursor continues the list; nil on its last page. It is opaque.
	NextCursor *string `json:"next_cursor" doc:"Opaque; give it as ?cursor= to continue. null on the last page."`
}
