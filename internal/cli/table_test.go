package cli

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestTableBreaksWideHeaders(t *testing.T) {
	tab := &table{}
	tab.column("run", true)
	tab.column("semi_major_axis_m", true)
	tab.column("outcome", false)
	tab.row("0", "6991822", "completed")
	tab.row("10", "7012345", "early_termination")
	var out strings.Builder
	if err := tab.write(&out); err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		"       semi_",
		"      major_",
		"run   axis_m  outcome",
		"  0  6991822  completed",
		" 10  7012345  early_termination",
		"",
	}, "\n")
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestTableEscapesCells(t *testing.T) {
	tab := &table{}
	tab.column("name", false)
	tab.row("a\x1b[2Jb\nc")
	var out strings.Builder
	if err := tab.write(&out); err != nil {
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
