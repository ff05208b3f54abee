package rest

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tetryx/lynx-runner/api"
)

// Whatever the values and the bound: no more points than allowed, in order, none
// that was not sent; both ends and the extremes are there; short series are
// complete.
func TestSeriesKeepExtremes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(4, 40).Draw(t, "limit")
		value := rapid.OneOf(rapid.Float64Range(-1e6, 1e6), rapid.SampledFrom([]float64{math.NaN(), math.Inf(1), math.Inf(-1), 0, 1}))
		values := rapid.SliceOfN(value, 1, 500).Draw(t, "values")
		p := newPlot(&telemetryQuery{MaxPoints: limit})
		for i, v := range values {
			p.add(float64(i), "x", v, "m")
		}
		var got api.Telemetry
		p.fill(&got)
		s := got.Variables[0]
		if len(s.Values) > limit || len(s.Values) != len(s.Times) || s.Count != uint64(len(values)) {
			t.Fatalf("%d points of %d, at most %d wanted", len(s.Values), s.Count, limit)
		}
		if s.Downsampled != (len(values) > limit) || got.Downsampled != s.Downsampled {
			t.Fatalf("downsampled: %v for %d values in %d points", s.Downsampled, len(values), limit)
		}
		if !s.Downsampled && len(s.Values) != len(values) {
			t.Fatalf("%d of %d values", len(s.Values), len(values))
		}
		for i, at := range s.Times {
			if i > 0 && at <= s.Times[i-1] {
				t.Fatalf("times %v", s.Times)
			}
			if v := float64(s.Values[i]); v != values[int(at)] && !math.IsNaN(v) {
				t.Fatalf("%v at %v was never sent", v, at)
			}
		}
		if s.Times[0] != 0 || s.Times[len(s.Times)-1] != float64(len(values)-1) {
			t.Fatalf("times %v of %d values", s.Times, len(values))
		}
		checkExtremes(t, values, s)
	})
}

func checkExtremes(t *rapid.T, values []float64, s api.Series) {
	var finite []float64
	for _, v := range values {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			finite = append(finite, v)
		}
	}
	if s.NonFinite != uint64(len(values)-len(finite)) {
		t.Fatalf("%d not finite, want %d", s.NonFinite, len(values)-len(finite))
	}
	if len(finite) == 0 {
		return
	}
	for _, want := range []float64{slices.Min(finite), slices.Max(finite)} {
		if !slices.Contains(s.Values, api.Number(want)) {
			t.Fatalf("extreme %v is not in %v", want, s.Values)
		}
	}
}

// What a plot holds does not grow with what it is given.
func TestSeriesAreBounded(t *testing.T) {
	p := newPlot(&telemetryQuery{MaxPoints: 10})
	for i := range 100_000 {
		p.add(float64(i), "x", float64(i%97), "")
		if n := cap(p.order[0].stretches); n > 32 {
			t.Fatalf("%d stretches after %d values", n, i)
		}
	}
	for i := range 20_000 {
		p.add(0, string(rune('a'+i)), 1, "")
	}
	if len(p.order) != maxSeries || len(p.leftOut) > maxNames {
		t.Errorf("%d series, %d names", len(p.order), len(p.leftOut))
	}
}

func TestHarmlessNames(t *testing.T) {
	for name, want := range map[string]string{
		"trajectory.csv": "trajectory.csv", "ü €.png": "ü €.png", ".bashrc": "_bashrc", "..": "_.", "a/b\\c:d": "a_b_c_d",
		"x\r\nSet-Cookie: y": "x__Set-Cookie_ y", "\xff": "_", "\u202egpj.exe": "_gpj.exe", "": "",
	} {
		if got := harmless(name); got != want {
			t.Errorf("%q became %q, want %q", name, got, want)
		}
	}
}
