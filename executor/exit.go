package executor

import "time"

// Exit is how an attempt ended, as evidence: it says what was seen and who said
// so, and judges nothing.
type Exit struct {
	// Code is the main process's exit code: 128 + Signal where a signal ended it,
	// as shells have it. Meaningless unless Known.
	Code int
	// Signal is the number of the signal that ended the main process; 0 if none.
	Signal int
	// Known is false where nobody can tell how the main process ended (killed
	// with its container before the shim could say).
	Known bool
	// ExecError says why the job's command could not be executed at all: no such
	// file, not executable, bad interpreter. Empty if it was.
	ExecError string
	// DeadlineKill says that the shim killed the job at its deadline plus grace,
	// because the runner was away.
	DeadlineKill bool
	// ExternalKill says that the job's init was ended by somebody who is neither
	// the job, nor this runner: the engine's shutdown, an administrator.
	ExternalKill bool

	OOM   OOM
	Usage Usage
	Logs  Logs

	// Started and Ended are the runner's clock.
	Started time.Time
	Ended   time.Time
	// Notes are things worth knowing that a person may need, a sentence each: the
	// shim and the engine disagree, a report is missing.
	Notes []string
}

// OOM is the evidence that the job ran out of memory.
type OOM struct {
	// Killed is the number of the job's processes that the kernel killed for
	// want of memory in its cgroup.
	Killed int64
	// Engine is the engine's own flag, which is set by any OOM event.
	Engine bool
	// Limit is the memory limit in bytes.
	Limit int64
}

// Usage is what the attempt used.
type Usage struct {
	Wall time.Duration
	// CPU is user plus system time of every process.
	CPU time.Duration
	// PeakMemory is the largest memory use, in bytes; of the cgroup where it can
	// be read, else the largest resident set of one process.
	PeakMemory int64
}

// Logs is what became of stdout and stderr.
type Logs struct {
	Stdout, Stderr LogStat
}

// LogStat counts one stream's bytes.
type LogStat struct {
	// Written is everything that the job wrote; Dropped is what the cap cut out
	// of the middle.
	Written, Dropped int64
	// Full says that some of it found no space on the disk, for a while or for good, or
	// that the disk was full when the job had ended.
	Full bool
}
