//go:build engine

package soak

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/tests/internal/stand"
)

// maxRequeues is how often the platform gives a job out again that is not to blame.
const maxRequeues = 3

// judge compares what came of every job that there is with what must have.
func (s *site) judge(t *testing.T, l *load) {
	t.Helper()
	for batch := range l.open {
		b, err := s.Client.Batch(t.Context(), batch)
		stand.Must(t, err)
		k, err := kindOf(b.Batch.SimulationName)
		stand.Must(t, err)
		results := s.Results(t, batch)
		if len(results) != b.Batch.TotalJobs {
			t.Errorf("batch %s has %d results of %d jobs", batch, len(results), b.Batch.TotalJobs)
		}
		s.tally.add("batches", 1)
		for _, r := range results {
			s.judgeJob(t, k, r)
		}
	}
}

func (s *site) judgeJob(t *testing.T, k kind, r api.RunRow) {
	t.Helper()
	s.tally.add("jobs", 1)
	s.tally.outcome(k.name, stand.Outcome(r))
	s.tally.add("attempts", r.Attempt)
	s.tally.add("retries", r.Retries)
	s.tally.add("requeues", r.Requeues)
	s.tally.add("warnings", len(r.Warnings))
	var wrong []string
	complain := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	// One that was cancelled may have waited for another attempt.
	attempts := 1 + r.Retries + r.Requeues
	waited := k.outcome == api.OutcomeCancelled && r.Attempt == attempts-1
	if r.Attempt != attempts && !waited || r.Retries > k.retries || r.Requeues > maxRequeues {
		complain("attempt %d after %d retries and %d requeues", r.Attempt, r.Retries, r.Requeues)
	}
	switch {
	case stand.Outcome(r) == api.OutcomeInfrastructure && r.Requeues == maxRequeues:
		s.tally.add("jobs that faults ended every attempt of", 1)
		t.Logf("job %s, %s: %s", r.JobID, k.name, stand.Message(r))
	case stand.Outcome(r) != k.outcome:
		complain("outcome %q, want %q", stand.Outcome(r), k.outcome)
	case !waited:
		s.judgeEnd(t, k, r, complain)
	}
	if len(wrong) > 0 {
		t.Errorf("job %s, %s, in %s: %s\nmessage: %s\nwarnings: %q", r.JobID, k.name, r.Directory, strings.Join(wrong, "; "), stand.Message(r), r.Warnings)
	}
}

// judgeEnd looks at what an attempt left that ended as it had to.
func (s *site) judgeEnd(t *testing.T, k kind, r api.RunRow, complain func(string, ...any)) {
	t.Helper()
	if r.Directory == "" { // it was cancelled before it was started
		return
	}
	result, err := s.Client.JobResult(t.Context(), r.JobID)
	stand.Must(t, err)
	if k.code != 0 && (result.ExitCode == nil || *result.ExitCode != k.code) {
		complain("exit code %v, want %d", result.ExitCode, k.code)
	}
	if k.signal != 0 && (result.Signal == nil || *result.Signal != k.signal) {
		complain("signal %v, want %d", result.Signal, k.signal)
	}
	for _, name := range []string{"stdout.log", "stderr.log"} {
		text, _ := os.ReadFile(filepath.Join(r.Directory, "log", name))
		n := strings.Count(string(text), "\n")
		// What waits for space goes with its shim, where the runner ends the job.
		switch waited := k.outcome == api.OutcomeEarlyTermination && s.wasFull(r); {
		case n < steps && waited:
			s.tally.add("logs cut short by the end of a job on a full disk", 1)
		case n > steps || n < steps && k.samples > 0:
			complain("%s has %d lines, want %d", name, n, steps)
		}
		if string(text) != numbered("line", n) {
			complain("%s is not what the job wrote: %d lines, and ends with %q", name, n, text[max(0, len(text)-40):])
		}
	}
	s.judgeTelemetry(k, r, complain)
	if len(r.Artifacts) != k.files {
		complain("%d artifacts, want %d", len(r.Artifacts), k.files)
	}
	s.judgeFiles(t, k, r, complain)
}

// wasFull reports whether the disk of an attempt's files was full at any time while it
// ran.
func (s *site) wasFull(r api.RunRow) bool {
	if r.StartedAt == nil || r.CompletedAt == nil {
		return false
	}
	return slices.ContainsFunc(s.full, func(f span) bool {
		return strings.HasPrefix(r.Directory, f.dir+"/") && r.StartedAt.Before(f.until) && r.CompletedAt.After(f.from)
	})
}

