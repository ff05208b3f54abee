//go:build engine

package e2e

import (
	"fmt"
	"math"
)

// earthMu is the gravitational parameter that Basilisk's createEarth has
// compiled in, in m³/s².
const earthMu = 3.98600436e14

// vec is a vector in the inertial frame, SI units.
type vec [3]float64

func (a vec) dot(b vec) float64 { return a[0]*b[0] + a[1]*b[1] + a[2]*b[2] }
func (a vec) norm() float64     { return math.Sqrt(a.dot(a)) }
func (a vec) sub(b vec) vec     { return vec{a[0] - b[0], a[1] - b[1], a[2] - b[2]} }
func (a vec) scale(k float64) vec {
	return vec{k * a[0], k * a[1], k * a[2]}
}
func (a vec) cross(b vec) vec {
	return vec{a[1]*b[2] - a[2]*b[1], a[2]*b[0] - a[0]*b[2], a[0]*b[1] - a[1]*b[0]}
}

// elements are classical orbital elements: metres and radians.
type elements struct{ a, e, i, raan, argp, f float64 }

// elementsOf reads the tutorial's parameters.
func elementsOf(p map[string]float64) elements {
	deg := math.Pi / 180
	return elements{
		a: p["semi_major_axis_m"], e: p["eccentricity"], i: p["inclination_deg"] * deg,
		raan: p["raan_deg"] * deg, argp: p["arg_perigee_deg"] * deg, f: p["true_anomaly_deg"] * deg,
	}
}

// period is the orbital period in seconds.
func (o elements) period() float64 { return 2 * math.Pi * math.Sqrt(o.a*o.a*o.a/earthMu) }

// at returns position and velocity t seconds after the epoch, by Kepler's
// equation (Vallado, Fundamentals of Astrodynamics, algorithms 2 and 10).
func (o elements) at(t float64) (r, v vec) {
	e0 := 2 * math.Atan2(math.Sqrt(1-o.e)*math.Sin(o.f/2), math.Sqrt(1+o.e)*math.Cos(o.f/2))
	mean := e0 - o.e*math.Sin(e0) + 2*math.Pi*t/o.period()
	ecc := mean
	for range 50 {
		ecc -= (ecc - o.e*math.Sin(ecc) - mean) / (1 - o.e*math.Cos(ecc))
	}
	f := 2 * math.Atan2(math.Sqrt(1+o.e)*math.Sin(ecc/2), math.Sqrt(1-o.e)*math.Cos(ecc/2))
	p := o.a * (1 - o.e*o.e)
	radius := p / (1 + o.e*math.Cos(f))
	theta := o.argp + f
	cO, sO, ci, si := math.Cos(o.raan), math.Sin(o.raan), math.Cos(o.i), math.Sin(o.i)
	ct, st := math.Cos(theta), math.Sin(theta)
	r = vec{cO*ct - sO*st*ci, sO*ct + cO*st*ci, st * si}.scale(radius)
	h := math.Sqrt(earthMu * p)
	k := earthMu / h
	cw, sw := math.Cos(o.argp), math.Sin(o.argp)
	v = vec{
		-k * (cO*(st+o.e*sw) + sO*(ct+o.e*cw)*ci),
		-k * (sO*(st+o.e*sw) - cO*(ct+o.e*cw)*ci),
		k * (ct + o.e*cw) * si,
	}
	return r, v
}

// stateRow is one row of trajectory.csv.
type stateRow struct {
	t    float64
	r, v vec
}

// checkTrajectory holds a run's trajectory to the analytic solution for its
// parameters: every gate that an RK4 integration at 10 s meets with a margin,
// and that a wrong constant or a dispersion that was not applied would miss.
func checkTrajectory(p map[string]float64, rows []stateRow) error {
	o := elementsOf(p)
	const step = 10
	want := int(math.Floor(p["duration_orbits"]*o.period()/step)) + 1
	if len(rows) != want {
		return fmt.Errorf("%d rows, want %d", len(rows), want)
	}
	r0, v0 := o.at(0)
	energy0, h0, e0 := invariants(r0, v0)
	for k, row := range rows {
		if row.t != float64(k*step) {
			return fmt.Errorf("row %d is at %v s, want %d s", k, row.t, k*step)
		}
		energy, h, e := invariants(row.r, row.v)
		switch radius := row.r.norm(); {
		case math.Abs(energy/energy0-1) > 1e-9:
			return fmt.Errorf("row %d: energy drifted by %g", k, energy/energy0-1)
		case h.sub(h0).norm()/h0.norm() > 1e-9:
			return fmt.Errorf("row %d: angular momentum drifted by %g", k, h.sub(h0).norm()/h0.norm())
		case math.Abs(-earthMu/2/energy-o.a) > 0.01:
			return fmt.Errorf("row %d: semi-major axis %v m, want %v m", k, -earthMu/2/energy, o.a)
		case e.sub(e0).norm() > 1e-8:
			return fmt.Errorf("row %d: eccentricity vector moved by %g", k, e.sub(e0).norm())
		case math.Abs(math.Acos(h[2]/h.norm())-o.i) > 1e-8:
			return fmt.Errorf("row %d: inclination %v rad, want %v rad", k, math.Acos(h[2]/h.norm()), o.i)
		case math.Abs(math.Atan2(h[0], -h[1])-o.raan) > 1e-8:
			return fmt.Errorf("row %d: right ascension of the node %v rad, want %v rad", k, math.Atan2(h[0], -h[1]), o.raan)
		case radius < o.a*(1-o.e)-1 || radius > o.a*(1+o.e)+1:
			return fmt.Errorf("row %d: radius %v m is off the ellipse", k, radius)
		}
	}
	last := rows[len(rows)-1]
	r, _ := o.at(last.t)
	if miss := last.r.sub(r).norm(); miss > 0.05 {
		return fmt.Errorf("the last row is %.4f m from the analytic position, want below 0.05 m", miss)
	}
	return nil
}

// invariants returns the specific energy, the angular momentum and the
// eccentricity vector of a state.
func invariants(r, v vec) (energy float64, h, e vec) {
	h = r.cross(v)
	e = v.cross(h).scale(1 / earthMu).sub(r.scale(1 / r.norm()))
	return v.dot(v)/2 - earthMu/r.norm(), h, e
}
