package platform

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tetryx/lynx-runner/api"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// Batch is one submitted study. A time that has not come yet is zero.
type Batch struct {
	// ID is a UUID.
	ID string
	// Seq is the order of submission, given by the store, from 1.
	Seq   int64
	State api.BatchState
	// Counts has the number of jobs in each state; their sum is Spec.Runs.
	Counts Counts
	// CancelRequested says that a user cancelled the batch.
	CancelRequested bool
	CreatedAt       time.Time
	// StartedAt is the time of the first claim.
	StartedAt time.Time
	// CompletedAt is when the last job became terminal.
	CompletedAt time.Time
	// Revision grows with every change of the batch or of one of its jobs.
	Revision uint64
	// Ended is how many attempts were reported of those that executed, and EndedFor
	// how long runners had them, from claim to result, in all.
	Ended    int
	EndedFor time.Duration
	// Spec is what the submission fixed. It is shared: never change it.
	Spec *Spec
}

// Spec is what a submission fixes about a batch, for good.
type Spec struct {
	Name           string `json:"name"`
	Runs           int    `json:"runs"`
	Seed           uint64 `json:"seed"` // below 2^53
	SamplingMethod string `json:"sampling_method"`
	// Columns are the parameters in the order of [Job.Values], sorted by name.
	Columns    []Column   `json:"columns"`
	Simulation Simulation `json:"simulation"`
	Compute    Compute    `json:"compute"`
	// EarlyTermination says whether Conditions are watched.
	EarlyTermination bool            `json:"early_termination"`
	Conditions       []api.Condition `json:"conditions"`
	// MaxParallel bounds the jobs that are Claimed or Running; 0 is no bound.
	MaxParallel int `json:"max_parallel"`
	// MaxRetries bounds [Job.Retries].
	MaxRetries int `json:"max_retries"`
	// MaxFailed is how many jobs may end Failed or Timeout in a batch that is
	// still Completed.
	MaxFailed int `json:"max_failed"`
	// Warnings are sentences about fields that have no effect.
	Warnings []string `json:"warnings"`
	// Request is the whole submission, as the JSON of POST /jobs.
	Request json.RawMessage `json:"request"`
}

// Column names one dispersed parameter and its unit, "" if it has none.
type Column struct {
	Name string `json:"name"`
	Unit string `json:"unit"`
}

// Simulation says what to run.
type Simulation struct {
	Type            string   `json:"type"`
	Name            string   `json:"name"`
	Version         string   `json:"version"`
	DurationMinutes *float64 `json:"duration_minutes"`
	Entrypoint      string   `json:"entrypoint"`
	// Command is the program and its arguments, of engine `command`; nil if the
	// study names none.
	Command []string `json:"command,omitempty"`
}

// Compute is what each attempt asks for; zero means the runner's default.
type Compute struct {
	Image       string        `json:"image"`
	CPUMillis   int64         `json:"cpu_millis"`
	MemoryBytes int64         `json:"memory_bytes"`
	GPUs        int64         `json:"gpus"`
	Timeout     time.Duration `json:"timeout"` // of an attempt
	Isolation   string        `json:"isolation,omitempty"`
}

// Job is one run of a batch. A time that has not come yet is zero.
type Job struct {
	// ID is a UUID.
	ID      string
	BatchID string
	// RunIndex is the row of the sampling design, from 0.
	RunIndex int
	// Seed is the run's own, below 2^53.
	Seed uint64
	// Values are the row of the design, in the order of [Spec.Columns].
	Values []float64

	State api.JobState
	// Retries counts attempts after the first that the simulation caused,
	// Requeues those that a runner or the infrastructure did.
	Retries, Requeues int
	// Reruns counts attempts after the first that a user asked for; each gives the
	// job as many retries and requeues again as it had.
	Reruns int
	// Attempts is the number of the latest attempt; 0 before the first.
	Attempts int
	// Reported is the number of the latest attempt whose result was accepted; 0 if
	// there is none.
	Reported int
	// Token is the latest attempt's. Whether it is still valid, State says too:
	// see [Job.Current].
	Token Token
	// Outcome is why the latest attempt that ended did; "" before any has.
	Outcome api.Outcome
	// ErrorMessage is a sentence for people about Outcome; "" if there is nothing
	// to say.
	ErrorMessage    string
	CancelRequested bool
	// RunnerID is the runner of the latest attempt; "" in a job that waits for
	// another one.
	RunnerID                        string
	CreatedAt, ClaimedAt, StartedAt time.Time
	CompletedAt                     time.Time
}

// Active reports whether a runner has the job: it is Claimed or Running.
func (j *Job) Active() bool { return j.State == api.JobClaimed || j.State == api.JobRunning }

// Current reports whether t is the job's valid token: that of its latest claim,
// as long as the job is not terminal.
func (j *Job) Current(t Token) bool {
	return j.Attempts > 0 && j.Token == t && !j.State.Terminal()
}

// Token fences an attempt. Of two tokens of a job the larger, epoch first, is the
// later claim.
type Token struct {
	// Epoch is the store's when the attempt was claimed.
	Epoch uint64
	// Counter is the attempt's number.
	Counter uint64
}

// Attempt is one execution of a job.
type Attempt struct {
	JobID string
	// Number is from 1.
	Number int
	Token  Token
	// RunnerID and SessionID say who claimed it.
	RunnerID, SessionID  string
	ClaimedAt, StartedAt time.Time
	// EndedAt is when the platform learnt that the attempt is over: its result
	// came or it was lost. Zero while it goes on.
	EndedAt time.Time
	// Outcome is the reported one, or lease_lost for an attempt that was lost
	// with its runner; "" while it goes on.
	Outcome api.Outcome
	// ErrorMessage is a sentence for people.
	ErrorMessage string
	// HasResult says that the runner reported a result and that it was accepted;
	// that happens once at most.
	HasResult bool
}

