//go:build engine

package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/tetryx/lynx-runner/api"
)

const tutorial = "scenarios/aerospace/configs/basic_orbit_tutorial.yaml"

// tutorialWithSeed is the tutorial's study with another seed.
func tutorialWithSeed(t *testing.T, seed uint64) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, tutorial))
	if err != nil {
		t.Fatal(err)
	}
	replaced := regexp.MustCompile(`(?m)^(\s*seed:\s*)\d+`).ReplaceAllString(string(text), "${1}"+strconv.FormatUint(seed, 10))
	if replaced == string(text) {
		t.Fatal("the tutorial has no seed to replace")
	}
	return write(t, "tutorial.yaml", replaced)
}

// TestTutorialAgainstKepler: runs of a seed that nobody has chosen are, each of
// them, the analytic orbit of its own parameters; and the same seed gives the
// same files.
func TestTutorialAgainstKepler(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64N(1 << 40)
	t.Logf("seed %d", seed)
	study := tutorialWithSeed(t, seed)
	const runs = 12
	first := lynxctlRun(t, study, "--runs", strconv.Itoa(runs), "--executor", "docker")
	if first.exit != 0 || len(first.Runs) != runs || first.Batch.Seed != seed {
		t.Fatalf("exit status %d, %d runs, seed %d", first.exit, len(first.Runs), first.Batch.Seed)
	}
	digests := map[string]int{}
	for _, r := range first.Runs {
		want(t, r, api.JobCompleted, api.OutcomeCompleted)
		config := readRunConfig(t, r)
		if err := checkTrajectory(config.Parameters, trajectory(t, r)); err != nil {
			t.Errorf("run %d, %v: %v", r.RunIndex, config.Parameters, err)
		}
		if other, twice := digests[digest(t, r, "output/trajectory.csv")]; twice {
			t.Errorf("runs %d and %d have the same trajectory", other, r.RunIndex)
		}
		digests[digest(t, r, "output/trajectory.csv")] = r.RunIndex
		checkTutorialRun(t, r)
	}

	second := lynxctlRun(t, study, "--runs", strconv.Itoa(runs), "--executor", "docker")
	for k, r := range second.Runs {
		for _, name := range []string{"output/trajectory.csv", "output/orbit_position.png"} {
			if digest(t, r, name) != digest(t, first.Runs[k], name) {
				t.Errorf("run %d: %s differs between two studies of one seed", k, name)
			}
		}
		a, b := readRunConfig(t, r), readRunConfig(t, first.Runs[k])
		if a.Seed != b.Seed {
			t.Errorf("run %d: seeds %d and %d", k, a.Seed, b.Seed)
		}
	}
}

// checkTutorialRun checks what else a run of the tutorial leaves: the artifacts
// of the manifest, telemetry at each step, the final radius.
func checkTutorialRun(t *testing.T, r api.RunRow) {
	t.Helper()
	rows := trajectory(t, r)
	var manifest struct {
		Runner    struct{ Executor string }
		Image     struct{ ID string }
		Result    struct{ Outcome api.Outcome }
		Artifacts []api.Artifact
	}
	if err := json.Unmarshal(file(t, r, "manifest.json"), &manifest); err != nil {
		t.Fatal(err)
	}
	if manifest.Result.Outcome != api.OutcomeCompleted || !strings.HasPrefix(manifest.Image.ID, "sha256:") ||
		!strings.HasPrefix(manifest.Runner.Executor, "docker ") || len(manifest.Artifacts) != 3 {
		t.Errorf("run %d: manifest %+v", r.RunIndex, manifest)
	}
	for _, a := range manifest.Artifacts {
		if got := digest(t, r, "output/"+a.Name); got != a.SHA256 {
			t.Errorf("run %d: %s has digest %s, the manifest says %s", r.RunIndex, a.Name, got, a.SHA256)
		}
	}
	radius, ok := r.TelemetryData["orbit.radius_km"]
	last := rows[len(rows)-1].r.norm() / 1000
	if !ok || int(radius.Count) != len(rows) || radius.Unit != "km" || radius.Last == nil || abs(*radius.Last-last) > 1e-6 {
		t.Errorf("run %d: telemetry of orbit.radius_km is %+v, the trajectory has %d rows and ends at %v km", r.RunIndex, radius, len(rows), last)
	}
	if r.Breach != nil {
		t.Errorf("run %d: a nominal run breached %+v", r.RunIndex, r.Breach)
	}
	if info, err := os.Stat(filepath.Join(r.Directory, "telemetry.parquet")); err != nil || info.Size() == 0 {
		t.Errorf("run %d: telemetry.parquet: %v", r.RunIndex, err)
	}
}

func abs(x float64) float64 { return max(x, -x) }

func digest(t *testing.T, r api.RunRow, name string) string {
	t.Helper()
	sum := sha256.Sum256(file(t, r, name))
	return hex.EncodeToString(sum[:])
}
