package sqlite

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/platform"
	"github.com/tetryx/lynx-runner/internal/platform/store/sqlite/query"
)

// This file maps records to rows.

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func timeOf(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

func pack(values []float64) []byte {
	b := make([]byte, 0, 8*len(values))
	for _, v := range values {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	return b
}

func unpack(b []byte) []float64 {
	values := make([]float64, len(b)/8)
	for i := range values {
		values[i] = math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))
	}
	return values
}

func batchOf(r *query.Batch, spec *platform.Spec) platform.Batch {
	return platform.Batch{
		ID: r.ID, Seq: r.Seq, State: api.BatchState(r.State),
		Counts: platform.Counts{
			Pending: int(r.Pending), Claimed: int(r.Claimed), Running: int(r.Running), Completed: int(r.Completed),
			Failed: int(r.Failed), Timeout: int(r.Timeout), Cancelled: int(r.Cancelled),
		},
		CancelRequested: r.CancelRequested,
		CreatedAt:       timeOf(r.CreatedAt), StartedAt: timeOf(r.StartedAt), CompletedAt: timeOf(r.CompletedAt),
		Revision: uint64(r.Revision), Spec: spec,
		Ended: int(r.Ended), EndedFor: time.Duration(r.EndedFor) * time.Microsecond,
	}
}

func jobOf(r *query.Job, batchID string, createdAt int64) platform.Job {
	return platform.Job{
		ID: r.ID, BatchID: batchID, RunIndex: int(r.RunIndex), Seed: uint64(r.Seed), Values: unpack(r.Sample),
		State: api.JobState(r.State), Retries: int(r.Retries), Requeues: int(r.Requeues), Reruns: int(r.Reruns),
		Attempts: int(r.Attempts), Reported: int(r.Reported),
		Token:   platform.Token{Epoch: uint64(r.TokenEpoch), Counter: uint64(r.TokenCounter)},
		Outcome: api.Outcome(r.Outcome), ErrorMessage: r.ErrorMessage,
		CancelRequested: r.CancelRequested, RunnerID: r.RunnerID,
		CreatedAt: timeOf(createdAt), ClaimedAt: timeOf(r.ClaimedAt),
		StartedAt: timeOf(r.StartedAt), CompletedAt: timeOf(r.CompletedAt),
	}
}

func attemptOf(r *query.Attempt) platform.Attempt {
	return platform.Attempt{
		JobID: r.JobID, Number: int(r.Number),
		Token:    platform.Token{Epoch: uint64(r.TokenEpoch), Counter: uint64(r.TokenCounter)},
		RunnerID: r.RunnerID, SessionID: r.SessionID,
		ClaimedAt: timeOf(r.ClaimedAt), StartedAt: timeOf(r.StartedAt), EndedAt: timeOf(r.EndedAt),
		Outcome: api.Outcome(r.Outcome), ErrorMessage: r.ErrorMessage, HasResult: r.HasResult,
	}
}

func runnerOf(r *query.Runner) (platform.Runner, error) {
	out := platform.Runner{
		ID: r.ID, InstallationID: r.InstallationID, SessionID: r.SessionID,
		Version: r.Version, Hostname: r.Hostname, Executor: r.Executor,
		GPUs:    r.Gpus,
		Default: platform.Resources{CPUMillis: r.DefaultCpuMillis, MemoryBytes: r.DefaultMemoryBytes},
		Drain:   r.Drain, Draining: r.Draining, Paused: r.Paused, SignedOff: r.SignedOff,
		RegisteredAt: timeOf(r.RegisteredAt), SeenAt: timeOf(r.SeenAt),
	}
	if err := json.Unmarshal(r.Capabilities, &out.Capabilities); err != nil {
		return out, fmt.Errorf("capabilities of runner %s in the database: %w", r.ID, err)
	}
	return out, nil
}

// specCache keeps the specs of the batches that were used last: each read of a
// batch needs its spec, which never changes and may be long.
type specCache struct {
	mu    sync.Mutex
	specs map[string]*platform.Spec // by batch id: a Seq is given again after a rollback
}

// maxSpecs bounds the cache. A full one is emptied: what is in use is back soon.
const maxSpecs = 256

func (c *specCache) get(batchID string) *platform.Spec {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.specs[batchID]
}

func (c *specCache) put(batchID string, spec *platform.Spec) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.specs == nil || len(c.specs) >= maxSpecs {
		c.specs = map[string]*platform.Spec{}
	}
	c.specs[batchID] = spec
}
