package api

import "time"

// RunnerState is what a runner is doing.
type RunnerState string

// The states of a runner.
const (
	// RunnerIdle is connected and has no jobs.
	RunnerIdle RunnerState = "Idle"
	// RunnerBusy has one job or more.
	RunnerBusy RunnerState = "Busy"
	// RunnerOffline has not been heard of for longer than the platform waits.
	RunnerOffline RunnerState = "Offline"
	// RunnerMaintenance is drained: connected, but takes no new jobs.
	RunnerMaintenance RunnerState = "Maintenance"
)

// Capabilities are what a runner declares when it registers.
type Capabilities struct {
	MaxConcurrentJobs        int      `json:"max_concurrent_jobs"`
	CPUCores                 float64  `json:"cpu_cores"`
	MemoryGB                 float64  `json:"memory_gb"`
	GPUAvailable             bool     `json:"gpu_available"`
	SupportedSimulationTypes []string `json:"supported_simulation_types" nullable:"false"`
	// GPUs is how many the runner's jobs may be given in all.
	GPUs int `json:"gpus" doc:"How many GPUs jobs may be given in all."`
	// DefaultCPUMillis and DefaultMemoryBytes are what a job that asks for nothing
	// is counted with; 0 is not known.
	DefaultCPUMillis   int64 `json:"default_cpu_millis" doc:"What a job that asks for no CPU is counted with, in thousandths of one."`
	DefaultMemoryBytes int64 `json:"default_memory_bytes" doc:"What a job that asks for no memory is counted with."`
}

// Runner is a worker as the platform knows it.
type Runner struct {
	RunnerID     string       `json:"runner_id"`
	Status       RunnerState  `json:"status" enum:"Idle,Busy,Offline,Maintenance"`
	Capabilities Capabilities `json:"capabilities"`
	// Drain says that a user asked the runner to take no new jobs; its state is
	// Maintenance while it is connected.
	Drain bool `json:"drain" doc:"Whether a user drained the runner."`
	// Paused is why a runner takes no new jobs for now although it is connected
	// and not drained, such as a full disk; empty if it takes jobs.
	Paused string `json:"paused" doc:"Why the runner takes no new jobs for now, a sentence for people; empty if it takes jobs."`
	// ActiveJobs counts the attempts that the runner holds.
	ActiveJobs      int       `json:"active_jobs"`
	Hostname        string    `json:"hostname"`
	Version         string    `json:"version"`
	Executor        string    `json:"executor" doc:"docker or process."`
	RegisteredAt    time.Time `json:"registered_at"`
	LastHeartbeatAt time.Time `json:"last_heartbeat_at"`
}

// Health is the answer of a platform that works.
type Health struct {
	Status string `json:"status" example:"ok"`
}
