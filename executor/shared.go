package executor

import "time"

// Shared is what an attempt needs that shares a container with others.
type Shared struct {
	// Server is the command of the fork server, which runs the attempt's program
	// without its interpreter.
	Server []string
	// Code tells one state of the user's code from another: jobs of different code
	// share nothing.
	Code string
	// MaxJobs is how many jobs a container serves at most.
	MaxJobs int
	// Idle is how long a container waits for another job.
	Idle time.Duration
}

// Paths in a container that serves jobs. Its ContainerOutput is a directory of the
// runner's, which jobs can't write to, with what is the present job's below.
const (
	ServedOutput    = ContainerOutput + "/out"
	ServedLog       = ContainerOutput + "/log"
	ServedRunConfig = ContainerRuntime + "/run_config.json"
)

// ServingHandle is the handle of a container that was started with Spec.Serve.
//
// The container is one attempt like others: its main process is the fork server,
// and Wait, Kill and Remove are about the whole. Before each job the caller puts
// the job's directories below Spec.OutputDir, as out and log, its run configuration
// and telemetry socket into Spec.RuntimeDir; then it calls Run, and after the job
// it takes them away. One job at a time.
type ServingHandle interface {
	Handle
	// Run orders the next job. Its news come from Served.
	Run() error
	// Served delivers what is heard of jobs, in order.
	Served() <-chan ServedNews
	// Lost is closed where news may be missing: the container is of no use then.
	Lost() <-chan struct{}
	// OOMKills is how many processes the kernel has killed for want of memory in
	// the container so far; 0 where that can't be read.
	OOMKills() int64
}

// ServedNews is that a job was started, or, where Ended is set, how it ended.
type ServedNews struct{ Ended *ServedEnd }

// ServedEnd is how a job ended in a container that serves, as its shim says; nobody
// else knows.
type ServedEnd struct {
	Exit Exit
	// Odd says why the container must not serve another job; empty if it may.
	Odd string
}
