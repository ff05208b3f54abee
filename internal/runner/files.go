package runner

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tetryx/lynx-runner/executor"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// paths are an attempt's files on this host, absolute.
type paths struct {
	// dir is the attempt's directory, for people and for the executor. The others
	// reach into it through handle, so that they stay what they are if somebody
	// who may rename things in the output root puts a link in its place.
	dir          string
	handle       *os.File
	output, log  string // the job's user can write here, and nowhere else
	runConfig    string
	telemetryLog string
	parquet      string
	manifest     string
	// moving are output and log directory, where they may be elsewhere while the job
	// runs.
	moving []*os.File
}

func newPaths(dir string, handle *os.File) paths {
	own := ownPath(handle)
	return paths{
		dir: dir, handle: handle, output: filepath.Join(own, outputDir), log: filepath.Join(own, logDir),
		runConfig:    filepath.Join(own, runConfigFile),
		telemetryLog: filepath.Join(own, "telemetry.log"),
		parquet:      filepath.Join(own, parquetFile),
		manifest:     filepath.Join(own, manifestFile),
	}
}

// ownPath names an open directory, for this process alone, whatever its path
// has become.
func ownPath(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }

// close gives the handle back; what paths there are lead nowhere then.
func (p paths) close() {
	if p.handle != nil {
		p.handle.Close()
	}
	for _, f := range p.moving {
		f.Close()
	}
}

// removeReport removes what an executor kept to tell the attempt's end again.
func (p paths) removeReport() {
	if p.handle == nil {
		return
	}
	// Through no link that somebody puts in the way: the files may be their owner's now.
	if root, err := os.OpenRoot(ownPath(p.handle)); err == nil {
		_ = root.Remove(filepath.Join(logDir, executor.KeptReport))
		_ = root.Close()
	}
}

// readable puts the attempt's directory, as people know it, into a text.
func (p paths) readable(text string) string {
	if p.handle == nil {
		return text
	}
	for _, f := range p.moving {
		text = strings.ReplaceAll(text, ownPath(f)+"/", filepath.Join(p.dir, filepath.Base(f.Name()))+"/")
	}
	return strings.ReplaceAll(text, ownPath(p.handle)+"/", p.dir+"/")
}

// The names in an attempt's directory. An executor needs the first three.
const (
	outputDir     = "output"
	logDir        = "log"
	runConfigFile = "run_config.json"
	parquetFile   = "telemetry.parquet"
	manifestFile  = "manifest.json"
)

// makeDirectories makes the attempt's directory with run configuration, output
// and log directory, through the output root, whose owner may not be trusted
// with the runner's rights. If it fails half-way, the paths are those of what
// there is.
func (j *job) makeDirectories() (paths, error) {
	root, err := os.OpenRoot(j.r.cfg.OutputRoot)
	if err != nil {
		return paths{}, err
	}
	defer func() { _ = root.Close() }()
	rel, err := j.makeAttemptDir(root)
	if err != nil {
		return paths{}, err
	}
	handle, err := root.OpenFile(rel, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return paths{}, err
	}
	p := newPaths(filepath.Join(j.r.cfg.OutputRoot, rel), handle)
	return p, errors.Join(j.share(handle), j.makeWritable(p.output), j.makeWritable(p.log), j.writeRunConfig(p.runConfig))
}

// makeAttemptDir makes the attempt's own directory, with those above it, and
// returns its path in the output root. Whoever cleans there may remove one above
// as long as it is empty; it is then made again.
func (j *job) makeAttemptDir(root *os.Root) (rel string, err error) {
	for range 100 {
		if rel, err = j.tryAttemptDir(root); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return rel, err
}

func (j *job) tryAttemptDir(root *os.Root) (string, error) {
	parent := filepath.Join(j.a.GetBatchId(), fmt.Sprintf("%05d", j.a.GetRunIndex()))
	for _, p := range []string{j.a.GetBatchId(), parent} {
		if err := j.makeShared(root, p); err != nil {
			return "", err
		}
	}
	rel := filepath.Join(parent, fmt.Sprintf("attempt-%d", j.a.GetAttempt()))
	err := root.Mkdir(rel, 0o700)
	if errors.Is(err, fs.ErrExist) {
		// A platform that lost its last writes gives the same number out again.
		// What is there is never touched.
		t := j.a.GetToken()
		rel = fmt.Sprintf("%s.%d.%d", rel, t.GetEpoch(), t.GetCounter())
		err = root.Mkdir(rel, 0o700)
	}
	return rel, err
}

// share lets the job's user, and no other job's, into the attempt's directory.
func (j *job) share(dir *os.File) error {
	return errors.Join(dir.Chown(-1, j.slot.gid), dir.Chmod(0o750))
}

// makeWritable makes a directory for the job's user.
func (j *job) makeWritable(path string) error {
	return errors.Join(os.Mkdir(path, 0o750), os.Lchown(path, j.slot.uid, j.slot.gid))
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
func (j *job) writeRunConfig(path string) error {
	data, err := json.MarshalIndent(newRunConfig(j.a), "", "  ")
	if err != nil {
		return invalid("the run configuration cannot be written as JSON: %v", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
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
