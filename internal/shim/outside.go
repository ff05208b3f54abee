package shim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// limit sets the configured resource limits, as far as the shim's own hard limits
// reach: to lower one needs no right, to raise one does.
func (c Config) limit() error {
	for _, l := range c.Rlimits {
		var now unix.Rlimit
		if err := unix.Getrlimit(l.Resource, &now); err != nil {
			return fmt.Errorf("resource limit %d: %w", l.Resource, err)
		}
		hard := min(l.Hard, now.Max)
		to := unix.Rlimit{Cur: min(l.Soft, hard), Max: hard}
		if err := unix.Setrlimit(l.Resource, &to); err != nil {
			return fmt.Errorf("set resource limit %d to %d: %w", l.Resource, hard, err)
		}
	}
	return nil
}

// reportSpace is what a file for the report takes of the disk from the job's start on:
// the disk may be full at its end. Few reports are longer. It is written, because no job
// may call fallocate, nor its shim.
const reportSpace = 4 << 10

// reportFile is where the report is to be kept; nil for nowhere. There is nobody to tell
// an error.
func (c Config) reportFile() *os.File {
	if c.ReportFD != 0 {
		return os.NewFile(uintptr(c.ReportFD), "report")
	}
	if c.Report == "" || c.Serve {
		return nil
	}
	f, err := os.OpenFile(c.Report, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil
	}
	_, _ = f.Write(bytes.Repeat([]byte(" "), reportSpace))
	return f
}

// keep writes the report to the file that waits for it, as one line: what lacks the
// line's end was not written whole.
func keep(f *os.File, report ExitReport) {
	if f == nil {
		return
	}
	if line, err := json.Marshal(report); err == nil {
		n, _ := f.WriteAt(append(line, '\n'), 0)
		_ = f.Truncate(int64(n))
	}
}
