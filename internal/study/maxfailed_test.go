package study_test

import (
	"encoding/json"
	"fmt"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"github.com/tetryx/lynx-runner/internal/study"
)

func TestMaxFailed(t *testing.T) {
	tests := []struct {
		text         string
		total, limit int
		json         string
	}{
		{"0", 100, 0, `0`},
		{"3", 100, 3, `3`},
		{"3", 2, 3, `3`},
		{"1000000", 5, 1000000, `1000000`},
		{"2%", 50, 1, `"2%"`},
		{"2%", 49, 0, `"2%"`},
		{"2%", 99, 1, `"2%"`},
		{"0%", 1000000, 0, `"0%"`},
		{"100%", 7, 7, `"100%"`},
		{"100.0000%", 7, 7, `"100%"`},
		{"0.5%", 1000, 5, `"0.5%"`},
		{"0.29%", 10000, 29, `"0.29%"`}, // 28.999… in floating point
		{"0.0001%", 1000000, 1, `"0.0001%"`},
		{"33.3333%", 1000000, 333333, `"33.3333%"`},
	}
	for _, test := range tests {
		m := maxFailed(t, test.text)
		if got := m.Limit(test.total); got != test.limit {
			t.Errorf("%s of %d is %d, want %d", test.text, test.total, got, test.limit)
		}
		if data, err := json.Marshal(m); err != nil || string(data) != test.json {
			t.Errorf("%s marshals to %s, %v", test.text, data, err)
		}
	}
}

func TestMaxFailedErrors(t *testing.T) {
	for _, text := range []string{"", "%", "-1", "-1%", "1.5", "1e3", "101%", "100.0001%", "1000001", "0.00001%", "2 %", "two", "2%%", ".5%", "5.%", "1000%", "99999999999999999999"} {
		if m, err := study.ParseMaxFailed(text); err == nil {
			t.Errorf("%q is accepted as %v", text, m)
		}
	}
}

// TestMaxFailedIsExact: a percentage is rounded down from the exact product, and
// its text reads back.
func TestMaxFailedIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := fmt.Sprintf("%d.%04d", rapid.IntRange(0, 99).Draw(t, "whole"), rapid.IntRange(0, 9999).Draw(t, "part"))
		total := rapid.IntRange(1, study.MaxRuns).Draw(t, "total")
		m, err := study.ParseMaxFailed(text + "%")
		if err != nil {
			t.Fatal(err)
		}
		exact, _ := new(big.Rat).SetString(text)
		exact.Mul(exact, big.NewRat(int64(total), 100))
		if want := new(big.Int).Quo(exact.Num(), exact.Denom()).Int64(); int64(m.Limit(total)) != want {
			t.Fatalf("%s%% of %d is %d, want %d", text, total, m.Limit(total), want)
		}
		if again, err := study.ParseMaxFailed(m.String()); err != nil || again != m {
			t.Fatalf("%s%% is written %s and read %v, %v", text, m, again, err)
		}
	})
}
