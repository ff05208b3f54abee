package main

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/tetryx/lynx-runner/internal/study"
)

func TestQuantiles(t *testing.T) {
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(100 - i)
	}
	for _, c := range []struct {
		name      string
		got, want float64
	}{
		{"p99 of 1 to 100", quantile(hundred, 0.99), 99},
		{"p50 of 1 to 100", quantile(hundred, 0.5), 50},
		{"p100", quantile(hundred, 1), 100},
		{"p0", quantile(hundred, 0), 1},
		{"p99 of few is the largest", quantile([]float64{3, 1, 2}, 0.99), 3},
		{"odd median", median([]float64{5, 1, 3}), 3},
		{"even median", median([]float64{4, 1, 2, 3}), 2.5},
		{"median of one", median([]float64{7}), 7},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", c.name, c.got, c.want)
		}
	}
	if hundred[0] != 100 {
		t.Error("the values were sorted in place, which unpairs them")
	}
}

func TestRatios(t *testing.T) {
	if got := ratios([]float64{2, 9}, []float64{4, 3}); !slices.Equal(got, []float64{0.5, 3}) {
		t.Errorf("%v", got)
	}
}

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		xs   []float64
		want string
	}{
		{[]float64{3, 1, 2}, "2.0 ms (1.0–3.0)"},
		{[]float64{1, 2, 3, 4, 5, 6, 7, 8}, "4.5 ms (2.0–6.0)"},
	} {
		if got := spread(c.xs, "%.1f", "ms"); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	err := errors.Join(printHead(&out),
		printLines(&out, []line{{what: "a", bound: "≤ 1", ours: "2", peer: "3", held: holds(false, "0.7 ×")}}),
		printLines(&out, []line{{what: "b", held: holds(true, "")}}))
	if err != nil {
		t.Fatal(err)
	}
	want := "| What | Bound | Lynx | Peer | Held |\n|---|---|---|---|---|\n| a | ≤ 1 | 2 | 3 | no, 0.7 × |\n| b |  |  |  | yes |\n"
	if out.String() != want {
		t.Errorf("%s", out.String())
	}
}

func TestNanoseconds(t *testing.T) {
	out := `goos: linux
BenchmarkClaim/1000-2         	    5000	    123456 ns/op	  99 B/op
BenchmarkClaim/1000-2         	    5000	    1.5 ns/op
ok  	internal/platform	12.3s
`
	if got := nanoseconds(out); !slices.Equal(got, []float64{123456, 1.5}) {
		t.Errorf("%v", got)
	}
}

// TestStudies parses what the rows submit.
func TestStudies(t *testing.T) {
	for name, text := range map[string]string{
		"empty": emptyStudy(3), "empty command": emptyCommand(3), "empty, shared": emptyShared(3), "claim": studyOf("type: "+claimType, 1),
		"send": sendStudy(1000, 100), "ping": pingStudy(10), "breach": breachStudy(7), "breach, rash": rashStudy(7), "breach, shared": breachShared(7),
	} {
		if _, err := study.Parse([]byte(text), name); err != nil {
			t.Errorf("%v", err)
		}
	}
}

func TestArguments(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"-rows slot,speed", `no row "speed"; there are slot,tutorial,`},
		{"-reps 0", "at least 1"},
		{"-jobs 1", "at least 2"},
		{"-slots 1,x", `"x" is no number of slots`},
		{"-slots 0", `"0" is no number of slots`},
	} {
		if err := run(t.Context(), strings.Fields(c.args), io.Discard); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.args, err)
		}
	}
	if o, _, _, err := parse(strings.Fields("-quick -jobs 40")); err != nil || o.jobs != 40 || o.reps != 3 || !slices.Equal(o.slots, []int{1, 2, 4}) {
		t.Errorf("%+v, %v", o, err)
	}
	if chosen, err := choose("breach,idle"); err != nil || len(chosen) != 2 || chosen[0].name != "breach" {
		t.Errorf("%v, %v", chosen, err)
	}
}
