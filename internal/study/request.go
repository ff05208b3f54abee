package study

// The limits of a study.
const (
	// MaxRuns is the largest number of runs in a batch.
	MaxRuns = 1_000_000
	// MaxSeed is the largest seed: what a JSON number carries exactly everywhere.
	MaxSeed = 1<<53 - 1
	// MaxParameters is the largest number of dispersions in a batch.
	MaxParameters = 1000
	// MaxValues is the largest design, runs × parameters: 160 MB of float64.
	MaxValues = 20_000_000
	// MaxRetries is the largest compute.max_retries.
	MaxRetries = 10
	// MaxCommand is the largest number of items of simulation.command.
	MaxCommand = 256
	// MaxArgument is the length of one of these items, in bytes.
	MaxArgument = 4096
)

// Request is a submission: a study and the name of the batch that it makes. It
// marshals to the JSON of POST /jobs, which Parse reads back to an equal Request.
type Request struct {
	// Name of the batch: 1 to 128 printable characters.
	Name string `yaml:"name" json:"name"`
	// RunsOverride wins over Config.MonteCarlo.Runs.
	RunsOverride *int   `yaml:"runs_override" json:"runs_override,omitempty"`
	Config       Config `yaml:"config" json:"config" strict:"required"`
}

// Config is the study itself.
type Config struct {
	Simulation Simulation `yaml:"simulation" json:"simulation"`
	MonteCarlo MonteCarlo `yaml:"monte_carlo" json:"monte_carlo"`
	// Dispersions is keyed by the parameter's name: at most 64 characters of
	// [A-Za-z0-9_.-], the first a letter or underscore.
	Dispersions      map[string]Dispersion `yaml:"dispersions" json:"dispersions,omitempty"`
	Compute          Compute               `yaml:"compute" json:"compute,omitzero"`
	EarlyTermination EarlyTermination      `yaml:"early_termination" json:"early_termination,omitzero"`
	Telemetry        Telemetry             `yaml:"telemetry" json:"telemetry,omitzero"`
}

// Simulation says what to run.
type Simulation struct {
	// Type is matched against a runner's supported_simulation_types; Parse fills
	// in "command" where there is a Command, and else "basilisk".
	Type    string `yaml:"type" json:"type"`
	Name    string `yaml:"name" json:"name,omitempty"`
	Version string `yaml:"version" json:"version,omitempty"`
	// DurationMinutes is handed to the scenario, which may use it; nil if the
	// study does not say.
	DurationMinutes *float64 `yaml:"duration_minutes" json:"duration_minutes,omitempty"`
	// Entrypoint overrides the runner's: a clean slash-separated path below its
	// working directory. Empty means the runner's.
	Entrypoint string `yaml:"entrypoint" json:"entrypoint,omitempty"`
	// Command is the program in the image and its arguments, for a type that the
	// runner's engine command launches. It is an argument list and passes no shell:
	// 1 to MaxCommand non-empty texts, none with a NUL. Not beside Entrypoint.
	Command []string `yaml:"command" json:"command,omitempty"`
}

// MonteCarlo says how many runs there are and how they are drawn.
type MonteCarlo struct {
	// Runs is 1 to MaxRuns; 0 only where RunsOverride is set.
	Runs int `yaml:"runs" json:"runs,omitempty"`
	// SamplingMethod is LatinHypercube (filled in by Parse) or Random.
	SamplingMethod SamplingMethod `yaml:"sampling_method" json:"sampling_method"`
	// Seed is at most MaxSeed; nil means that the platform picks one.
	Seed *uint64 `yaml:"seed" json:"seed,omitempty"`
	// MaxFailed is how many runs may fail before the batch does; by default none.
	MaxFailed MaxFailed `yaml:"max_failed" json:"max_failed,omitzero"`
}

// SamplingMethod is how a design is drawn.
type SamplingMethod string

