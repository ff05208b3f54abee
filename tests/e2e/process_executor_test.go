//go:build engine

package e2e

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/tetryx/lynx-runner/api"
)

// needVenv fails a test clearly where the Python that the process executor runs
// scenarios with was not made.
func needVenv(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(root, ".cache/basilisk-venv/.stamp")); err != nil {
		t.Fatalf("the process executor's Python is not there: run `make venv` (%v)", err)
	}
}

// openDir is a fresh directory that the jobs' users can enter.
func openDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestProcessExecutor: the tutorial in processes of the host is, byte for byte,
// what it is in containers.
func TestProcessExecutor(t *testing.T) {
	t.Parallel()
	needVenv(t)
	seed := rand.Uint64N(1 << 40)
	t.Logf("seed %d", seed)
	study := tutorialWithSeed(t, seed)
	const runs = 3
	inDocker := lynxctlRun(t, study, "--runs", strconv.Itoa(runs), "--executor", "docker")
	asProcess := lynxctlRun(t, study, "--runs", strconv.Itoa(runs), "--executor", "process", "--output", openDir(t))
	for _, o := range []outcome{inDocker, asProcess} {
		if o.exit != 0 || len(o.Runs) != runs {
			t.Fatalf("exit status %d, %d runs", o.exit, len(o.Runs))
		}
	}
	for k, r := range asProcess.Runs {
		want(t, r, api.JobCompleted, api.OutcomeCompleted)
		if err := checkTrajectory(readRunConfig(t, r).Parameters, trajectory(t, r)); err != nil {
			t.Errorf("run %d: %v", r.RunIndex, err)
		}
		if digest(t, r, "output/trajectory.csv") != digest(t, inDocker.Runs[k], "output/trajectory.csv") {
			t.Errorf("run %d: trajectory.csv differs between the executors", k)
		}
		checkProcessManifest(t, r)
		checkNoProcess(t, r)
	}
}

func checkProcessManifest(t *testing.T, r api.RunRow) {
	t.Helper()
	var manifest struct {
		Runner    struct{ Executor string }
		Image     struct{ ID string }
		Artifacts []api.Artifact
	}
	if err := json.Unmarshal(file(t, r, "manifest.json"), &manifest); err != nil {
		t.Fatal(err)
	}
	if manifest.Runner.Executor != "process" || manifest.Image.ID != "" || len(manifest.Artifacts) != 3 {
		t.Errorf("run %d: manifest %+v", r.RunIndex, manifest)
	}
	if radius := r.TelemetryData["orbit.radius_km"]; int(radius.Count) != len(trajectory(t, r)) {
		t.Errorf("run %d: %d samples of telemetry for %d rows", r.RunIndex, radius.Count, len(trajectory(t, r)))
	}
}

// TestEarlyStopOfProcess: a breach ends the processes of a job as well, at the
// same sample.
func TestEarlyStopOfProcess(t *testing.T) {
	t.Parallel()
	needVenv(t)
	c := earlyStops[0]
	for _, pace := range []float64{0, 0.005} {
		t.Run(fmt.Sprintf("pace %v", pace), func(t *testing.T) {
			o := lynxctlRun(t, write(t, "study.yaml", c.study(pace)), "--executor", "process", "--output", openDir(t))
			r := o.run(t)
			want(t, r, api.JobFailed, api.OutcomeEarlyTermination)
			if o.exit != 1 {
				t.Errorf("exit status %d, want 1", o.exit)
			}
			c.checkBreach(t, r, pace)
			checkNoProcess(t, r)
		})
	}
}

// checkNoProcess looks for processes that have the run's directory in their
// environment, and for cgroups that have its name.
func checkNoProcess(t *testing.T, r api.RunRow) {
	t.Helper()
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range environs {
		if env, err := os.ReadFile(path); err == nil && strings.Contains(string(env), r.Directory+"/output") {
			t.Errorf("process %s of the run lives", filepath.Base(filepath.Dir(path)))
		}
	}
	err := filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.Contains(d.Name(), r.JobID) {
			t.Errorf("cgroup %s of the run is there", path)
		}
		return nil // a cgroup of somebody else's may go while we look
	})
	if err != nil {
		t.Error(err)
	}
}
