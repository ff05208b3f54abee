package main

import "math"

// The Moon's surface gravity, taken as uniform, and standard gravity, which turns
// a specific impulse into an exhaust velocity; in m/s².
const (
	moonGravity     = 1.62
	standardGravity = 9.80665
)

// stepSeconds is the length of an integration step.
const stepSeconds = 0.05

// lander is a lander at the beginning, and its engine.
type lander struct {
	altitude, speed     float64 // m above ground; m/s downwards
	ignition            float64 // m: the altitude at which the engine starts
	dryMass, propellant float64 // kg
	thrust, impulse     float64 // N; s
}

// instant is the state at a time.
type instant struct {
	time            float64 // s
	altitude, speed float64 // m; m/s, downwards
	mass            float64 // kg
}

// landing is how a flight ended.
type landing struct {
	touchdown instant
	burn      float64 // s: how long the engine ran
	fuel      float64 // kg left
	topSpeed  float64 // m/s
	// altitudeError and speedError compare the end of the burn with the closed
	// form, in m and m/s; zero without a burn.
	altitudeError, speedError float64
}

// fly integrates the flight to the ground: a fall, a burn until the lander stands
// still, is out of propellant or has arrived, and a fall of what is left. report
// gets the state at the beginning, each interval seconds, and at the end.
func (l lander) fly(interval float64, report func(instant)) landing {
	f := flight{now: instant{0, l.altitude, l.speed, l.dryMass + l.propellant}, interval: interval, report: report}
	f.tell()
	f.phase(0, 0, func(s instant) float64 { return s.altitude - min(l.ignition, l.altitude) })
	lit := f.now
	flow := l.thrust / (l.impulse * standardGravity)
	if lit.altitude > 0 && l.propellant > 0 {
		f.phase(l.thrust, flow, func(s instant) float64 {
			if s.time == lit.time { // it may hang still there, and fall all the same
				return min(s.altitude, s.mass-l.dryMass)
			}
			return min(s.altitude, s.speed, s.mass-l.dryMass)
		})
	}
	cut := f.now
	result := landing{burn: cut.time - lit.time, fuel: cut.mass - l.dryMass}
	result.altitudeError, result.speedError = l.error(lit, cut)
	f.phase(0, 0, func(s instant) float64 { return s.altitude })
	f.tell()
	result.touchdown, result.topSpeed = f.now, f.topSpeed
	return result
}

// error is how far the integration of the burn from lit to cut is from the closed
// form (Tsiolkovsky's equation with gravity, and its integral).
func (l lander) error(lit, cut instant) (altitude, speed float64) {
	t := cut.time - lit.time
	exhaust := l.impulse * standardGravity
	flow := l.thrust / exhaust
	mass := lit.mass - flow*t
	logarithm := math.Log(lit.mass / mass)
	exactSpeed := lit.speed + moonGravity*t - exhaust*logarithm
	exactAltitude := lit.altitude - lit.speed*t - moonGravity*t*t/2 + exhaust*(t-mass/flow*logarithm)
	return math.Abs(cut.altitude - exactAltitude), math.Abs(cut.speed - exactSpeed)
}

// flight is the integration at a moment.
type flight struct {
	now      instant
	topSpeed float64
	interval float64
	told     int // how many intervals were reported
	report   func(instant)
}

// phase integrates with constant thrust and mass flow until left is no longer
// positive, which it finds to a nanosecond.
func (f *flight) phase(thrust, flow float64, left func(instant) float64) {
	for left(f.now) > 0 {
		h := stepSeconds
		if until := float64(f.told)*f.interval - f.now.time; until > 0 {
			h = min(h, until) // a report falls on the end of a step
		}
		next := step(f.now, h, thrust, flow)
		if left(next) <= 0 {
			f.now = crossing(f.now, h, thrust, flow, left)
			f.topSpeed = max(f.topSpeed, f.now.speed)
			return
		}
		f.now = next
		if f.now.time >= float64(f.told)*f.interval-1e-9 {
			f.tell()
		}
	}
}

// tell reports the state.
func (f *flight) tell() {
	f.topSpeed = max(f.topSpeed, f.now.speed)
	f.report(f.now)
	f.told++
}

// crossing is the state at which left falls to zero, within a step of length h,
// by bisection; the last state on its further side, so that the phase is over.
func crossing(from instant, h, thrust, flow float64, left func(instant) float64) instant {
	low, high := 0.0, h
	for high-low > 1e-9 {
		middle := (low + high) / 2
		if left(step(from, middle, thrust, flow)) > 0 {
			low = middle
		} else {
			high = middle
		}
	}
	return step(from, high, thrust, flow)
}

// step is one step of the classical Runge-Kutta method of fourth order.
func step(s instant, h, thrust, flow float64) instant {
	acceleration := func(t float64) float64 { return moonGravity - thrust/(s.mass-flow*t) }
	a1, a2, a4 := acceleration(0), acceleration(h/2), acceleration(h)
	// The acceleration depends on time only, so the second and third slopes agree.
	v2, v3, v4 := s.speed+a1*h/2, s.speed+a2*h/2, s.speed+a2*h
	return instant{
		time:     s.time + h,
		altitude: s.altitude - h/6*(s.speed+2*v2+2*v3+v4),
		speed:    s.speed + h/6*(a1+4*a2+a4),
		mass:     s.mass - flow*h,
	}
}
