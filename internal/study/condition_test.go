package study_test

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/tetryx/lynx-runner/internal/study"
)

func TestOperatorHolds(t *testing.T) {
	// For a value below, equal to and above the threshold.
	for operator, want := range map[study.Operator][3]bool{
		study.LT: {true, false, false}, study.LTE: {true, true, false},
		study.GT: {false, false, true}, study.GTE: {false, true, true},
		study.EQ: {false, true, false}, study.NEQ: {true, false, true},
	} {
		for i, value := range []float64{math.Nextafter(2, 1), 2, math.Nextafter(2, 3)} {
			if got := operator.Holds(value, 2); got != want[i] {
				t.Errorf("%v %s 2 is %v", value, operator, got)
			}
		}
		if !operator.Valid() {
			t.Errorf("%s is not valid", operator)
		}
	}
	for _, operator := range []study.Operator{"", "LT", "<", "le"} {
		if operator.Valid() || operator.Holds(1, 2) || operator.Holds(2, 1) || operator.Holds(1, 1) {
			t.Errorf("%q is an operator", operator)
		}
	}
}

// TestOperatorsAreComplementary: of a pair of opposites, one holds, for any numbers.
func TestOperatorsAreComplementary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Float64().Draw(t, "a"), rapid.Float64().Draw(t, "b")
		for _, pair := range [][2]study.Operator{{study.LT, study.GTE}, {study.GT, study.LTE}, {study.EQ, study.NEQ}} {
			if pair[0].Holds(a, b) == pair[1].Holds(a, b) {
				t.Fatalf("%v and %v: %s and %s agree", a, b, pair[0], pair[1])
			}
		}
	})
}

func TestOperators(t *testing.T) {
	if n := len(study.Operators()); n != 6 {
		t.Errorf("%d operators", n)
	}
}

func TestNormalizeUnits(t *testing.T) {
	for units, want := range map[string]string{"": "", "none": "", "1": "", "m": "m", "None": "None", "kg m": "kg m"} {
		if got := study.NormalizeUnits(units); got != want {
			t.Errorf("%q becomes %q", units, got)
		}
	}
}
