package main

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// nominal lands softly: it stands still a little above the ground.
var nominal = lander{altitude: 2000, speed: 30, ignition: 900, dryMass: 1500, propellant: 500, thrust: 8000, impulse: 310}

// exactly solves a flight without integrating it: the fall in closed form, the
// burn by Tsiolkovsky's equation and its integral, whose end is found by
// bisection.
func exactly(l lander) landing {
	fall := func(height, speed float64) (time, at float64) {
		at = math.Sqrt(speed*speed + 2*moonGravity*height)
		return (at - speed) / moonGravity, at
	}
	ignition := min(l.ignition, l.altitude)
	time, speed := fall(l.altitude-ignition, l.speed)
	top := max(speed, l.speed)
	exhaust, mass := l.impulse*standardGravity, l.dryMass+l.propellant
	flow := l.thrust / exhaust
	burning := func(t float64) (altitude, v float64) {
		left := mass - flow*t
		logarithm := math.Log(mass / left)
		return ignition - speed*t - moonGravity*t*t/2 + exhaust*(t-left/flow*logarithm), speed + moonGravity*t - exhaust*logarithm
	}
	low, high := 0.0, l.propellant/flow // by then it is out of propellant
	over := func(t float64) bool { h, v := burning(t); return h <= 0 || v <= 0 }
	// v has a maximum at most and no minimum, so that the first moment at which the
	// burn is over is found on a fine grid and then by bisection.
	const grid = 20_000
	for i := 1; i <= grid; i++ {
		if t := l.propellant / flow * float64(i) / grid; over(t) {
			low, high = l.propellant/flow*float64(i-1)/grid, t
			for high-low > 1e-12 {
				if middle := (low + high) / 2; over(middle) {
					high = middle
				} else {
					low = middle
				}
			}
			break
		}
	}
	altitude, v := burning(high)
	rest, touchdown := fall(max(altitude, 0), v)
	return landing{
		touchdown: instant{time: time + high + rest, speed: touchdown}, burn: high, fuel: l.propellant - flow*high, topSpeed: max(top, touchdown),
	}
}

func near(a, b, tolerance float64) bool { return math.Abs(a-b) <= tolerance*(1+math.Abs(b)) }

func check(t rapid.TB, l lander) landing {
	t.Helper()
	got, want := l.fly(reportEvery, func(instant) {}), exactly(l)
	if !near(got.touchdown.speed, want.touchdown.speed, 1e-6) || !near(got.touchdown.time, want.touchdown.time, 1e-6) ||
		!near(got.burn, want.burn, 1e-6) || !near(got.fuel, want.fuel, 1e-6) {
		t.Fatalf("%+v\nflies %+v\nwant  %+v", l, got, want)
	}
	if got.altitudeError > 1e-6 || got.speedError > 1e-6 {
		t.Fatalf("%+v: the integration is %v m and %v m/s from the closed form", l, got.altitudeError, got.speedError)
	}
	return got
}

// TestKnownFlights: each way in which a flight can end, against its closed form.
func TestKnownFlights(t *testing.T) {
	with := func(change func(*lander)) lander { l := nominal; change(&l); return l }
	for name, c := range map[string]struct {
		lander lander
		want   func(landing) bool
	}{
		"stands still above the ground, and falls the rest": {nominal, func(l landing) bool { return l.burn > 0 && l.fuel > 0 }},
		"too late":          {with(func(l *lander) { l.ignition = 300 }), func(l landing) bool { return l.touchdown.speed > 10 && l.fuel > 0 }},
		"never lit":         {with(func(l *lander) { l.ignition = 0 }), func(l landing) bool { return l.burn == 0 && near(l.touchdown.speed, math.Sqrt(900+2*1.62*2000), 1e-9) }},
		"lit at once":       {with(func(l *lander) { l.ignition = 5000 }), func(l landing) bool { return l.burn > 0 }},
		"lit at rest":       {with(func(l *lander) { l.ignition, l.speed, l.thrust = 5000, 0, 500 }), func(l landing) bool { return l.burn > 0 }},
		"out of propellant": {with(func(l *lander) { l.propellant = 20 }), func(l landing) bool { return math.Abs(l.fuel) < 1e-5 && l.touchdown.speed > 10 }},
		"no propellant":     {with(func(l *lander) { l.propellant = 0 }), func(l landing) bool { return l.burn == 0 }},
		"too weak":          {with(func(l *lander) { l.thrust = 1000 }), func(l landing) bool { return l.touchdown.speed > 30 }},
	} {
		t.Run(name, func(t *testing.T) {
			if got := check(t, c.lander); !c.want(got) {
				t.Errorf("%+v", got)
			}
		})
	}
}

// TestFlights: any flight agrees with its closed form.
func TestFlights(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		check(t, lander{
			altitude: rapid.Float64Range(10, 5000).Draw(t, "altitude"), speed: rapid.Float64Range(0, 200).Draw(t, "speed"),
			ignition: rapid.Float64Range(0, 5000).Draw(t, "ignition"), dryMass: rapid.Float64Range(500, 5000).Draw(t, "mass"),
			propellant: rapid.Float64Range(0, 1000).Draw(t, "propellant"), thrust: rapid.Float64Range(500, 50_000).Draw(t, "thrust"),
			impulse: rapid.Float64Range(100, 450).Draw(t, "impulse"),
		})
	})
}

// TestReports come at the beginning, every interval and at the end, in order.
func TestReports(t *testing.T) {
	var got []instant
	landing := nominal.fly(2, func(at instant) { got = append(got, at) })
	for i, at := range got[:len(got)-1] {
		if math.Abs(at.time-2*float64(i)) > 1e-9 {
			t.Errorf("report %d is of %v s", i, at.time)
		}
		if at.altitude < got[i+1].altitude || at.mass < got[i+1].mass {
			t.Errorf("it rises, or gets heavier: %+v, then %+v", at, got[i+1])
		}
	}
	if last := got[len(got)-1]; last != landing.touchdown || math.Abs(last.altitude) > 1e-6 {
		t.Errorf("the last report is %+v, and the lander is down at %+v", last, landing.touchdown)
	}
}
