package shim

// Config is what the shim is told to do, as JSON in the file that is its only
// argument. It holds no secret: the job can read it.
type Config struct {
	Argv []string `json:"argv"`
	// Env is the job's whole environment. With a telemetry socket, the shim adds
	// TETRYX_TELEMETRY_URL and TETRYX_TELEMETRY_TARGET.
	Env []string `json:"env"`
	Dir string   `json:"dir"`

	// ControlSocket is the runner's unix socket for messages.
	ControlSocket string `json:"control_socket"`
	// TelemetrySocket is the unix socket that TelemetryListen is forwarded to.
	// Empty means that the job has no telemetry port.
	TelemetrySocket string `json:"telemetry_socket,omitempty"`
	// TelemetryListen is a loopback address, "127.0.0.1:50051"; port 0 picks one.
	TelemetryListen string `json:"telemetry_listen,omitempty"`
	// CheckPeers is for a loopback that is shared with others: only connections
	// of processes of the shim's own user are taken.
	CheckPeers bool `json:"check_peers,omitempty"`

	Stdout  string `json:"stdout"`
	Stderr  string `json:"stderr"`
	LogHead int64  `json:"log_head"`
	LogTail int64  `json:"log_tail"`

	// KillAfterMillis is the time after the job's start at which the shim kills
	// it by itself: timeout plus grace. 0 means never.
	KillAfterMillis int64 `json:"kill_after_millis,omitempty"`
	// RunnerLossMillis is how long the job goes on without its runner: so long after
	// the control connection broke, and was not made again, the shim kills the job.
	// 0 means until KillAfterMillis. A runner that never let the shim in is not
	// missed.
	RunnerLossMillis int64 `json:"runner_loss_millis,omitempty"`

	// Rlimits are set on the shim, and so on the job, where nobody else has: no
	// higher than what the shim was started with.
	Rlimits []Rlimit `json:"rlimits,omitempty"`
	// Serve says that the command is a fork server, which runs the job again and
	// again: once for each MessageJob. Stdout, Stderr, the telemetry port and
	// KillAfterMillis are then those of each of these jobs, and the directories of
	// the logs are another's each time, under the same paths.
	Serve bool `json:"serve,omitempty"`
	// ReportFD is an open descriptor of a file for the exit report, for a runner
	// that is away when the job ends; 0 is none. A descriptor, because the file
	// can so be one that the job's user can neither open nor find.
	ReportFD int `json:"report_fd,omitempty"`
	// Report is the path of such a file where no descriptor can be passed on. The shim
	// makes it. It is the job's to tamper with, as the logs are.
	Report string `json:"report,omitempty"`
}

// Rlimit is one resource limit, by its number (getrlimit(2)).
type Rlimit struct {
	Resource int    `json:"resource"`
	Soft     uint64 `json:"soft"`
	Hard     uint64 `json:"hard"`
}

// The kinds of messages, one JSON object a line.
const (
	// MessageHello opens every connection, from the shim; a runner that lets it in
	// says the same.
	MessageHello = "hello"
	// MessageStarted says that the job's main process runs, from the shim. After
	// a reconnection it is sent again.
	MessageStarted = "started"
	// MessageExit is the report on the end of the main process, from the shim.
	MessageExit = "exit"
	// MessageAck acknowledges an exit message, from the runner. The shim ends
	// upon it, and takes its cgroup with it.
	MessageAck = "ack"
	// MessageKill tells the shim to kill every process, itself last, from a
	// runner that has no right to do so itself.
	MessageKill = "kill"
	// MessageJob tells the shim of a fork server to run the next job, from the
	// runner. There is one at a time.
	MessageJob = "job"
	// MessageJobStarted says that the job's main process runs, from the shim.
	MessageJobStarted = "job-started"
	// MessageJobEnded is the report on a job's end, from the shim, when the
	// container is as it was before the job, or can't be made so.
	MessageJobEnded = "job-ended"
)

// Message is one line on the control connection.
type Message struct {
	Type string `json:"type"`
	// Exit is set in MessageExit.
	Exit *ExitReport `json:"exit,omitempty"`
	// Job is set in MessageJobEnded.
	Job *JobReport `json:"job,omitempty"`
}

// JobReport is what the shim of a fork server saw of one job.
type JobReport struct {
	Exit ExitReport `json:"exit"`
	// Odd says why the container must not serve another job: a process was left, a
	// place could not be emptied, a limit was changed. Empty where all is as before.
	Odd string `json:"odd,omitempty"`
}

// ExitReport is what the shim saw of the job's end. The job's own processes run
// beside the shim with the same user, so it is believed only where it agrees
// with the engine's record.
type ExitReport struct {
	Code   int `json:"code"`
	Signal int `json:"signal,omitempty"`
	// ExecError is set where the command could not be executed; Code is then 127
	// (not found) or 126.
	ExecError string `json:"exec_error,omitempty"`
	// SetupError is set where the shim could not get as far as executing the
	// command: a log file, the telemetry port, no process to be had. It is never
	// the job's fault; Code is then ExitSetup.
	SetupError string `json:"setup_error,omitempty"`
	// DeadlineKill says that the shim killed the job at its deadline.
	DeadlineKill bool `json:"deadline_kill,omitempty"`
	// Forwarded is the last signal that somebody sent the shim and the job got from it.
	Forwarded int `json:"forwarded,omitempty"`
	// CPUMicros is user plus system time of every reaped process, MaxRSSBytes the
	// largest resident set of one of them.
	CPUMicros   int64     `json:"cpu_micros"`
	MaxRSSBytes int64     `json:"max_rss_bytes"`
	WallMicros  int64     `json:"wall_micros"`
	Stdout      LogReport `json:"stdout"`
	Stderr      LogReport `json:"stderr"`
}

// The shim's own exit codes, as shells and container engines use them.
const (
	// ExitSetup: the shim could not prepare the job.
	ExitSetup = 125
	// ExitNotExecutable: the command is there and can't be executed.
	ExitNotExecutable = 126
	// ExitNotFound: there is no such command.
	ExitNotFound = 127
)

// LogReport counts one stream's bytes: everything written, and what the cap cut
// out of the middle. Full says that some of it found no space on the disk, for a while
// or for good, or that the disk was full when the job had ended.
type LogReport struct {
	Written int64 `json:"written"`
	Dropped int64 `json:"dropped"`
	Full    bool  `json:"full,omitempty"`
}
