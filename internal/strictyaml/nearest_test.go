package strictyaml_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tetryx/lynx-runner/internal/strictyaml"
)

func TestNearest(t *testing.T) {
	valid := []string{"max_retries", "max_failed", "runs", "seed", "sampling_method", "min", "max", "std_dev", "lt", "lte", "gt"}
	for name, want := range map[string]string{
		"max_retrys":                 "max_retries",
		"maxRetries":                 "max_retries",
		"MAX-RETRIES":                "max_retries",
		"max failed":                 "max_failed",
		"run":                        "runs",
		"rusn":                       "runs",
		"sampling":                   "",
		"samplingmethod":             "sampling_method",
		"mx":                         "max",
		"stddev":                     "std_dev",
		"LT":                         "lt",
		"x":                          "",
		"":                           "",
		"bananas":                    "",
		"runs":                       "runs",
		strings.Repeat("runs", 1000): "",
	} {
		if got := strictyaml.Nearest(name, valid); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", name, got, want)
		}
	}
	if got := strictyaml.Nearest("runs", nil); got != "" {
		t.Errorf("of nothing, %q is nearest", got)
	}
}

// TestNearestUndoesOneMistake: a name of at least four letters with one mistake in
// it is recognised.
func TestNearestUndoesOneMistake(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[a-z_]{4,20}`).Draw(t, "name")
		at := rapid.IntRange(0, len(name)-1).Draw(t, "at")
		letter := rapid.StringMatching(`[a-z]`).Draw(t, "letter")
		var wrong string
		switch rapid.SampledFrom([]string{"drop", "add", "change", "swap"}).Draw(t, "mistake") {
		case "drop":
			wrong = name[:at] + name[at+1:]
		case "add":
			wrong = name[:at] + letter + name[at:]
		case "change":
			wrong = name[:at] + letter + name[at+1:]
		case "swap":
			next := (at + 1) % len(name)
			first, second := min(at, next), max(at, next)
			if second-first != 1 {
				first, second = 0, 1
			}
			wrong = name[:first] + name[second:second+1] + name[first:first+1] + name[second+1:]
		}
		if got := strictyaml.Nearest(wrong, []string{"1234567890123456789012345", name}); got != name {
			t.Fatalf("Nearest(%q) = %q, want %q", wrong, got, name)
		}
	})
}