// The sampling methods.
const (
	// LatinHypercube puts exactly one run into each of N equally probable strata
	// of every parameter.
	LatinHypercube SamplingMethod = "latin_hypercube"
	// Random draws every value independently; row k does not depend on N.
	Random SamplingMethod = "random"
)

// Dispersion is one uncertain parameter.
type Dispersion struct {
	Distribution Distribution `yaml:"distribution" json:"distribution" strict:"required"`
	// Units is the parameter's unit, normalised as by NormalizeUnits. The key is
	// required; DecodeStrict reads it.
	Units string `yaml:"-" json:"units"`
}

// Compute is what the batch asks of the machines.
type Compute struct {
	Container Container `yaml:"container" json:"container,omitzero"`
	// MaxParallelJobs bounds the jobs of this batch that are in flight at any one
	// time; 0 means as many as the runners have slots.
	MaxParallelJobs int `yaml:"max_parallel_jobs" json:"max_parallel_jobs,omitempty"`
	// JobTimeoutSeconds is a job's time limit; 0 means the runner's default.
	JobTimeoutSeconds int `yaml:"job_timeout_seconds" json:"job_timeout_seconds,omitempty"`
	// MaxRetries is how often a job that failed by itself is tried again.
	MaxRetries int `yaml:"max_retries" json:"max_retries,omitempty"`
	// Isolation is what a job has for itself: IsolationJob where it is empty.
	Isolation string `yaml:"isolation" json:"isolation,omitempty"`
}

// The values of Compute.Isolation.
const (
	// IsolationJob gives each job a container of its own.
	IsolationJob = "job"
	// IsolationBatch lets jobs of the batch have a container one after another.
	IsolationBatch = "batch"
)

// Container is the image and the resources that a job asks for; each is capped
// by the runner's maxima, and empty means the runner's default.
type Container struct {
	Image string `yaml:"image" json:"image,omitempty"`
	// The requests are Kubernetes quantities, as written; read them with
	// CPUMillis, MemoryBytes and GPUs.
	CPURequest    Quantity `yaml:"cpu_request" json:"cpu_request,omitempty"`
	MemoryRequest Quantity `yaml:"memory_request" json:"memory_request,omitempty"`
	GPURequest    Quantity `yaml:"gpu_request" json:"gpu_request,omitempty"`
}

// EarlyTermination are the rules that end a job while it runs.
type EarlyTermination struct {
	// Enabled false leaves the conditions in the study, checked but inactive.
	Enabled bool `yaml:"enabled" json:"enabled"`
	// CheckFrequencyHz is recorded only: every sample is evaluated when it arrives.
	CheckFrequencyHz *float64    `yaml:"check_frequency_hz" json:"check_frequency_hz,omitempty"`
	Conditions       []Condition `yaml:"conditions" json:"conditions,omitempty"`
}

// Telemetry is accepted and recorded; Request.Warnings says what has no effect.
type Telemetry struct {
	SamplingRateHz *float64 `yaml:"sampling_rate_hz" json:"sampling_rate_hz,omitempty"`
	// Variables has no documented shape: JSON values.
	Variables                  []any            `yaml:"variables" json:"variables,omitempty"`
	Storage                    TelemetryStorage `yaml:"storage" json:"storage,omitzero"`
	BufferFlushIntervalSeconds *float64         `yaml:"buffer_flush_interval_seconds" json:"buffer_flush_interval_seconds,omitempty"`
}

// TelemetryStorage is accepted and recorded.
type TelemetryStorage struct {
	S3Bucket    string `yaml:"s3_bucket" json:"s3_bucket,omitempty"`
	S3Prefix    string `yaml:"s3_prefix" json:"s3_prefix,omitempty"`
	Compression string `yaml:"compression" json:"compression,omitempty"`
}

// Runs is the number of runs: RunsOverride if set, else Config.MonteCarlo.Runs.
func (r *Request) Runs() int {
	if r.RunsOverride != nil {
		return *r.RunsOverride
	}
	return r.Config.MonteCarlo.Runs
}
