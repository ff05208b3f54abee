package api

import "time"

// JobResult is what a job left behind. A job that failed has one too where its
// runner could report one; it may be partial.
type JobResult struct {
	JobID   string `json:"job_id"`
	Success bool   `json:"success" doc:"Whether the job's state is Completed."`
	// ExecutionTimeSecs is rounded to whole seconds; Usage.WallSeconds is exact.
	ExecutionTimeSecs int64 `json:"execution_time_secs" doc:"Whole seconds; usage.wall_seconds is exact."`
	// OutputFiles are absolute paths on the runner's host.
	OutputFiles []string `json:"output_files" nullable:"false" doc:"Absolute paths on the runner's host."`
	// TelemetryData summarises each variable; nil if there was no telemetry.
	TelemetryData map[string]VariableSummary `json:"telemetry_data" nullable:"true" doc:"A summary of each telemetry variable; null if the job sent none."`
	// Metadata holds run_id and simulation_version.
	Metadata     map[string]string `json:"metadata" doc:"run_id and simulation_version, as strings."`
	ErrorMessage *string           `json:"error_message"`

	BatchID  string   `json:"batch_id"`
	RunIndex int      `json:"run_index"`
	Status   JobState `json:"status" enum:"Pending,Claimed,Running,Completed,Failed,Timeout,Cancelled"`
	Outcome  Outcome  `json:"outcome"`
	// Attempt is the number of the attempt that this result is of, from 1.
	Attempt        int        `json:"attempt"`
	AssignedRunner string     `json:"assigned_runner"`
	StartedAt      *time.Time `json:"started_at"`
	EndedAt        *time.Time `json:"ended_at"`
	// ExitCode is nil where the main process never ran or its status is unknown.
	ExitCode *int `json:"exit_code"`
	// Signal is the number of the signal that ended the main process.
	Signal    *int             `json:"signal"`
	Usage     Usage            `json:"usage"`
	Telemetry *TelemetryCounts `json:"telemetry,omitempty" doc:"Counts of the telemetry; absent if the job sent none."`
	Breach    *Breach          `json:"breach,omitempty" doc:"The early-termination condition that fired; absent if none did."`
	// Metrics are the finite numbers of the job's summary.json.
	Metrics        map[string]float64 `json:"metrics" doc:"Numbers that the run reported about itself."`
	MetricsLeftOut uint64             `json:"metrics_left_out" doc:"Numbers beyond the limits on metrics."`
	Artifacts      []Artifact         `json:"artifacts" nullable:"false" doc:"The same files as output_files, with size and checksum."`
	// Directory is the attempt's directory on the runner's host.
	Directory  string   `json:"directory" doc:"The attempt's directory on the runner's host."`
	ImageID    string   `json:"image_id" doc:"The id of the image that ran; empty if none did."`
	CodeDigest string   `json:"code_digest" doc:"Digest of the working directory that the scenario came from."`
	Warnings   []string `json:"warnings" nullable:"false" doc:"Things worth knowing that did not decide the outcome."`
}

// Usage is what an attempt consumed.
type Usage struct {
	WallSeconds     float64 `json:"wall_seconds"`
	CPUSeconds      float64 `json:"cpu_seconds"`
	PeakMemoryBytes int64   `json:"peak_memory_bytes"`
}

// Artifact is a file that the job left in its output directory.
type Artifact struct {
	// Name is relative to the output directory, with forward slashes.
	Name string `json:"name"`
	Size int64  `json:"size" doc:"Bytes."`
	// SHA256 is lower-case hexadecimal.
	SHA256 string `json:"sha256"`
	// URL is where the platform serves the file, a path with a query relative to
	// its address; empty for a file that the platform does not keep.
	URL string `json:"url,omitempty" doc:"Where the file can be downloaded, relative to the platform's address; absent if the platform does not keep it."`
}

// VariableSummary sums up one telemetry variable over an attempt. Min, Max and
// Last are nil where they are not finite, which JSON has no numbers for.
type VariableSummary struct {
	Unit  string   `json:"unit"`
	Count uint64   `json:"count"`
	Min   *float64 `json:"min" doc:"null if not finite."`
	Max   *float64 `json:"max" doc:"null if not finite."`
	Last  *float64 `json:"last" doc:"null if not finite."`
}

