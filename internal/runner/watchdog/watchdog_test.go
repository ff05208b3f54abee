package watchdog

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	telemetryv1 "github.com/tetryx/lynx-runner/proto/lynx/telemetry/v1"

	"github.com/tetryx/lynx-runner/internal/study"
)

func condition(name, variable string, op study.Operator, threshold float64, units string) study.Condition {
	return study.Condition{Name: name, Variable: variable, Operator: op, Threshold: threshold, Units: units}
}

func value(name string, x float64, unit string) *telemetryv1.Value {
	return &telemetryv1.Value{Name: name, Value: x, Unit: unit}
}

func at(time float64, values ...*telemetryv1.Value) *telemetryv1.Sample {
	return &telemetryv1.Sample{TimeSeconds: time, Values: values}
}

var impact = study.Condition{
	Name: "earth_impact", Description: "The orbit meets the ground.", Variable: "orbit.radius_km",
	Operator: study.LT, Threshold: 6371, Units: "km",
}

func TestOperators(t *testing.T) {
	fires := map[study.Operator][3]bool{ // below, at, above the threshold
		study.LT: {true, false, false}, study.LTE: {true, true, false},
		study.GT: {false, false, true}, study.GTE: {false, true, true},
		study.EQ: {false, true, false}, study.NEQ: {true, false, true},
	}
	for _, op := range study.Operators() {
		w := New([]study.Condition{condition("c", "x", op, 2, "m")})
		for i, x := range []float64{math.Nextafter(2, 0), 2, math.Nextafter(2, 3)} {
			v := w.Evaluate(at(5, value("x", x, "m")))
			if (v != nil) != fires[op][i] {
				t.Errorf("%v %s 2: verdict %v", x, op, v)
			}
			if v != nil && (v.Kind != Breach || v.Value != x || v.Time != 5 || v.Condition.Name != "c") {
				t.Errorf("%v %s 2: %+v", x, op, v)
			}
		}
	}
}

func TestMessages(t *testing.T) {
	nan := math.NaN()
	cases := []struct {
		name      string
		condition study.Condition
		sample    *telemetryv1.Sample
		kind      Kind
		want      string
	}{
		{"breach", impact, at(3980, value("orbit.radius_km", 6362.46, "km")), Breach,
			`Condition "earth_impact" fired: orbit.radius_km was 6362.46 km at simulation time 3980 s, below the threshold of 6371 km (The orbit meets the ground).`},
		{"hardly a breach, without units", condition("c", "x", study.LT, 6371, "none"), at(0.1, value("x", math.Nextafter(6371, 0), "1")), Breach,
			`Condition "c" fired: x was 6370.999999999999 at simulation time 0.1 s, below the threshold of 6371.`},
		{"small and large", condition("c", "x", study.GTE, -1e-9, ""), at(1e20, value("x", 2.5e300, "")), Breach,
			`Condition "c" fired: x was 2.5e+300 at simulation time 1e+20 s, at or above the threshold of -1e-09.`},
		{"units", impact, at(10, value("orbit.radius_km", 7e6, "m")), Invalid,
			`Condition "earth_impact" can't be judged: the scenario reported orbit.radius_km in "m" at simulation time 10 s, but the condition's threshold is in "km"; make the two units the same.`},
		{"no unit", impact, at(10, value("orbit.radius_km", 7e6, "none")), Invalid,
			`Condition "earth_impact" can't be judged: the scenario reported orbit.radius_km in no unit at simulation time 10 s, but the condition's threshold is in "km"; make the two units the same.`},
		{"NaN", impact, at(10, value("orbit.radius_km", nan, "km")), Invalid,
			`Condition "earth_impact" can't be judged: orbit.radius_km was NaN at simulation time 10 s, which is not a finite number.`},
		{"infinity", impact, at(10, value("orbit.radius_km", math.Inf(-1), "km")), Invalid,
			`Condition "earth_impact" can't be judged: orbit.radius_km was -Inf at simulation time 10 s, which is not a finite number.`},
		{"no time", impact, at(nan, value("orbit.radius_km", 7000, "km")), Invalid,
			`Condition "earth_impact" can't be judged: a sample of orbit.radius_km has the simulation time NaN, which is not a finite number.`},
		{"operator", condition("c", "x", "between", 1, ""), at(0, value("x", 0, "")), Invalid,
			`Condition "c" can't be judged: its operator "between" is none of lt, lte, gt, gte, eq and neq.`},
		{"hostile unit", impact, at(10, value("orbit.radius_km", 1, "\x1b[2J\n")), Invalid,
			`Condition "earth_impact" can't be judged: the scenario reported orbit.radius_km in "\x1b[2J\n" at simulation time 10 s, but the condition's threshold is in "km"; make the two units the same.`},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			v := New([]study.Condition{tc.condition}).Evaluate(tc.sample)
			if v == nil || v.Kind != tc.kind || v.Message != tc.want {
				t.Errorf("verdict %+v\nwant %v: %s", v, tc.kind, tc.want)
			}
		})
	}
}

func TestEveryOperatorHasItsWords(t *testing.T) {
	seen := map[string]bool{}
	for _, op := range study.Operators() {
		seen[relation(op)] = true
	}
	if len(seen) != len(study.Operators()) {
		t.Errorf("operators read alike: %v", seen)
	}
}

