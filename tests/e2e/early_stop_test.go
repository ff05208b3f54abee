//go:build engine

package e2e

import (
	"fmt"
	"math"
	"os/exec"
	"strings"
	"testing"

	"github.com/tetryx/lynx-runner/api"
)

// earlyStop is a run that falls below the Earth's mean radius, with the first
// sample below it.
type earlyStop struct {
	a, e, f  float64
	time     float64
	radiusKM float64
}

// The published crossings; the radii of the last two follow from Kepler's
// equation at the listed times.
var earlyStops = []earlyStop{
	{a: 7000e3, e: 0.15, f: 85.3, time: 3980, radiusKM: 6362.460},
	{a: 7000e3, e: 0.15, f: 180, time: 2170},
	{a: 6800e3, e: 0.08, f: 120, time: 3310},
}

func (c earlyStop) parameters() map[string]float64 {
	return map[string]float64{
		"semi_major_axis_m": c.a, "eccentricity": c.e, "inclination_deg": 33.3, "raan_deg": 48.2,
		"arg_perigee_deg": 347.8, "true_anomaly_deg": c.f, "duration_orbits": 0.75,
	}
}

// study writes the study file of the case. With pace, each step takes that many
// seconds, so that the kill comes in the middle of the run; without, the physics
// is over before anybody could kill it.
func (c earlyStop) study(pace float64) string {
	var b strings.Builder
	b.WriteString("simulation: {name: Early stop, version: 1.0.0}\nmonte_carlo: {runs: 1, sampling_method: random, seed: 1}\n")
	b.WriteString("early_termination:\n  enabled: true\n  conditions:\n")
	b.WriteString("    - {name: too_high, variable: orbit.radius_km, operator: gt, threshold: 50000, units: km}\n")
	b.WriteString("    - {name: earth_impact, variable: orbit.radius_km, operator: lt, threshold: 6371, units: km}\n")
	b.WriteString("dispersions:\n")
	p := c.parameters()
	p["pace_seconds_per_step"] = pace
	for name, value := range p {
		fmt.Fprintf(&b, "  %s: {distribution: {type: constant, value: %v}, units: %s}\n", name, value, unitOf(name))
	}
	return b.String()
}

// unitOf is the unit that the scenario asks of a parameter.
func unitOf(name string) string {
	switch {
	case strings.HasSuffix(name, "_m"):
		return "m"
	case strings.HasSuffix(name, "_deg"):
		return "deg"
	case name == "duration_orbits":
		return "orbits"
	case name == "pace_seconds_per_step":
		return "s"
	}
	return "none"
}

// TestEarlyStop: the run ends with exactly the sample at which the radius first
// was below the threshold, paced or not, and nothing of it lives.
func TestEarlyStop(t *testing.T) {
	t.Parallel()
	for i, c := range earlyStops {
		for _, pace := range []float64{0, 0.005} {
			t.Run(fmt.Sprintf("case %d, pace %v", i, pace), func(t *testing.T) {
				o := lynxctlRun(t, write(t, "study.yaml", c.study(pace)))
				r := o.run(t)
				want(t, r, api.JobFailed, api.OutcomeEarlyTermination)
				if o.exit != 1 {
					t.Errorf("exit status %d, want 1", o.exit)
				}
				c.checkBreach(t, r, pace)
				checkGone(t, r)
			})
		}
	}
}

func (c earlyStop) checkBreach(t *testing.T, r api.RunRow, pace float64) {
	t.Helper()
	b := r.Breach
	if b == nil {
		t.Fatal("the result names no breach")
	}
	position, _ := elementsOf(c.parameters()).at(c.time)
	radius := position.norm() / 1000
	if c.radiusKM != 0 && math.Abs(radius-c.radiusKM) > 0.001 {
		t.Fatalf("our own Kepler solution gives %v km, the published radius is %v km", radius, c.radiusKM)
	}
	if b.Condition.Name != "earth_impact" || b.TimeSeconds != c.time || math.Abs(b.Value-radius) > 0.001 {
		t.Errorf("breach of %s at %v s with %v km, want earth_impact at %v s with %.3f km",
			b.Condition.Name, b.TimeSeconds, b.Value, c.time, radius)
	}
	if b.ReceivedAt == nil {
		t.Error("the result does not say when the sample arrived")
	}
	if pace > 0 && (b.KillMilliseconds == nil || *b.KillMilliseconds < 0) {
		t.Errorf("the result does not say how long the kill took: %v", b.KillMilliseconds)
	}
	for _, word := range []string{"earth_impact", "orbit.radius_km", "6371", "km"} {
		if !strings.Contains(message(r), word) {
			t.Errorf("the message does not say %q: %s", word, message(r))
		}
	}
	if b.KillMilliseconds != nil {
		t.Logf("breach to every process gone: %.1f ms", *b.KillMilliseconds)
	}
}

// checkGone asks the engine, not us, whether a container of the attempt is left.
func checkGone(t *testing.T, r api.RunRow) {
	t.Helper()
	out, err := exec.Command("docker", "ps", "--all", "--quiet", "--filter", "label=io.tetryx.lynx.job="+r.JobID).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("containers of job %s: %v %s", r.JobID, err, out)
	}
}

// TestDisabledConditionsDoNotFire: the same falling run completes when early
// termination is off.
func TestDisabledConditionsDoNotFire(t *testing.T) {
	t.Parallel()
	text := strings.Replace(earlyStops[1].study(0), "enabled: true", "enabled: false", 1)
	r := lynxctlRun(t, write(t, "study.yaml", text)).run(t)
	want(t, r, api.JobCompleted, api.OutcomeCompleted)
	if radius := r.TelemetryData["orbit.radius_km"]; radius.Min == nil || *radius.Min >= 6371 {
		t.Errorf("the run did not fall below the threshold: %+v", radius)
	}
}
