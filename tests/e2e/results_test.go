//go:build engine

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tetryx/lynx-runner/api"
)

// TestWhatARunLeaves: artifacts and metrics in the result, files that belong to
// the owner of the output directory, and no trace of the slot's user.
func TestWhatARunLeaves(t *testing.T) {
	t.Parallel()
	r := lynxctlRun(t, script(t, "ok.py", ""), "--config", scriptRunner(t, "")).run(t)
	want(t, r, api.JobCompleted, api.OutcomeCompleted)
	if r.Metrics["value"] != 42 || r.Metrics["ok"] != 1 || len(r.Metrics) != 2 {
		t.Errorf("metrics %v", r.Metrics)
	}
	var names []string
	for _, a := range r.Artifacts {
		names = append(names, a.Name)
	}
	if strings.Join(names, " ") != "deep/note.txt summary.json" {
		t.Errorf("artifacts %v", names)
	}
	for _, path := range r.OutputFiles {
		if !filepath.IsAbs(path) {
			t.Errorf("output file %s is not absolute", path)
		}
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	err := filepath.WalkDir(r.Directory, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if uid := info.Sys().(*syscall.Stat_t).Uid; int(uid) != os.Geteuid() {
			t.Errorf("%s belongs to user %d", path, uid)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestScenarioRejectsItsConfiguration: a parameter that makes no sense is the
// scenario's error, in its own words.
func TestScenarioRejectsItsConfiguration(t *testing.T) {
	t.Parallel()
	c := earlyStop{a: 7000e3, e: 1.5, f: 0}
	r := lynxctlRun(t, write(t, "study.yaml", c.study(0))).run(t)
	want(t, r, api.JobFailed, api.OutcomeNonzeroExit)
	if !strings.Contains(message(r), "eccentricity") || !strings.Contains(message(r), "1.5") {
		t.Errorf("message %q", message(r))
	}
}
