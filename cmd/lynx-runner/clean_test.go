package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tetryx/lynx-runner/internal/runner/journal"
)

// cleanStand is what a runner with jobs as processes left: an old result, and the
// arguments that name it.
func cleanStand(t *testing.T) (args []string, attempt, state string) {
	t.Helper()
	dir := t.TempDir()
	state = filepath.Join(dir, "state")
	j, err := journal.Open(state)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	attempt = filepath.Join(dir, "out", "b", "00007", "attempt-1")
	manifest := fmt.Sprintf(`{"manifest_version":1,"run":{"batch_id":"b","run_index":7,"attempt":1},"attempt_id":"j-1","runner":{"id":"lab-1"},"ended_at":%q}`,
		time.Now().Add(-50*24*time.Hour).Format(time.RFC3339))
	for path, text := range map[string]string{filepath.Join(attempt, "manifest.json"): manifest, filepath.Join(dir, "work", "s.py"): ""} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return []string{"clean", "--executor", "process", "--runner-id", "lab-1", "--state-dir", state,
		"--output-root", filepath.Join(dir, "out"), "--working-directory", filepath.Join(dir, "work"), "--python-executable", "/usr/bin/python3"}, attempt, state
}

func TestClean(t *testing.T) {
	args, attempt, state := cleanStand(t)
	there := func() bool { _, err := os.Stat(attempt); return err == nil }
	environ := []string{"LYNX_RUNNER_RUNTIME_DIR=" + filepath.Join(filepath.Dir(state), "run")}
	run := func(more ...string) string {
		t.Helper()
		out, err := lynxRunner(t, environ, append(args[:len(args):len(args)], more...)...)
		if err != nil {
			t.Fatalf("%q: %v\n%s", more, err, out)
		}
		return out
	}
	if out := run(); !there() || !strings.Contains(out, "results stay") || !strings.Contains(out, "removed: 0, 0 bytes") {
		t.Errorf("without a bound:\n%s", out)
	}
	if out := run("--older-than", "30d", "--dry-run"); !there() || !strings.Contains(out, attempt) || !strings.Contains(out, "50d  it ended more than 30d ago") ||
		!strings.Contains(out, "would be removed: 1, ") {
		t.Errorf("a dry run:\n%s", out)
	}
	var report struct {
		DryRun bool `json:"dry_run"`
		Bytes  int64
		Items  []struct {
			Kind, Where string
			Bytes       int64
		}
	}
	if err := json.Unmarshal([]byte(run("--keep", "0", "--dry-run", "--json")), &report); err != nil || !report.DryRun || len(report.Items) != 1 ||
		report.Items[0].Where != attempt || report.Items[0].Kind != "results" || report.Bytes != report.Items[0].Bytes || report.Bytes < 4096 {
		t.Errorf("as JSON: %+v, %v", report, err)
	}
	// The file and the environment say the same as the flags, and flags win.
	environ = append(environ, "LYNX_RUNNER_RETENTION_OUTPUTS_AGE=60d")
	if out := run(); !there() || strings.Contains(out, "results stay") {
		t.Errorf("younger than the bound:\n%s", out)
	}
	if out := run("--older-than", "49d"); there() || !strings.Contains(out, "removed: 1, ") {
		t.Errorf("it is still there:\n%s", out)
	}
}

func TestCleanFails(t *testing.T) {
	args, attempt, state := cleanStand(t)
	docker := append([]string{args[0]}, args[3:]...) // the default executor
	environ := []string{"LYNX_RUNNER_RUNTIME_DIR=" + filepath.Join(filepath.Dir(state), "run"), "LYNX_RUNNER_SHIM=" + args[len(args)-1]}
	t.Setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
	for name, tc := range map[string]struct {
		args   []string
		status int
		says   string
	}{
		"no such age":    {append(args, "--older-than", "soon"), exitUsage, `--older-than: "soon" is not an age; write 30d`},
		"no such size":   {append(args[:len(args):len(args)], "--keep", "-1"), exitUsage, "--keep: -1 is out of range"},
		"no such runner": {append(args[:len(args):len(args)], "--state-dir", state+"x"), exitUsage, "no runner has used this state directory"},
		"no engine":      {docker, exitUnreachable, "no engine answers"},
	} {
		if out, err := lynxRunner(t, environ, tc.args...); status(err) != tc.status || !strings.Contains(fmt.Sprint(err), tc.says) {
			t.Errorf("%s: status %d, %v\n%s", name, status(err), err, out)
		}
	}
	if _, err := os.Stat(attempt); err != nil {
		t.Error(err)
	}
}

// What could not be removed is in the table, and in the exit status.
func TestCleanCannot(t *testing.T) {
	args, attempt, state := cleanStand(t)
	aside := filepath.Join(filepath.Dir(attempt), ".lynx-removed-lab-1.attempt-1")
	if err := os.WriteFile(aside, nil, 0o600); err != nil { // in the way
		t.Fatal(err)
	}
	out, err := lynxRunner(t, []string{"LYNX_RUNNER_RUNTIME_DIR=" + filepath.Join(filepath.Dir(state), "run")}, append(args, "--older-than", "1d")...)
	if status(err) != exitFailed || !strings.Contains(out, "FAILED: ") || !strings.Contains(out, "failed: 2") {
		t.Errorf("status %d\n%s", status(err), out)
	}
	if _, err := os.Stat(filepath.Join(attempt, "manifest.json")); err != nil {
		t.Error(err)
	}
}
