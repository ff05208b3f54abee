package runner

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"time"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/runner/config"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// manifest is manifest.json: what ran, on what, with what result. Together with
// the working tree and the image that it names, it is enough to run it again.
type manifest struct {
	Version   int            `json:"manifest_version"`
	Run       runConfig      `json:"run"`
	AttemptID string         `json:"attempt_id"`
	Runner    manifestRunner `json:"runner"`
	Image     manifestImage  `json:"image"`
	Code      manifestCode   `json:"code"`
	Limits    manifestLimits `json:"limits"`
	// Relaxations are the ways in which the job was confined less than by default.
	Relaxations []config.Relaxation `json:"relaxations"`
	Isolation   manifestIsolation   `json:"isolation"`
	ClaimedAt   time.Time           `json:"claimed_at"`
	StartedAt   *time.Time          `json:"started_at,omitempty"`
	EndedAt     time.Time           `json:"ended_at"`
	Result      manifestResult      `json:"result"`
	// Artifacts are all of them, also those that a reported result had no room for.
	Artifacts []api.Artifact `json:"artifacts"`
}

// manifestResult is how it ended, in the words of the REST interface.
type manifestResult struct {
	Outcome      api.Outcome        `json:"outcome"`
	ErrorMessage string             `json:"error_message,omitempty"`
	ExitCode     *int32             `json:"exit_code,omitempty"`
	Signal       int32              `json:"signal,omitempty"`
	Usage        api.Usage          `json:"usage"`
	Breach       *manifestBreach    `json:"breach,omitempty"`
	Metrics      map[string]float64 `json:"metrics,omitempty"`
	Warnings     []string           `json:"warnings,omitempty"`
}

// manifestBreach is the condition that fired, and its sample.
type manifestBreach struct {
	Condition        string   `json:"condition"`
	Value            float64  `json:"value"`
	TimeSeconds      float64  `json:"time_seconds"`
	KillMilliseconds *float64 `json:"kill_milliseconds,omitempty"`
}

type manifestRunner struct {
	ID      string `json:"id"`
	Version string `json:"version"`
	Host    string `json:"host"`
	// Executor is what launched the job, with its version.
	Executor string `json:"executor"`
	// Engine is what knew how to.
	Engine string `json:"engine"`
}

type manifestImage struct {
	Reference string `json:"reference"`
	ID        string `json:"id"`
}

type manifestCode struct {
	WorkingDirectory string   `json:"working_directory"`
	Entrypoint       string   `json:"entrypoint"`
	Digest           string   `json:"digest"`
	Argv             []string `json:"argv"`
}

type manifestLimits struct {
	CPUMillis      int64   `json:"cpu_millis"`
	MemoryBytes    int64   `json:"memory_bytes"`
	Pids           int64   `json:"pids"`
	TimeoutSeconds float64 `json:"timeout_seconds"`
}

func (j *job) manifest(rec *record, result *runnerv1.Result) manifest {
	host, _ := os.Hostname() // for people only
	cfg := j.r.cfg
	m := manifest{
		Version: 1, Run: newRunConfig(j.a), AttemptID: j.a.GetAttemptId(),
		Runner: manifestRunner{
			ID: cfg.RunnerID, Version: j.r.deps.Version, Host: host,
			Executor: j.r.deps.Executor.Version(), Engine: rec.engine,
		},
		Image:  manifestImage{Reference: rec.image, ID: rec.imageID},
		Code:   manifestCode{WorkingDirectory: cfg.WorkingDirectory, Entrypoint: rec.entry, Digest: rec.digest, Argv: rec.spec.Argv},
		Limits: limitsOf(rec.spec), Relaxations: append([]config.Relaxation{}, cfg.Relaxations...), Isolation: j.isolation(),
		ClaimedAt: rec.claimed.UTC(), EndedAt: result.GetEndedAt().AsTime(),
		Result:    newManifestResult(result),
		Artifacts: make([]api.Artifact, 0, len(rec.collected.Artifacts)),
	}
	if !rec.started.IsZero() {
		at := rec.started.UTC()
		m.StartedAt = &at
	}
	for _, a := range rec.collected.Artifacts {
		m.Artifacts = append(m.Artifacts, api.Artifact{Name: a.Name, Size: a.Size, SHA256: a.SHA256})
	}
	return m
}

func newManifestResult(r *runnerv1.Result) manifestResult {
	u, b := r.GetUsage(), r.GetBreach()
	m := manifestResult{
		Outcome: api.Outcome(r.GetOutcome()), ErrorMessage: r.GetErrorMessage(), ExitCode: r.ExitCode, Signal: r.GetSignal(),
		Usage:   api.Usage{WallSeconds: u.GetWallSeconds(), CPUSeconds: u.GetCpuSeconds(), PeakMemoryBytes: u.GetPeakMemoryBytes()},
		Metrics: r.GetMetrics(), Warnings: r.GetWarnings(),
	}
	// A value that is not finite has no number in JSON; the message names it.
	if b != nil && !math.IsNaN(b.GetValue()) && !math.IsInf(b.GetValue(), 0) {
		m.Breach = &manifestBreach{
			Condition: b.GetCondition().GetName(), Value: b.GetValue(), TimeSeconds: b.GetTimeSeconds(), KillMilliseconds: b.KillMilliseconds,
		}
	}
	return m
}

func limitsOf(s executor.Spec) manifestLimits {
	l := manifestLimits{TimeoutSeconds: s.Timeout.Seconds()}
	if r := s.Sandbox.Resources; r.CPU != nil && r.Memory != nil && r.Pids != nil {
		l.CPUMillis = int64(math.Round(float64(*r.CPU.Quota) * 1000 / float64(*r.CPU.Period)))
		l.MemoryBytes, l.Pids = *r.Memory.Limit, *r.Pids.Limit
	}
	return l
}

// writeManifest writes manifest.json. A failure is a warning in the result: the
// result itself says the same.
func (j *job) writeManifest(ctx context.Context, rec *record, result *runnerv1.Result) {
	if rec.paths.dir == "" {
		return
	}
	err := j.untilSpace(ctx, rec, func() error {
		data, err := json.MarshalIndent(j.manifest(rec, result), "", "  ")
		if err != nil {
			return err
		}
		_ = os.Remove(rec.paths.manifest) // of an earlier process, or of before it was known that the files are not safe
		f, err := os.OpenFile(rec.paths.manifest, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		_, err = f.Write(append(data, '\n'))
		if err = errors.Join(err, f.Close()); err != nil {
			return errors.Join(err, os.Remove(rec.paths.manifest)) // half a manifest is worse than none
		}
		return nil
	})
	if err != nil {
		j.log.Warn("cannot write the manifest", "error", err)
		result.Warnings = append(result.Warnings, "manifest.json could not be written: "+rec.paths.readable(sentence(err.Error())))
	}
}
