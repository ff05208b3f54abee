package runner

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tetryx/lynx-runner/internal/runner/config"
)

// Every manifest says in what its job was confined less than by default; in
// nothing is an empty list, not a missing one.
func TestManifestNamesRelaxations(t *testing.T) {
	for name, tc := range map[string]struct {
		relaxed []config.Relaxation
		want    []any
	}{
		"none": {nil, []any{}},
		"one": {[]config.Relaxation{{Setting: "sandbox.network", Value: "lab", Meaning: "jobs reach others"}},
			[]any{map[string]any{"setting": "sandbox.network", "value": "lab", "meaning": "jobs reach others"}}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.cfg.Relaxations = tc.relaxed
			result := runOne(t, b, assignment("job", 17))
			if diff := cmp.Diff(tc.want, readManifest(t, result)["relaxations"]); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
