package runner

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// paths are an attempt's files on this host, absolute.
type paths struct {
	dir          string
	output, log  string // the job's user can write here, and nowhere else
	runConfig    string
	telemetryLog string
	parquet      string
	manifest     string
}

func newPaths(dir string) paths {
	return paths{
		dir: dir, output: filepath.Join(dir, "output"), log: filepath.Join(dir, "log"),
		runConfig:    filepath.Join(dir, "run_config.json"),
		telemetryLog: filepath.Join(dir, "telemetry.log"),
		parquet:      filepath.Join(dir, "telemetry.parquet"),
		manifest:     filepath.Join(dir, "manifest.json"),
	}
}

// makeDirectories makes the attempt's directory with run configuration, output
// and log directory, through the output root, whose owner may not be trusted
// with the runner's rights.
func (j *job) makeDirectories() (dir string, err error) {
	root, err := os.OpenRoot(j.r.cfg.OutputRoot)
	if err != nil {
		return "", err
	}
	defer func() { _ = root.Close() }()
	parent := filepath.Join(j.a.GetBatchId(), fmt.Sprintf("%05d", j.a.GetRunIndex()))
	for _, p := range []string{j.a.GetBatchId(), parent} {
		if err := j.makeShared(root, p); err != nil {
			return "", err
		}
	}
	rel := filepath.Join(parent, fmt.Sprintf("attempt-%d", j.a.GetAttempt()))
	err = root.Mkdir(rel, 0o755)
	if errors.Is(err, fs.ErrExist) {
		// A platform that lost its last writes gives the same number out again.
		// What is there is never touched.
		t := j.a.GetToken()
		rel = fmt.Sprintf("%s.%d.%d", rel, t.GetEpoch(), t.GetCounter())
		err = root.Mkdir(rel, 0o755)
	}
	if err != nil {
		return "", err
	}
	for _, sub := range []string{"output", "log"} {
		p := filepath.Join(rel, sub)
		if err := errors.Join(root.Mkdir(p, 0o750), root.Lchown(p, j.slot.uid, j.slot.gid)); err != nil {
			return "", err
		}
	}
	return filepath.Join(j.r.cfg.OutputRoot, rel), j.writeRunConfig(root, filepath.Join(rel, "run_config.json"))
}

// makeShared makes a directory that attempts share, for the results' owner.
func (j *job) makeShared(root *os.Root, path string) error {
	err := root.Mkdir(path, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil && j.r.owner != nil {
		err = root.Lchown(path, j.r.owner.UID, j.r.owner.GID)
	}
	return err
}

// runConfig is the file that TETRYX_RUN_CONFIG names. Its keys are a contract
// with scenarios.
type runConfig struct {
	BatchID    string             `json:"batch_id"`
	JobID      string             `json:"job_id"`
	RunID      string             `json:"run_id"`
	RunIndex   uint64             `json:"run_index"`
	Attempt    uint32             `json:"attempt"`
	Seed       uint64             `json:"seed"`
	Simulation simulation         `json:"simulation"`
	Parameters map[string]float64 `json:"parameters"`
	Units      map[string]string  `json:"units"`
}

type simulation struct {
	Type            string   `json:"type"`
	Name            string   `json:"name"`
	Version         string   `json:"version"`
	DurationMinutes *float64 `json:"duration_minutes,omitempty"`
}

func newRunConfig(a *runnerv1.Assignment) runConfig {
	s := a.GetSimulation()
	c := runConfig{
		BatchID: a.GetBatchId(), JobID: a.GetJobId(), RunID: strconv.FormatUint(a.GetRunIndex(), 10), RunIndex: a.GetRunIndex(),
		Attempt: a.GetAttempt(), Seed: a.GetSeed(),
		Simulation: simulation{Type: s.GetType(), Name: s.GetName(), Version: s.GetVersion()},
		Parameters: map[string]float64{}, Units: map[string]string{},
	}
	if s != nil {
		c.Simulation.DurationMinutes = s.DurationMinutes
	}
	for _, p := range a.GetParameters() {
		c.Parameters[p.GetName()] = p.GetValue()
		if p.GetUnit() != "" {
			c.Units[p.GetName()] = p.GetUnit()
		}
	}
	return c
}

// writeRunConfig writes the run configuration, which every user can read.
func (j *job) writeRunConfig(root *os.Root, path string) error {
	data, err := json.MarshalIndent(newRunConfig(j.a), "", "  ")
	if err != nil {
		return invalid("the run configuration cannot be written as JSON: %v", err)
	}
	f, err := root.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(data, '\n'))
	// The process's umask may have taken bits away.
	return errors.Join(err, f.Chmod(0o644), f.Close())
}

// makeRuntimeDir makes the directory of the attempt's sockets. Only its parent
// keeps other users of the host out: inside a container it is mounted by itself.
func (j *job) makeRuntimeDir(rec *record) error {
	dir, err := os.MkdirTemp(j.r.sockets, "")
	if err != nil {
		return fmt.Errorf("runtime directory: %w", err)
	}
	rec.spec.RuntimeDir = dir
	if err := os.Chmod(dir, 0o755); err != nil {
		return errors.Join(fmt.Errorf("runtime directory: %w", err), os.RemoveAll(dir))
	}
	return nil
}