// TelemetryCounts says how much telemetry of an attempt was kept and lost.
type TelemetryCounts struct {
	Samples              uint64 `json:"samples"`
	DroppedSamples       uint64 `json:"dropped_samples" doc:"Dropped by the runner because storage was behind."`
	ClientDroppedSamples uint64 `json:"client_dropped_samples" doc:"Dropped in the job because the runner was behind."`
	DuplicateBatches     uint64 `json:"duplicate_batches" doc:"Sent again by the job and discarded."`
}

// Breach is an early-termination condition that fired.
type Breach struct {
	Condition Condition `json:"condition"`
	// Value is the sample's, TimeSeconds its simulation time.
	Value       float64    `json:"value" doc:"The sample's value."`
	TimeSeconds float64    `json:"time_seconds" doc:"The sample's simulation time."`
	ReceivedAt  *time.Time `json:"received_at" doc:"When the sample arrived at the runner."`
	// KillMilliseconds is from the sample's arrival until every process of the
	// job was gone; nil where the job ended before the kill.
	KillMilliseconds *float64 `json:"kill_milliseconds" doc:"From the sample's arrival until every process of the job was gone; null where the job ended by itself before."`
}

// Condition compares one telemetry variable with a threshold.
type Condition struct {
	Name        string  `json:"name"`
	Description string  `json:"description"`
	Variable    string  `json:"variable"`
	Operator    string  `json:"operator" enum:"lt,lte,gt,gte,eq,neq"`
	Threshold   float64 `json:"threshold"`
	Units       string  `json:"units"`
}

// RunRow is one run in the results of a batch. What comes from a result is zero
// or empty for a run that has none yet; Outcome is then nil.
type RunRow struct {
	RunIndex     int                `json:"run_index"`
	JobID        string             `json:"job_id"`
	Status       JobState           `json:"status" enum:"Pending,Claimed,Running,Completed,Failed,Timeout,Cancelled"`
	Outcome      *Outcome           `json:"outcome" doc:"null before any attempt ended."`
	ErrorMessage *string            `json:"error_message"`
	Parameters   map[string]float64 `json:"parameters"`
	Metrics      map[string]float64 `json:"metrics"`

	ExecutionTimeSecs int64                      `json:"execution_time_secs"`
	Usage             Usage                      `json:"usage"`
	TelemetryData     map[string]VariableSummary `json:"telemetry_data" nullable:"true"`
	Telemetry         *TelemetryCounts           `json:"telemetry,omitempty"`
	Breach            *Breach                    `json:"breach,omitempty"`
	OutputFiles       []string                   `json:"output_files" nullable:"false"`
	Artifacts         []Artifact                 `json:"artifacts" nullable:"false"`
	Warnings          []string                   `json:"warnings" nullable:"false"`
	// Directory is the attempt's directory on the runner's host, empty if there
	// is no result.
	Directory      string     `json:"directory"`
	Attempt        int        `json:"attempt" doc:"The number of the latest attempt, from 1; 0 before the first."`
	Retries        int        `json:"retries"`
	Requeues       int        `json:"requeues"`
	Reruns         int        `json:"reruns"`
	AssignedRunner *string    `json:"assigned_runner"`
	StartedAt      *time.Time `json:"started_at"`
	CompletedAt    *time.Time `json:"completed_at"`
}

// BatchResults is one part of the results of a batch, in the order of the run
// index.
type BatchResults struct {
	BatchID string `json:"batch_id"`
	// Units holds the unit of each parameter that has one: the same for every
	// row.
	Units map[string]string `json:"units" doc:"The unit of each parameter that has one."`
	Items []RunRow          `json:"items" nullable:"false"`
	// NextCursor continues the list; nil on its last page.
	NextCursor *string `json:"next_cursor" doc:"Opaque; give it as ?cursor= to continue. null on the last page."`
}
