package docker

import (
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/shim"
)

// logs is where an attempt's logs are, and how much of them is kept.
type logs struct {
	dir        string
	head, tail int64
}

// keptReport is what the shim kept for a runner that was away; nil if it did not.
func (l logs) keptReport() *shim.ExitReport {
	if l.dir == "" {
		return nil
	}
	report, err := shim.KeptReport(filepath.Join(l.dir, executor.KeptReport))
	if err != nil {
		return nil
	}
	return &report
}

// finish puts the logs together where the shim was killed before it could, and
// counts them. The problem is a sentence; empty if there was none. No process of
// the attempt may live.
func (l logs) finish() (counts executor.Logs, problem string) {
	if l.dir == "" {
		return counts, ""
	}
	for _, stream := range []struct {
		name string
		stat *executor.LogStat
	}{{stdoutLog, &counts.Stdout}, {stderrLog, &counts.Stderr}} {
		r, err := shim.FinishLog(filepath.Join(l.dir, stream.name), l.head, l.tail)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			problem = "the end of a log is missing: " + err.Error()
		}
		*stream.stat = executor.LogStat(r)
	}
	return counts, problem
}
