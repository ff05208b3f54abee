package shared

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tetryx/lynx-runner/executor"
)

// dirs are a container's directories on the host.
type dirs struct {
	// root is mounted as the output; note, beside it, says whose directories are in
	// it. runtime is mounted read-only.
	root, note, runtime string
}

// The names in root; executor.ServedOutput and ServedLog in the container.
const (
	outName = "out"
	logName = "log"
)

// noteSuffix is that of the file that says whose directories are in a root.
const noteSuffix = ".job"

// note is where the directories in a root belong.
type note struct {
	Output string `json:"output"`
	Log    string `json:"log"`
}

func makeDirs(parent, id, sockets string) (d dirs, err error) {
	d = dirs{root: filepath.Join(parent, id), note: filepath.Join(parent, id+noteSuffix)}
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return d, err
	}
	if err := os.Mkdir(d.root, 0o755); err != nil {
		return d, err
	}
	if d.runtime, err = os.MkdirTemp(sockets, ""); err != nil {
		return d, errors.Join(err, os.Remove(d.root))
	}
	return d, errors.Join(os.Chmod(d.root, 0o755), os.Chmod(d.runtime, 0o755)) // whatever the umask
}

// remove deletes them. A job's directories must not be in them any more.
func (d dirs) remove() error {
	return errors.Join(os.RemoveAll(d.root), os.RemoveAll(d.note), os.RemoveAll(d.runtime))
}

// spec is the container's own specification.
func (d dirs) spec(id string, job executor.Spec) executor.Spec {
	s := job
	s.AttemptID, s.JobID, s.Shared, s.Serve = id, "", nil, true
	s.RunnerLoss = lossWithin
	s.Argv = append(slices.Clone(job.Shared.Server), job.Argv[1:]...)
	s.OutputDir, s.LogDir, s.RunConfig, s.RuntimeDir = d.root, filepath.Join(d.root, logName), "", d.runtime
	s.Env = slices.Clone(job.Env)
	for i, kv := range s.Env {
		switch name, _, _ := strings.Cut(kv, "="); name {
		case "TETRYX_OUTPUT_DIR":
			s.Env[i] = name + "=" + executor.ServedOutput
		case "TETRYX_RUN_CONFIG":
			s.Env[i] = name + "=" + executor.ServedRunConfig
		}
	}
	return s
}

// keyOf is what jobs have in common that can share a container.
func keyOf(spec executor.Spec) string {
	spec.AttemptID, spec.JobID = "", ""
	spec.OutputDir, spec.LogDir, spec.RunConfig, spec.RuntimeDir = "", "", "", ""
	text, err := json.Marshal(spec)
	if err != nil {
		return "" // it has nothing that JSON has not
	}
	return string(text)
}

// bringIn puts a job's things into the container's directories.
func (d dirs) bringIn(spec executor.Spec) error {
	text, err := json.Marshal(note{Output: spec.OutputDir, Log: spec.LogDir})
	if err != nil {
		return err
	}
	if err := os.WriteFile(d.note, text, 0o600); err != nil {
		return err
	}
	config, err := os.ReadFile(spec.RunConfig)
	if err != nil {
		return err
	}
	file := filepath.Join(d.runtime, filepath.Base(executor.ServedRunConfig))
	if err := errors.Join(os.WriteFile(file, config, 0o644), os.Chmod(file, 0o644)); err != nil {
		return err
	}
	if spec.Telemetry {
		// A name of the same socket: who connects here comes out there.
		if err := os.Link(filepath.Join(spec.RuntimeDir, executor.TelemetrySocket), filepath.Join(d.runtime, executor.TelemetrySocket)); err != nil {
			return err
		}
	}
	return errors.Join(os.Rename(spec.OutputDir, filepath.Join(d.root, outName)), os.Rename(spec.LogDir, filepath.Join(d.root, logName)))
}

// takeOut takes them away again, as far as they are there. No process of the job
// may live.
func (d dirs) takeOut(spec executor.Spec) error {
	var errs []error
	for _, name := range []string{filepath.Base(executor.ServedRunConfig), executor.TelemetrySocket} {
		if err := os.Remove(filepath.Join(d.runtime, name)); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, bringBack(d.root, note{Output: spec.OutputDir, Log: spec.LogDir}), os.Remove(d.note))...)
}

// bringBack renames a job's directories to where they belong.
func bringBack(root string, n note) error {
	var errs []error
	for name, home := range map[string]string{outName: n.Output, logName: n.Log} {
		if err := os.Rename(filepath.Join(root, name), home); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Dir is the directory for the mounts of a runner's containers (Config.Dir).
func Dir(outputRoot, runnerID string) string {
	return filepath.Join(outputRoot, ".lynx-shared-"+runnerID)
}

// Sweep brings back what an earlier process left below dir, and removes it. No
// container may run there.
func Sweep(dir string) error {
	notes, err := filepath.Glob(filepath.Join(dir, "*"+noteSuffix))
	if err != nil {
		return err
	}
	for _, file := range notes {
		var n note
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		// A note that was not written whole is of a job that never was brought in.
		if json.Unmarshal(text, &n) == nil {
			_ = bringBack(strings.TrimSuffix(file, noteSuffix), n) // its attempt may be gone
		}
	}
	return os.RemoveAll(dir)
}