func TestMessagesAreShortAndOneLine(t *testing.T) {
	c := condition("c", "x", study.GT, 0, strings.Repeat("é", 5000))
	c.Description = strings.Repeat("line\n\x1b", 5000)
	for _, unit := range []string{c.Units, strings.Repeat("\u202e\n", 5000)} {
		v := New([]study.Condition{c}).Evaluate(at(0, value("x", 1, unit)))
		if v == nil || len(v.Message) > 2500 || strings.ContainsAny(v.Message, "\n\x1b\u202e") {
			t.Errorf("message has %d bytes: %.300q", len(v.Message), v.Message)
		}
	}
}

func TestWhatSaysNothing(t *testing.T) {
	nominal := at(1, value("orbit.radius_km", 7000, "km"))
	cases := []struct {
		name       string
		conditions []study.Condition
		sample     *telemetryv1.Sample
	}{
		{"nominal", []study.Condition{impact}, nominal},
		{"no conditions", nil, at(math.NaN(), value("orbit.radius_km", math.NaN(), "?"))},
		{"variable missing", []study.Condition{impact}, at(1, value("other", 0, "km"))},
		{"no values", []study.Condition{impact}, at(math.NaN())},
		{"no sample", []study.Condition{impact}, nil},
		{"unwatched nonsense", []study.Condition{impact}, at(1, value("a", math.NaN(), "?"), value("", math.Inf(1), "\x00"), nominal.Values[0])},
		{"another case", []study.Condition{impact}, at(1, value("Orbit.Radius_km", 1, "km"))},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			if v := New(tc.conditions).Evaluate(tc.sample); v != nil {
				t.Errorf("%+v", v)
			}
		})
	}
}

func TestFirstConditionWins(t *testing.T) {
	conditions := []study.Condition{
		condition("zero", "a", study.GT, 100, ""),
		condition("one", "b", study.GT, 1, "m"),
		condition("two", "a", study.GT, 10, ""),
		condition("three", "a", study.GT, 1, ""),
	}
	cases := []struct {
		name   string
		sample *telemetryv1.Sample
		want   string
		kind   Kind
		value  float64
	}{
		{"one fires", at(0, value("a", 2, "")), "three", Breach, 2},
		{"two of one variable", at(0, value("a", 20, "")), "two", Breach, 20},
		{"condition order beats value order", at(0, value("a", 20, ""), value("b", 2, "m")), "one", Breach, 2},
		{"whatever the order of values", at(0, value("b", 2, "m"), value("a", 20, "")), "one", Breach, 2},
		{"invalid has its place in the order", at(0, value("a", 20, ""), value("b", 0, "km")), "one", Invalid, 0},
		{"and gives way to one before", at(0, value("b", 0, "km"), value("a", 101, "")), "zero", Breach, 101},
		{"the first of several values", at(0, value("a", 0, ""), value("a", 21, ""), value("a", 22, "")), "two", Breach, 21},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			v := New(conditions).Evaluate(tc.sample)
			if v == nil || v.Condition.Name != tc.want || v.Kind != tc.kind || v.Value != tc.value {
				t.Errorf("%+v", v)
			}
		})
	}
}

func TestConditionsAreCopied(t *testing.T) {
	conditions := []study.Condition{impact}
	w := New(conditions)
	conditions[0].Threshold = 0
	if w.Evaluate(at(0, value("orbit.radius_km", 6000, "km"))) == nil {
		t.Error("a change of the caller's slice changed the watchdog")
	}
}

// The quick search finds what asking every condition in order would find.
func TestEvaluateIsTheFirstInOrder(t *testing.T) {
	names, units := []string{"a", "b", "c"}, []string{"", "1", "m", "km"}
	numbers := rapid.SampledFrom([]float64{-1, 0, 1, 2, math.NaN(), math.Inf(1)})
	rapid.Check(t, func(rt *rapid.T) {
		conditions := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) study.Condition {
			return condition("", rapid.SampledFrom(names).Draw(rt, "variable"), rapid.SampledFrom(study.Operators()).Draw(rt, "operator"),
				rapid.Float64Range(-2, 2).Draw(rt, "threshold"), rapid.SampledFrom(units).Draw(rt, "units"))
		}), 0, 6).Draw(rt, "conditions")
		s := at(numbers.Draw(rt, "time"), rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) *telemetryv1.Value {
			return value(rapid.SampledFrom(names).Draw(rt, "name"), numbers.Draw(rt, "value"), rapid.SampledFrom(units).Draw(rt, "unit"))
		}), 0, 6).Draw(rt, "values")...)
		var want *Verdict
		for _, c := range conditions {
			for _, v := range s.Values {
				if want == nil && v.Name == c.Variable {
					want = judge(c, s.TimeSeconds, v)
				}
			}
		}
		got := New(conditions).Evaluate(s)
		if (got == nil) != (want == nil) || got != nil && (got.Message != want.Message || got.Kind != want.Kind || got.Condition != want.Condition) {
			rt.Fatalf("got %+v, want %+v", got, want)
		}
	})
}

func TestKindString(t *testing.T) {
	if Breach.String() != "breach" || Invalid.String() != "invalid" || Kind(0).String() != "unknown" {
		t.Error(Breach, Invalid, Kind(0))
	}
}

func BenchmarkEvaluate(b *testing.B) {
	w := New([]study.Condition{impact, condition("c", "battery", study.LT, 10, "percent")})
	s := at(1, value("orbit.radius_km", 7000, "km"), value("battery", 50, "percent"), value("x", 1, ""), value("y", 1, ""),
		value("z", 1, ""), value("u", 1, ""), value("v", 1, ""))
	b.ReportAllocs()
	for b.Loop() {
		if w.Evaluate(s) != nil {
			b.Fatal("it fired")
		}
	}
}
