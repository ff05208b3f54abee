//go:build engine

package faults

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/tetryx/lynx-runner/api"
)

// verdict is what must come of each job of a cell.
type verdict struct {
	outcome api.Outcome
	// first is the end of the first attempt where the fault took it and the job is
	// run again.
	first api.Outcome
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
)

// String is the verdict as the document tells it.
func (v verdict) String() string {
	if v.first != "" {
		return fmt.Sprintf("`%s`, then `%s`", v.first, v.outcome)
	}
	return fmt.Sprintf("`%s`, first attempt", v.outcome)
}

// judge compares what came of a batch with what must have.
func (s *stand) judge(t *testing.T, v verdict, batch string, runs int) {
	t.Helper()
	results := s.results(t, batch)
	if len(results) != runs {
		t.Errorf("%d results, want %d", len(results), runs)
	}
	for _, r := range results {
		message := ""
		if r.ErrorMessage != nil {
			message = *r.ErrorMessage
		}
		if outcome(r) != v.outcome || (r.Requeues > 0) != (v.first != "") || r.Retries > 0 {
			t.Errorf("job %s: %s, attempt %d, %d requeues, %d retries: %s", r.JobID, outcome(r), r.Attempt, r.Requeues, r.Retries, message)
		}
		s.complete(t, r)
	}
}

// outcome is a run's outcome; empty if it has none.
func outcome(r api.RunRow) api.Outcome {
	if r.Outcome == nil {
		return ""
	}
	return *r.Outcome
}

// complete looks for what is missing of a job's log, telemetry and files.
func (s *stand) complete(t *testing.T, r api.RunRow) {
	t.Helper()
	var want strings.Builder
	for i := range 2 * lines {
		fmt.Fprintf(&want, "line %d\n", i+1)
	}
	got, err := os.ReadFile(filepath.Join(r.Directory, "log", "stdout.log"))
	must(t, err)
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
func (s *stand) down(t *testing.T) {
	t.Helper()
	for _, cmd := range []*exec.Cmd{s.runner, s.server} {
		must(t, cmd.Process.Signal(syscall.SIGTERM))
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v", filepath.Base(cmd.Path), err)
		}
	}
	if left := docker(t, s.engine, "ps", "--all", "--filter", "label=io.tetryx.lynx.runner="+s.runnerID, "--format", "{{.ID}} {{.Status}}"); left != "" {
		t.Errorf("containers are left: %s", left)
		docker(t, s.engine, append([]string{"rm", "--force"}, strings.Fields(docker(t, s.engine, "ps", "--all", "--quiet", "--filter", "label=io.tetryx.lynx.runner="+s.runnerID))...)...)
	}
	for _, p := range s.processes(t) {
		t.Errorf("process %s is left", p)
	}
	for _, c := range s.cgroups() {
		t.Errorf("control group %s is left", c)
	}
	for _, dir := range []string{"run", "state/outbox", "state/rejected", "state/causes", "state/uploads"} {
		for _, f := range below(filepath.Join(s.dir, dir)) {
			t.Errorf("%s/%s is left", dir, f)
		}
	}
}

// docker runs the engine's client and returns what it prints.
func docker(t *testing.T, engine string, args ...string) string {
	t.Helper()
	out, err := exec.Command("docker", append([]string{"--host", "unix://" + engine}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// processes are those of the jobs' users.
func (s *stand) processes(t *testing.T) (found []string) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	must(t, err)
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		info, err := os.Lstat("/proc/" + e.Name())
		if err != nil {
			continue
		}
		if uid := int(info.Sys().(*syscall.Stat_t).Uid); uid >= s.first && uid < s.first+uidsPerStand {
			comm, _ := os.ReadFile("/proc/" + e.Name() + "/comm")
			found = append(found, fmt.Sprintf("%s %q", e.Name(), comm))
		}
	}
	return found
}

// cgroups are those of the containers that the proxy saw being made.
func (s *stand) cgroups() (found []string) {
	for _, id := range s.proxy.containers {
		for _, pattern := range []string{"/sys/fs/cgroup/*/docker/" + id, "/sys/fs/cgroup/docker/" + id, "/sys/fs/cgroup/system.slice/docker-" + id + ".scope"} {
			paths, _ := filepath.Glob(pattern)
			found = append(found, paths...)
		}
	}
	return found
}

// below are the paths in a directory, which need not be there.
func below(dir string) (found []string) {
	_ = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err == nil && path != dir {
			rel, _ := filepath.Rel(dir, path)
			found = append(found, rel)
		}
		return nil
	})
	return found
}
