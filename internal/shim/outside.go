package shim

import (
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

// keep writes the report to the descriptor that waits for it, as one line: what
// lacks the line's end was not written whole. There is nobody to tell an error.
func (c Config) keep(report ExitReport) {
	if c.ReportFD == 0 {
		return
	}
	line, err := json.Marshal(report)
	if err != nil {
		return
	}
	f := os.NewFile(uintptr(c.ReportFD), "report")
	if f == nil {
		return
	}
	_, _ = f.WriteAt(append(line, '\n'), 0)
}