// numbered is what a job writes: lines that count.
func numbered(word string, n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "%s %d\n", word, i+1)
	}
	return text.String()
}

// judgeTelemetry looks for samples that are missing, or there twice.
func (s *site) judgeTelemetry(k kind, r api.RunRow, complain func(string, ...any)) {
	path := filepath.Join(r.Directory, "telemetry.parquet")
	rows, err := parquet.ReadFile[struct {
		Time float64 `parquet:"time"`
	}](path)
	if _, gone := os.Stat(path); gone != nil && k.samples == 0 {
		return // it was ended before it sent any
	}
	if err != nil {
		complain("%v", err)
	}
	for i, row := range rows {
		if row.Time != float64(i+1) {
			complain("telemetry has sample %v where %d should be", row.Time, i+1)
			break
		}
	}
	if k.samples > 0 && len(rows) != k.samples || r.Telemetry != nil && (r.Telemetry.Samples != uint64(len(rows)) || r.Telemetry.DroppedSamples > 0) {
		complain("telemetry has %d samples, and counts %+v, want %d", len(rows), r.Telemetry, k.samples)
	}
}

// judgeFiles compares what the platform keeps with what the host has.
func (s *site) judgeFiles(t *testing.T, k kind, r api.RunRow, complain func(string, ...any)) {
	t.Helper()
	var names []string
	for _, a := range r.Artifacts {
		names = append(names, a.Name)
		host, err := os.ReadFile(filepath.Join(r.Directory, "output", a.Name))
		if err != nil || fmt.Sprintf("%x", sha256.Sum256(host)) != a.SHA256 {
			complain("%s differs from its artifact: %v", a.Name, err)
		}
		d, err := s.Client.Download(t.Context(), r.JobID, a.Name, r.Attempt)
		if err != nil {
			complain("%v", err)
			continue
		}
		if kept, err := io.ReadAll(d); err != nil || string(kept) != string(host) {
			complain("the platform's %s differs: %v", a.Name, err)
		}
		stand.Must(t, d.Close())
	}
	slices.Sort(names)
	if there := stand.Below(filepath.Join(r.Directory, "output")); !slices.Equal(names, there) {
		complain("the host has %q, the platform %q", there, names)
	}
	host, err := os.ReadFile(filepath.Join(r.Directory, "log", "stdout.log"))
	if err != nil && k.samples == 0 {
		return // it was ended before it began
	}
	log, err := s.Client.Logs(t.Context(), r.JobID, api.LogQuery{Attempt: r.Attempt})
	if err != nil {
		complain("%v", err)
		return
	}
	if kept, err := io.ReadAll(log); err != nil || string(kept) != string(host) {
		complain("the platform's log has %d bytes, the host's %d: %v", len(kept), len(host), err)
	}
	stand.Must(t, log.Close())
}

// leftovers are what should have gone with the attempts, now that everything has
// been stopped but the engine.
func (s *site) leftovers(t *testing.T) (left []string) {
	t.Helper()
	for _, w := range s.workers {
		left = append(left, w.Leftovers(t)...)
		left = append(left, w.users.Processes(t)...)
		for _, f := range stand.Below(filepath.Join(w.Dir, "state", "process")) {
			left = append(left, "file of a process "+f)
		}
		if w.engine == nil {
			continue
		}
		for _, line := range strings.Fields(stand.Docker(t, s.engine.Socket, "ps", "--all", "--format", "{{.Names}}")) {
			left = append(left, "container "+line)
		}
		for _, group := range stand.Cgroups(w.engine.Containers()...) {
			// An engine that was ended in the middle of a container's life may forget the
			// group when it removes the container. It costs nothing once nobody is in it.
			if s.tally.engineEnded() && os.Remove(group) == nil {
				s.tally.add("empty control groups that the engine has left", 1)
			} else {
				left = append(left, group)
			}
		}
	}
	for _, line := range strings.Fields(stand.Docker(t, s.engine.Socket, "volume", "ls", "--quiet")) {
		left = append(left, "volume "+line)
	}
	for _, line := range strings.Fields(stand.Docker(t, s.engine.Socket, "network", "ls", "--quiet", "--filter", "type=custom")) {
		left = append(left, "network "+line)
	}
	for _, name := range stand.Below(filepath.Join(s.Dir, "lock")) {
		if held(t, filepath.Join(s.Dir, "lock", name)) {
			left = append(left, "lock "+name)
		}
	}
	return left
}
