package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tetryx/lynx-runner/api"
)

// interrupted runs a study in a fresh directory and leaves it at one of two runs.
func interrupted(t *testing.T, args ...string) (study, output string, given LocalOptions) {
	t.Helper()
	f := newFakePlatform(t, statusOf(api.BatchCancelled, 1, 0, 1))
	study, output = writeStudy(t, tutorial)
	if err := os.MkdirAll(filepath.Join(output, "b1"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, stderr, status := lynxctl(t.Context(), t, f, append([]string{"run", study, "--output", output}, args...)...); status != ExitFailed {
		t.Fatalf("status %d: %s", status, stderr)
	}
	return study, output, f.given
}

// TestResume: a study is continued with all that it was begun with, by whichever
// directory it is named, also where its file has changed.
func TestResume(t *testing.T) {
	for _, place := range []string{"", "b1", "latest"} {
		t.Run(place, func(t *testing.T) {
			study, output, given := interrupted(t, "--executor", "process", "--metrics", "final_radius_km")
			if err := os.WriteFile(study, []byte("simulation: {}"), 0o644); err != nil {
				t.Fatal(err)
			}
			f := newFakePlatform(t, statusOf(api.BatchRunning, 1, 0, 0), statusOf(api.BatchCompleted, 2, 0, 0))
			f.rows = []api.RunRow{row(0, api.JobCompleted, api.OutcomeCompleted, ""), row(1, api.JobCompleted, api.OutcomeCompleted, "")}
			stdout, stderr, status := lynxctl(t.Context(), t, f, "run", "--resume", filepath.Join(output, place))
			if status != ExitOK || f.retried != "b1 Cancelled" || f.submitted != nil {
				t.Fatalf("status %d, run again %q, submitted %q:\n%s", status, f.retried, f.submitted, stderr)
			}
			if !strings.Contains(stdout, "6980.25") || !strings.Contains(stderr, "Orbit, resumed: 1 of 2 runs are done") {
				t.Errorf("stdout:\n%s\nstderr:\n%s", stdout, stderr)
			}
			if diff := cmp.Diff(given, f.given); diff != "" {
				t.Errorf("started otherwise: %s", diff)
			}
		})
	}
}

// TestSetAside: an unfinished study of before does not run along with another one.
func TestSetAside(t *testing.T) {
	f := newFakePlatform(t, statusOf(api.BatchCompleted, 2, 0, 0))
	f.earlier = []api.Batch{{BatchID: "over", Status: api.BatchFailed}, {BatchID: "old", Name: "Older\x1b", Status: api.BatchRunning}}
	study, output := writeStudy(t, tutorial)
	_, stderr, status := lynxctl(t.Context(), t, f, "run", study, "--output", output)
	if status != ExitOK || !f.aside || !strings.Contains(stderr, "--resume "+filepath.Join(output, "old")) || strings.Contains(stderr, "\x1b") {
		t.Errorf("status %d, set aside %v: %q", status, f.aside, stderr)
	}
}

func TestResumeOfNothing(t *testing.T) {
	study, output, _ := interrupted(t)
	empty, unknown := t.TempDir(), t.TempDir()
	if err := os.Mkdir(filepath.Join(empty, stateName), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(begunFile(output, "b1")); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"another directory": {[]string{"--resume", unknown}, "neither the output directory"},
		"no study yet":      {[]string{"--resume", empty}, "no study was begun there"},
		"no record":         {[]string{"--resume", output}, "batch b1 can't be read"},
		"a study too":       {[]string{study, "--resume", output}, "--resume takes the study from its directory"},
		"more runs":         {[]string{"--resume", output, "--runs", "9"}, "--runs: a study that is resumed keeps"},
	} {
		t.Run(name, func(t *testing.T) {
			_, stderr, status := lynxctl(t.Context(), t, nil, append([]string{"run"}, c.args...)...)
			if status != ExitUsage || !strings.Contains(stderr, c.says) {
				t.Errorf("status %d: %s", status, stderr)
			}
		})
	}
}