// ID is "<job id>-<number>".
func (a *Attempt) ID() string { return AttemptID(a.JobID, a.Number) }

// AttemptID makes an attempt's id, "<job id>-<number>".
func AttemptID(jobID string, number int) string { return jobID + "-" + strconv.Itoa(number) }

// ParseAttemptID takes an attempt's id apart.
func ParseAttemptID(id string) (jobID string, number int, err error) {
	i := strings.LastIndexByte(id, '-')
	if i < 0 {
		return "", 0, invalid("attempt_id", "%q is not of the form JOB_ID-NUMBER", id)
	}
	number, err = strconv.Atoi(id[i+1:])
	if err != nil || number < 1 || AttemptID(id[:i], number) != id {
		return "", 0, invalid("attempt_id", "%q does not end in the number of an attempt", id)
	}
	return id[:i], number, nil
}

// AttemptRef is what a runner names an attempt by.
type AttemptRef struct {
	AttemptID string
	Token     Token
}

// Runner is a worker process.
type Runner struct {
	ID string
	// InstallationID tells who holds the runner's state directory: up to the first dot
	// it is the directory's, and that of any copy of it; behind that, the place's where
	// it is locked. Two that are alive never have the same. SessionID is new with each
	// registration.
	InstallationID, SessionID   string
	Version, Hostname, Executor string
	Capabilities                api.Capabilities
	// GPUs is how many its jobs may be given in all; Default is what a job that
	// asks for no CPU or memory is counted with.
	GPUs    int64
	Default Resources
	// Drain says that a user wants no new jobs on it, Draining that the runner
	// itself wants none because it is about to stop.
	Drain, Draining bool
	// Paused is a sentence about why the runner itself wants no new jobs for now;
	// "" if it takes them.
	Paused string
	// SignedOff says that its process has ended in order and said so. Its session is
	// over.
	SignedOff    bool
	RegisteredAt time.Time
	// SeenAt is the last registration or heartbeat.
	SeenAt time.Time
}

// offline reports whether the runner signed off, or was silent for so long.
func (r *Runner) offline(now time.Time, after time.Duration) bool {
	return r.SignedOff || now.Sub(r.SeenAt) >= after
}

// takesJobs reports whether the runner is to be given new jobs.
func (r *Runner) takesJobs() bool { return !r.Drain && !r.Draining && r.Paused == "" }

// Registration is what a runner says about itself.
type Registration struct {
	RunnerID, InstallationID    string
	Version, Hostname, Executor string
	Capabilities                api.Capabilities
	// GPUs and Default are as in [Runner].
	GPUs    int64
	Default Resources
}

// Session is the answer to a [Registration].
type Session struct {
	ID                                             string
	HeartbeatInterval, OfflineAfter, LeaseDuration time.Duration
}

// Instructions are the answer to a heartbeat.
type Instructions struct {
	// Drain says that the runner is to take no new jobs.
	Drain bool
	// Cancel has the ids of attempts to kill and report as `cancelled`; Lost those
	// that are not this runner's any more: to kill and forget. Both sorted.
	Cancel, Lost []string
}

// RunnerView is a runner with what follows from other records and the time.
type RunnerView struct {
	Runner

	State api.RunnerState
	// ActiveJobs is the number of jobs that it has.
	ActiveJobs int
}

// JobView is a job with what its batch fixes about it.
type JobView struct {
	Job

	Spec *Spec
	// PendingReason is a sentence about why no runner that is connected would take
	// this Pending job; "" if one would, and for a job in another state.
	PendingReason string
	// History has the job's attempts by number. Only [Service.Job] sets it.
	History []Attempt
}

// RunResult is a job with the result of its latest attempt that has one; Result
// and Attempt are nil if none has.
type RunResult struct {
	Job

	Spec    *Spec
	Attempt *Attempt
	Result  *runnerv1.Result
}

// JobFilter says which jobs are wanted; empty fields do not restrict.
type JobFilter struct {
	BatchID string
	State   api.JobState
	// RunIndex is the run index wanted; nil does not restrict.
	RunIndex *int
	// IDPrefix is what the id begins with.
	IDPrefix string
}

// Page says which part of a list is wanted.
type Page struct {
	// After is the cursor that the last page ended with; "" for the first page.
	After string
	// Limit is the most items wanted; 0 or too much means [MaxPage].
	Limit int
}

// MaxPage is how many items a page of a list has at most.
const MaxPage = 1000

func (p Page) limit() int {
	if p.Limit <= 0 || p.Limit > MaxPage {
		return MaxPage
	}
	return p.Limit
}

// Counts is the number of a batch's jobs in each state.
type Counts struct {
	Pending, Claimed, Running, Completed, Failed, Timeout, Cancelled int
}

// Of returns the count of one state. It panics on a state that does not exist.
func (c *Counts) Of(s api.JobState) int { return *c.of(s) }

// Total is the number of jobs.
func (c *Counts) Total() int {
	return c.Pending + c.Claimed + c.Running + c.Terminal()
}

// Terminal is the number of jobs that are over.
func (c *Counts) Terminal() int { return c.Completed + c.Failed + c.Timeout + c.Cancelled }

func (c *Counts) of(s api.JobState) *int {
	switch s {
	case api.JobPending:
		return &c.Pending
	case api.JobClaimed:
		return &c.Claimed
	case api.JobRunning:
		return &c.Running
	case api.JobCompleted:
		return &c.Completed
	case api.JobFailed:
		return &c.Failed
	case api.JobTimeout:
		return &c.Timeout
	case api.JobCancelled:
		return &c.Cancelled
	}
	panic(fmt.Sprintf("platform: no job state %q", s))
}
