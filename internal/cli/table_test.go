package cli

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// tutorialTable is as wide as the tutorial's.
func tutorialTable() *table {
	t := &table{}
	t.column("run", true)
	for _, name := range []string{"semi_major_axis_m", "eccentricity", "inclination_deg", "raan_deg", "arg_perigee_deg", "true_anomaly_deg", "duration_orbits"} {
		t.column(name, true)
	}
	t.column("outcome", false)
	t.column("time [s]", true)
	t.column("last orbit.radius_km", true)
	t.row("0", "6999419", "0.00153775", "35.4599", "41.9208", "337.617", "71.1057", "0.771473", "completed", "14.47", "6988.88")
	t.row("10", "7027994", "0.00132538", "31.4378", "52.1979", "350.946", "91.5183", "0.720789", "early_termination", "9.90", "7018.81")
	return t
}

func TestTableAtWidths(t *testing.T) {
	for width, want := range map[int]string{
		200: `
run  semi_major_axis_m  eccentricity  inclination_deg  raan_deg  arg_perigee_deg  true_anomaly_deg  duration_orbits  outcome            time [s]  last orbit.radius_km
  0            6999419    0.00153775          35.4599   41.9208          337.617           71.1057         0.771473  completed             14.47               6988.88
 10            7027994    0.00132538          31.4378   52.1979          350.946           91.5183         0.720789  early_termination      9.90               7018.81
`,
		120: `
       semi_                                           arg_     true_                                            last
      major_                inclination_    raan_  perigee_  anomaly_  duration_                      time     orbit.
run   axis_m  eccentricity           deg      deg       deg       deg     orbits  outcome              [s]  radius_km
  0  6999419    0.00153775       35.4599  41.9208   337.617   71.1057   0.771473  completed          14.47    6988.88
 10  7027994    0.00132538       31.4378  52.1979   350.946   91.5183   0.720789  early_termination   9.90    7018.81
`,
		60: `
     semi_major_                inclination_    raan_
run       axis_m  eccentricity           deg      deg
  0      6999419    0.00153775       35.4599  41.9208
 10      7027994    0.00132538       31.4378  52.1979

            arg_        true_  duration_
run  perigee_deg  anomaly_deg     orbits  outcome
  0      337.617      71.1057   0.771473  completed
 10      350.946      91.5183   0.720789  early_termination

      time  last orbit.
run    [s]    radius_km
  0  14.47      6988.88
 10   9.90      7018.81
`,
	} {
		var out strings.Builder
		if err := tutorialTable().write(&out, width); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, "\n"+out.String()); diff != "" {
			t.Errorf("at %d columns (-want +got):\n%s", width, diff)
		}
	}
}

// TestTableInAPipe: one line a run, whatever the width, so that it can be cut and
// sorted.
func TestTableInAPipe(t *testing.T) {
	tab := tutorialTable()
	for range 20 {
		tab.column(strings.Repeat("wide", 10), true)
		tab.rows[0], tab.rows[1] = append(tab.rows[0], "1"), append(tab.rows[1], "2")
	}
	var out strings.Builder
	if err := tab.write(&out, 0); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "\n"); n > headerLines+2 {
		t.Errorf("%d lines for two runs:\n%s", n, out.String())
	}
}

// TestTableFits: whatever is in it, no line is wider than the terminal, unless
// one column beside the first is, every cell is there, and every block begins
// with the first column.
func TestTableFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.IntRange(20, 200).Draw(t, "width")
		word := rapid.StringMatching(`[a-z]{1,8}([_.][a-z]{1,8}){0,3}`)
		tab := &table{}
		n := rapid.IntRange(1, 12).Draw(t, "columns")
		for range n {
			tab.column(word.Draw(t, "header"), rapid.Bool().Draw(t, "number"))
		}
		for range rapid.IntRange(0, 4).Draw(t, "rows") {
			tab.row(rapid.SliceOfN(word, n, n).Draw(t, "row")...)
		}
		var out strings.Builder
		if err := tab.write(&out, width); err != nil {
			t.Fatal(err)
		}
		_, widths, blocks := tab.layout(width)
		for _, block := range blocks {
			if block[0] != 0 || len(block) > 2 && total(widths, block) > width {
				t.Fatalf("block %v of columns %v in %d columns:\n%s", block, widths, width, out.String())
			}
		}
		for i := range tab.headers {
			for _, row := range tab.rows {
				if !strings.Contains(out.String(), row[i]) {
					t.Fatalf("%q is missing:\n%s", row[i], out.String())
				}
			}
		}
	})
}

func TestTableEscapesCells(t *testing.T) {
	tab := &table{}
	tab.column("name", false)
	tab.row("a\x1b[2Jb\nc")
	var out strings.Builder
	if err := tab.write(&out, 0); err != nil {
		t.Fatal(err)
	}
	if want := "name\na\\x1b[2Jb\\nc\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestEscape(t *testing.T) {
	for in, want := range map[string]string{
		"plain text, ünïcode":    "plain text, ünïcode",
		"tab\tand\rreturn":       `tab\tand\rreturn`,
		"\x1b]0;title\x07":       `\x1b]0;title\a`,
		"bad \xff utf-8":         `bad \xff utf-8`,
		`a "quoted" word` + "\n": `a "quoted" word\n`,
		"c1 \u009b control":      `c1 \u009b control`,
		"a \u202egnp.exe":        `a \u202egnp.exe`,
	} {
		if got := escape(in); got != want {
			t.Errorf("escape(%q) = %q, want %q", in, got, want)
		}
	}
}

// TestEscapeLeavesNoControl: whatever a job wrote, nothing of it acts on a
// terminal.
func TestEscapeLeavesNoControl(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := escape(string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")))
		if !utf8.ValidString(s) {
			t.Fatalf("%q is not UTF-8", s)
		}
		for _, r := range s {
			if unicode.IsControl(r) {
				t.Fatalf("%q has the control character %U", s, r)
			}
		}
	})
}

// TestBreakHeader: the pieces of a header always join to the header again.
func TestBreakHeader(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		header := rapid.StringMatching(`[a-z_.]{1,30}`).Draw(t, "header")
		width := rapid.IntRange(0, 20).Draw(t, "width")
		if got := strings.Join(breakHeader(header, width), ""); got != header {
			t.Fatalf("%q became %q", header, got)
		}
	})
}
