package runner

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/tetryx/lynx-runner/executor"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// manifest is manifest.json: what ran, on what, with what result. Together with
// the working tree and the image that it names, it is enough to run it again.
type manifest struct {
	Version   int            `json:"manifest_version"`
	Run       runConfig      `json:"run"`
	AttemptID string         `json:"attempt_id"`
	Runner    manifestRunner `json:"runner"`
	Engine    manifestEngine `json:"engine"`
	Image     manifestImage  `json:"image"`
	Code      manifestCode   `json:"code"`
	Limits    manifestLimits `json:"limits"`
	ClaimedAt time.Time      `json:"claimed_at"`
	StartedAt *time.Time     `json:"started_at,omitempty"`
	EndedAt   time.Time      `json:"ended_at"`
	// Result is the reported result as the protocol's JSON, with every artifact.
	Result json.RawMessage `json:"result"`
}

type manifestRunner struct {
	ID       string `json:"id"`
	Version  string `json:"version"`
	Host     string `json:"host"`
	Executor string `json:"executor"`
}

type manifestEngine struct {
	Name string `json:"name"`
	// Version is the runner's: engines are a part of it. The simulation
	// framework's version is the image's.
	Version string `json:"version"`
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

func (j *job) manifest(rec *record, result *runnerv1.Result) (manifest, error) {
	host, _ := os.Hostname() // for people only
	cfg := j.r.cfg
	m := manifest{
		Version: 1, Run: newRunConfig(j.a), AttemptID: j.a.GetAttemptId(),
		Runner:    manifestRunner{ID: cfg.RunnerID, Version: j.r.deps.Version, Host: host, Executor: j.r.deps.Executor.Name()},
		Engine:    manifestEngine{Name: rec.engine, Version: j.r.deps.Version},
		Image:     manifestImage{Reference: j.image(), ID: rec.imageID},
		Code:      manifestCode{WorkingDirectory: cfg.WorkingDirectory, Entrypoint: rec.entry, Digest: rec.digest, Argv: rec.spec.Argv},
		Limits:    limitsOf(rec.spec),
		ClaimedAt: rec.claimed.UTC(), EndedAt: result.GetEndedAt().AsTime(),
	}
	if !rec.started.IsZero() {
		at := rec.started.UTC()
		m.StartedAt = &at
	}
	var err error
	m.Result, err = protojson.MarshalOptions{UseProtoNames: true}.Marshal(result)
	return m, err
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
func (j *job) writeManifest(rec *record, result *runnerv1.Result) {
	if rec.paths.dir == "" {
		return
	}
	err := func() error {
		m, err := j.manifest(rec, result)
		if err != nil {
			return err
		}
		data, err := json.MarshalIndent(m, "", "  ")
		if err != nil {
			return err
		}
		f, err := os.OpenFile(rec.paths.manifest, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		_, err = f.Write(append(data, '\n'))
		return errors.Join(err, f.Close())
	}()
	if err != nil {
		j.log.Warn("cannot write the manifest", "error", err)
		result.Warnings = append(result.Warnings, fmt.Sprintf("manifest.json could not be written: %s", sentence(err.Error())))
	}
}
