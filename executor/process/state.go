package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tetryx/lynx-runner/internal/shim"
)

// The files of an attempt's directory below Config.Dir.
const (
	stateFile  = "state.json"
	reportFile = "report.json"
)

// state is what a restarted runner needs to know of an attempt. It is written
// before anything is made that it names, and again with the shim's process before
// that starts the job.
type state struct {
	AttemptID  string    `json:"attempt_id"`
	RuntimeDir string    `json:"runtime_dir"`
	Scratch    scratch   `json:"scratch"`
	Cgroup     *group    `json:"cgroup,omitempty"`
	LogDir     string    `json:"log_dir"`
	LogHead    int64     `json:"log_head"`
	LogTail    int64     `json:"log_tail"`
	UID        uint32    `json:"uid"`
	Memory     int64     `json:"memory_limit"`
	KillAfter  int64     `json:"kill_after_millis"`
	Started    time.Time `json:"started"`
	// PID is the shim's, 0 before it was started; with its start time in clock
	// ticks since boot, and which boot that was, it is unique for all time.
	PID       int    `json:"pid,omitempty"`
	StartTime uint64 `json:"start_time,omitempty"`
	Boot      string `json:"boot,omitempty"`
}

// thisBoot tells one boot of the machine from another.
func thisBoot() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b))
}

func (e *Executor) dir(attempt string) string { return filepath.Join(e.cfg.Dir, attempt) }

// save writes a state, whole or not at all.
func (e *Executor) save(s state) error {
	dir := e.dir(s.AttemptID)
	data, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("state of the attempt: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("state of the attempt: %w", err)
	}
	temporary := filepath.Join(dir, stateFile+".new")
	if err := os.WriteFile(temporary, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("state of the attempt: %w", err)
	}
	if err := os.Rename(temporary, filepath.Join(dir, stateFile)); err != nil {
		return fmt.Errorf("state of the attempt: %w", err)
	}
	return nil
}

// errDamaged says that a state file is there and makes no sense.
var errDamaged = errors.New("the state file is damaged")

// load reads a state. An error that wraps fs.ErrNotExist says that there is none.
func (e *Executor) load(attempt string) (state, error) {
	path := filepath.Join(e.dir(attempt), stateFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return state{}, err
	}
	var s state
	if err := json.Unmarshal(data, &s); err != nil {
		return state{}, fmt.Errorf("%s: %w: %w", path, errDamaged, err)
	}
	if s.AttemptID != attempt || s.PID < 0 || !filepath.IsAbs(s.RuntimeDir) || !filepath.IsAbs(string(s.Scratch)) {
		return state{}, fmt.Errorf("%s: %w: it is not that of attempt %s", path, errDamaged, attempt)
	}
	return s, nil
}

// forgetState deletes an attempt's directory.
func (e *Executor) forgetState(attempt string) error { return os.RemoveAll(e.dir(attempt)) }

// savedReport reads the report that the shim left, and when. nil if there is none,
// only a part of one, or one that no shim writes.
func (e *Executor) savedReport(attempt string) (*shim.ExitReport, time.Time) {
	f, err := os.Open(filepath.Join(e.dir(attempt), reportFile))
	if err != nil {
		return nil, time.Time{}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, reportLimit))
	info, statErr := f.Stat()
	if err != nil || statErr != nil {
		return nil, time.Time{}
	}
	r, err := shim.ReadReport(data)
	if err != nil {
		return nil, time.Time{}
	}
	return &r, info.ModTime()
}

// known lists the attempts that have a directory.
func (e *Executor) known() ([]string, error) {
	entries, err := os.ReadDir(e.cfg.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("attempts of an earlier process: %w", err)
	}
	var ids []string
	for _, entry := range entries {
		if entry.IsDir() && attemptName.MatchString(entry.Name()) {
			ids = append(ids, entry.Name())
		}
	}
	return ids, nil
}
