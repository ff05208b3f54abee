//go:build engine

package e2e

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/wait"

	"github.com/tetryx/lynx-runner/api"
)

// leo is the published low Earth orbit, and known its states: time, position.
var (
	leo = map[string]float64{
		"semi_major_axis_m": 7000e3, "eccentricity": 1e-4, "inclination_deg": 33.3, "raan_deg": 48.2,
		"arg_perigee_deg": 347.8, "true_anomaly_deg": 85.3, "duration_orbits": 0.75,
	}
	known = map[int]stateRow{
		0:    {r: vec{-2816801.601023, 5248174.846916, 3677157.264677}, v: vec{-6179.638173, -4159.862041, 1204.771171}},
		10:   {r: vec{-2878433.113254, 5206272.082688, 3688991.078785}, v: vec{-6146.544919, -4220.609612, 1161.968753}},
		100:  {r: vec{-3417217.796457, 4802528.445795, 3776055.429486}, v: vec{-5817.056273, -4744.429658, 771.278579}},
		1000: {r: vec{-6383219.357710, -916780.671583, 2724380.377493}, v: vec{-249.041583, -6952.235495, -2921.945023}},
		4370: {r: vec{5736376.519349, 3849961.132925, -1123395.968730}, v: vec{-3026.329607, 5665.262071, 3962.373537}},
	}
)

// TestScenarioByHand: the image and the scenario without anything of ours around
// them, with nothing but two of the three variables: no telemetry, no runner. The
// trajectory is the published one to its last printed digit.
func TestScenarioByHand(t *testing.T) {
	t.Setenv("TESTCONTAINERS_RYUK_DISABLED", "true")
	work := t.TempDir()
	output := filepath.Join(work, "output")
	config, err := json.Marshal(map[string]any{"parameters": leo})
	if err == nil {
		err = os.WriteFile(filepath.Join(work, "run.json"), config, 0o644)
	}
	if err == nil {
		err = os.Mkdir(output, 0o755)
	}
	if err == nil {
		err = os.Chmod(output, 0o777)
	}
	if err != nil {
		t.Fatal(err)
	}
	c, err := testcontainers.GenericContainer(t.Context(), testcontainers.GenericContainerRequest{
		Started: true,
		ContainerRequest: testcontainers.ContainerRequest{
			Image:      "lynx-basilisk",
			Entrypoint: []string{"python3", "/work/scenario_basic_orbit_lynx.py"},
			Env:        map[string]string{"TETRYX_RUN_CONFIG": "/data/run.json", "TETRYX_OUTPUT_DIR": "/data/output"},
			WaitingFor: wait.ForExit().WithExitTimeout(2 * time.Minute),
			HostConfigModifier: func(h *container.HostConfig) {
				h.NetworkMode = "none"
				h.Mounts = []mount.Mount{
					{Type: mount.TypeBind, Source: filepath.Join(root, "scenarios/aerospace/python"), Target: "/work", ReadOnly: true},
					{Type: mount.TypeBind, Source: work, Target: "/data"},
				}
			},
		},
	})
	testcontainers.CleanupContainer(t, c, testcontainers.StopTimeout(0))
	if err != nil {
		t.Fatal(err)
	}
	state, err := c.State(t.Context())
	if err != nil || state.ExitCode != 0 {
		t.Fatalf("state %+v, %v", state, err)
	}
	rows := trajectory(t, api.RunRow{Directory: work})
	if len(rows) != 438 {
		t.Errorf("%d rows, want 438", len(rows))
	}
	for _, row := range rows {
		want, ok := known[int(row.t)]
		if ok && (worst(row.r, want.r) > 1.5e-6 || worst(row.v, want.v) > 1.5e-6) {
			t.Errorf("at %v s: %v, want %v", row.t, row, want)
		}
	}
	if err := checkTrajectory(leo, rows); err != nil {
		t.Error(err)
	}
}

// worst is the largest difference of two vectors' components.
func worst(a, b vec) float64 {
	d := a.sub(b)
	return max(math.Abs(d[0]), math.Abs(d[1]), math.Abs(d[2]))
}
