//go:build engine

package e2e

import (
	"math"
	"testing"
)

// TestKeplerKnownAnswer checks our own ruler: the analytic position of the
// published LEO case at 4370 s.
func TestKeplerKnownAnswer(t *testing.T) {
	o := elementsOf(map[string]float64{
		"semi_major_axis_m": 7e6, "eccentricity": 1e-4, "inclination_deg": 33.3,
		"raan_deg": 48.2, "arg_perigee_deg": 347.8, "true_anomaly_deg": 85.3,
	})
	r, v := o.at(4370)
	wantR := vec{5736376.526134, 3849961.123629, -1123395.976123}
	wantV := vec{-3026.329596, 5665.262077, 3962.373534}
	if d := r.sub(wantR).norm(); d > 1e-4 {
		t.Errorf("position %v is %g m off", r, d)
	}
	if d := v.sub(wantV).norm(); d > 1e-5 {
		t.Errorf("velocity %v is %g m/s off", v, d)
	}
	if p := o.period(); math.Abs(p-5828.51668) > 1e-4 {
		t.Errorf("period %v s", p)
	}
}
