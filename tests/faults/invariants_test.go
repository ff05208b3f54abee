//go:build engine

package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/tests/internal/stand"
)

// verdict is what must come of each job of a cell.
type verdict struct {
	outcome api.Outcome
	// first is the end of the first attempt where the fault took it and the job is
	// run again.
	first api.Outcome
	// any says that it does not matter how many attempts the fault took.
	any bool
}

var (
	// kept is a job whose one attempt came through the fault.
	kept = verdict{outcome: api.OutcomeCompleted}
	// failed is the same of one that fails by its own fault.
	failed = verdict{outcome: api.OutcomeNonzeroExit}
	// requeued is a job that the fault took an attempt of.
	requeued = verdict{outcome: api.OutcomeCompleted, first: api.OutcomeInfrastructure}
	// missed is one of which the runner never heard.
	missed = verdict{outcome: api.OutcomeCompleted, first: api.OutcomeLeaseLost}
	// whole is one that may have lost attempts, and is complete in the end.
	whole = verdict{outcome: api.OutcomeCompleted, any: true}
)

// String is the verdict as the document tells it.
func (v verdict) String() string {
	switch {
	case v.any:
		return fmt.Sprintf("`%s`, whichever attempt", v.outcome)
	case v.first != "":
		return fmt.Sprintf("`%s`, then `%s`", v.first, v.outcome)
	}
	return fmt.Sprintf("`%s`, first attempt", v.outcome)
}

// judge compares what came of a batch with what must have.
func (s *site) judge(t *testing.T, v verdict, batch string, runs int) {
	t.Helper()
	results := s.Results(t, batch)
	if len(results) != runs {
		t.Errorf("%d results, want %d", len(results), runs)
	}
	for _, r := range results {
		if stand.Outcome(r) != v.outcome || !v.any && (r.Requeues > 0) != (v.first != "") || r.Retries > 0 {
			t.Errorf("job %s: %s, attempt %d, %d requeues, %d retries: %s", r.JobID, stand.Outcome(r), r.Attempt, r.Requeues, r.Retries, stand.Message(r))
		}
		s.complete(t, r)
	}
}

// complete looks for what is missing of a job's log, telemetry and files.
func (s *site) complete(t *testing.T, r api.RunRow) {
	t.Helper()
	var want strings.Builder
	for i := range 2 * lines {
		fmt.Fprintf(&want, "line %d\n", i+1)
	}
	got, err := os.ReadFile(filepath.Join(r.Directory, "log", "stdout.log"))
	stand.Must(t, err)
	if string(got) != want.String() {
		t.Errorf("stdout has %d lines, want %d, and ends with %q", strings.Count(string(got), "\n"), 2*lines, got[max(0, len(got)-40):])
	}
	if text, err := os.ReadFile(filepath.Join(r.Directory, "output", "result.txt")); err != nil || string(text) != "the result\n" {
		t.Errorf("result.txt: %q %v", text, err)
	}
	if r.Telemetry == nil || r.Telemetry.Samples != 2*samples || r.Telemetry.DroppedSamples != 0 {
		t.Errorf("telemetry %+v, want %d samples", r.Telemetry, 2*samples)
	}
	for _, name := range []string{"manifest.json", "telemetry.parquet", "run_config.json"} {
		if info, err := os.Stat(filepath.Join(r.Directory, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// down ends runner and platform in order, and looks for what is left.
func (s *site) down(t *testing.T) {
	t.Helper()
	s.runner.Stop(t)
	s.Server.Stop(t)
	for _, left := range slices.Concat(s.runner.Leftovers(t), s.users.Processes(t), stand.Cgroups(s.proxy.Containers()...)) {
		t.Errorf("%s is left", left)
	}
}
