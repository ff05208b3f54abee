package rest

import (
	"strconv"
	"time"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/platform"
)

// viewStatus passes an error through, so that it can be given the results of a
// call.
func viewStatus(b platform.Batch, err error) (*api.BatchStatus, error) {
	if err != nil {
		return nil, err
	}
	s := &api.BatchStatus{
		Batch: viewBatch(&b), JobsByStatus: map[api.JobState]int{}, Revision: b.Revision,
		EstimatedCompletionTimeMins: minutesLeft(&b),
	}
	for _, state := range api.JobStates() {
		s.JobsByStatus[state] = b.Counts.Of(state)
	}
	return s, nil
}

// minutesLeft makes null of an estimate that there is not.
func minutesLeft(b *platform.Batch) *float64 {
	left, known := b.Remaining()
	if !known {
		return nil
	}
	m := left.Minutes()
	return &m
}

func viewBatch(b *platform.Batch) api.Batch {
	return api.Batch{
		BatchID:           b.ID,
		Name:              b.Spec.Name,
		Status:            b.State,
		TotalJobs:         b.Spec.Runs,
		CompletedJobs:     b.Counts.Completed,
		FailedJobs:        b.Counts.Failed + b.Counts.Timeout,
		CancelledJobs:     b.Counts.Cancelled,
		MaxFailed:         b.Spec.MaxFailed,
		CancelRequested:   b.CancelRequested,
		Seed:              b.Spec.Seed,
		SamplingMethod:    b.Spec.SamplingMethod,
		SimulationName:    b.Spec.Simulation.Name,
		SimulationVersion: b.Spec.Simulation.Version,
		SimulationType:    b.Spec.Simulation.Type,
		CreatedAt:         b.CreatedAt.UTC(),
		StartedAt:         moment(b.StartedAt),
		CompletedAt:       moment(b.CompletedAt),
		Warnings:          list(b.Spec.Warnings),
	}
}

func viewJob(j *platform.JobView) api.Job {
	return api.Job{
		JobID:   j.ID,
		BatchID: j.BatchID,
		RunConfig: api.RunConfig{
			RunID:      strconv.Itoa(j.RunIndex),
			RunIndex:   j.RunIndex,
			Seed:       j.Seed,
			Parameters: viewParameters(j.Spec, j.Values),
			Units:      viewUnits(j.Spec),
		},
		Status:          j.State,
		Retries:         j.Retries,
		MaxRetries:      j.Spec.MaxRetries,
		Requeues:        j.Requeues,
		Reruns:          j.Reruns,
		Attempt:         j.Attempts,
		Outcome:         outcome(j.Outcome),
		TimeoutSecs:     seconds(j.Spec.Compute.Timeout),
		CancelRequested: j.CancelRequested,
		CreatedAt:       j.CreatedAt.UTC(),
		ClaimedAt:       moment(j.ClaimedAt),
		StartedAt:       moment(j.StartedAt),
		CompletedAt:     moment(j.CompletedAt),
		AssignedRunner:  text(j.RunnerID),
		ErrorMessage:    text(j.ErrorMessage),
		PendingReason:   text(j.PendingReason),
	}
}

func viewRunner(r *platform.RunnerView) api.Runner {
	c := r.Capabilities
	c.SupportedSimulationTypes = list(c.SupportedSimulationTypes)
	c.GPUs, c.DefaultCPUMillis, c.DefaultMemoryBytes = int(r.GPUs), r.Default.CPUMillis, r.Default.MemoryBytes
	return api.Runner{
		RunnerID:        r.ID,
		Status:          r.State,
		Capabilities:    c,
		Drain:           r.Drain,
		Paused:          r.Paused,
		ActiveJobs:      r.ActiveJobs,
		Hostname:        r.Hostname,
		Version:         r.Version,
		Executor:        r.Executor,
		RegisteredAt:    r.RegisteredAt.UTC(),
		LastHeartbeatAt: r.SeenAt.UTC(),
	}
}

func viewParameters(s *platform.Spec, values []float64) map[string]float64 {
	m := make(map[string]float64, len(values))
	for i, c := range s.Columns {
		m[c.Name] = values[i]
	}
	return m
}

// viewUnits leaves out parameters without a unit.
func viewUnits(s *platform.Spec) map[string]string {
	m := map[string]string{}
	for _, c := range s.Columns {
		if c.Unit != "" {
			m[c.Name] = c.Unit
		}
	}
	return m
}

// text makes null of an empty text.
func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// outcome makes null of no outcome.
func outcome(o api.Outcome) *api.Outcome {
	if o == "" {
		return nil
	}
	return &o
}

// moment makes null of a time that has not come.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// seconds makes null of no time limit.
func seconds(d time.Duration) *int {
	if d == 0 {
		return nil
	}
	n := int(d / time.Second)
	return &n
}

// list makes an empty list of none, so that it is [] in JSON.
func list[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}
