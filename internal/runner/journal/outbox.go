package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// Put writes a result to the outbox, in place of an earlier one of the same
// attempt. The session in it is not meant: the sender fills in its own. When Put
// has returned, the result is on disk.
func (j *Journal) Put(report *runnerv1.ReportResultRequest) error {
	return j.write(outboxDir, report)
}

func (j *Journal) write(sub string, report *runnerv1.ReportResultRequest) error {
	id := report.GetAttempt().GetAttemptId()
	if !ValidName(id) {
		return fmt.Errorf("%s: attempt id %q cannot name a file", sub, id)
	}
	data, err := protojson.MarshalOptions{Multiline: true, UseProtoNames: true}.Marshal(report)
	if err != nil {
		return fmt.Errorf("%s: %w", sub, err)
	}
	if err := writeFile(filepath.Join(j.dir, sub), id, data); err != nil {
		return fmt.Errorf("%s: %w", sub, err)
	}
	return nil
}

// Pending returns every result in the outbox, by attempt id. One that can't be
// read is put aside in rejected/ and named in the second result.
func (j *Journal) Pending() (reports []*runnerv1.ReportResultRequest, rejected []string, err error) {
	return j.read(outboxDir)
}

func (j *Journal) read(sub string) (reports []*runnerv1.ReportResultRequest, rejected []string, err error) {
	dir := filepath.Join(j.dir, sub)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", sub, err)
	}
	for _, e := range entries {
		if report, ok := readReport(filepath.Join(dir, e.Name())); ok && report.GetAttempt().GetAttemptId() == e.Name() {
			reports = append(reports, report)
			continue
		}
		if err := os.Rename(filepath.Join(dir, e.Name()), filepath.Join(j.dir, rejectedDir, e.Name())); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", sub, err)
		}
		rejected = append(rejected, e.Name())
	}
	return reports, rejected, nil
}

func readReport(path string) (*runnerv1.ReportResultRequest, bool) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, false
	}
	report := &runnerv1.ReportResultRequest{}
	err = protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(data, report)
	return report, err == nil
}

// Reject puts a result that the platform calls invalid aside in rejected/, for a
// person, and forgets the attempt. When it has returned, the result is there.
func (j *Journal) Reject(report *runnerv1.ReportResultRequest) error {
	if err := j.write(rejectedDir, report); err != nil {
		return err
	}
	return j.Forget(report.GetAttempt().GetAttemptId())
}

// Accepted moves a result that the platform has acknowledged from the outbox to
// the uploads: what is left to do is to send the attempt's files. A crash leaves
// it in one of the two; in the outbox it is acknowledged once more. It is not
// synced for that reason. An error that wraps fs.ErrNotExist says that the result
// was not in the outbox.
func (j *Journal) Accepted(attemptID string) error {
	if !ValidName(attemptID) {
		return fmt.Errorf("uploads: attempt id %q cannot name a file", attemptID)
	}
	err := os.Rename(filepath.Join(j.dir, outboxDir, attemptID), filepath.Join(j.dir, uploadsDir, attemptID))
	if err == nil {
		return j.Forget(attemptID)
	}
	err = fmt.Errorf("uploads: %w", err)
	if errors.Is(err, fs.ErrNotExist) { // it never was on disk; other things of the attempt may be
		err = errors.Join(err, j.Forget(attemptID))
	}
	return err
}

// Uploads returns every acknowledged result whose files are not all sent, by
// attempt id. One that can't be read is put aside as by Pending.
func (j *Journal) Uploads() (reports []*runnerv1.ReportResultRequest, rejected []string, err error) {
	return j.read(uploadsDir)
}

// Uploaded removes an attempt from the uploads: its files are sent, or never will
// be. It is no error if it is not there.
func (j *Journal) Uploaded(attemptID string) error { return j.remove(attemptID, uploadsDir) }

// Forget removes the attempt from the outbox and from those in hand, and the reason
// for its kill: its result was acknowledged, or is of no use to anybody. It is no error
// if there is nothing.
func (j *Journal) Forget(attemptID string) error {
	return j.remove(attemptID, outboxDir, causesDir, attemptsDir, vacatedDir)
}

func (j *Journal) remove(attemptID string, from ...string) error {
	if !ValidName(attemptID) {
		return nil
	}
	var errs []error
	for _, sub := range from {
		if err := os.Remove(filepath.Join(j.dir, sub, attemptID)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Cause is why the runner kills an attempt.
type Cause struct {
	// Kind is the runner's word for it: "verdict", "timeout", …
	Kind string `json:"kind"`
	// Message is for people.
	Message string `json:"message"`
	// At is when the runner decided it; for a verdict, the sample's arrival.
	At time.Time `json:"at"`
	// Sample is what a verdict is about, encoded (telemetry.v1.Sample).
	Sample []byte `json:"sample,omitempty"`
}

// RecordCause writes why an attempt is about to be killed, for another process.
// SyncCause makes it survive a crash of the host, which takes longer than a kill can
// wait.
func (j *Journal) RecordCause(attemptID string, c Cause) error {
	if !ValidName(attemptID) {
		return fmt.Errorf("journal: attempt id %q cannot name a file", attemptID)
	}
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if err := replaceFile(filepath.Join(j.dir, causesDir), attemptID, append(data, '\n')); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// SyncCause syncs what RecordCause wrote.
func (j *Journal) SyncCause(attemptID string) error {
	dir := filepath.Join(j.dir, causesDir)
	for _, name := range []string{attemptID, ""} { // the file, and its name in the directory
		if err := syncPath(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
	}
	return nil
}

// CauseOf reads what RecordCause wrote; false if there is none.
func (j *Journal) CauseOf(attemptID string) (Cause, bool, error) {
	if !ValidName(attemptID) {
		return Cause{}, false, nil
	}
	data, err := os.ReadFile(filepath.Join(j.dir, causesDir, attemptID))
	if errors.Is(err, fs.ErrNotExist) {
		return Cause{}, false, nil
	}
	if err != nil {
		return Cause{}, false, fmt.Errorf("journal: %w", err)
	}
	var c Cause
	if err := json.Unmarshal(data, &c); err != nil {
		return Cause{}, false, fmt.Errorf("journal: cause of %s: %w", attemptID, err)
	}
	return c, true, nil
}

// ForgetCauses removes every recorded cause whose attempt is not in hand and has no
// result in the outbox: they belong to attempts that ended with an earlier process.
func (j *Journal) ForgetCauses() error {
	entries, err := os.ReadDir(filepath.Join(j.dir, causesDir))
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	for _, e := range entries {
		if j.has(outboxDir, e.Name()) || j.has(attemptsDir, e.Name()) {
			continue
		}
		if err := os.Remove(filepath.Join(j.dir, causesDir, e.Name())); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
	}
	return nil
}
