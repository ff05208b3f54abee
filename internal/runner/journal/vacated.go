package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Vacated notes that an attempt in hand uses nothing of the host any more: another
// may have its user, GPUs, CPU and memory from now on, and so a later process must
// not take them again for this one. Like the attempt itself it is not synced.
func (j *Journal) Vacated(attemptID string) error {
	if !ValidName(attemptID) {
		return fmt.Errorf("vacated: attempt id %q cannot name a file", attemptID)
	}
	f, err := os.OpenFile(filepath.Join(j.dir, vacatedDir, attemptID), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("vacated: %w", err)
	}
	return f.Close()
}

// forgetVacated removes the notes on attempts that are not in hand any more.
func (j *Journal) forgetVacated() error {
	entries, err := os.ReadDir(filepath.Join(j.dir, vacatedDir))
	if err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if !j.has(attemptsDir, e.Name()) {
			errs = append(errs, os.Remove(filepath.Join(j.dir, vacatedDir, e.Name())))
		}
	}
	return errors.Join(errs...)
}
