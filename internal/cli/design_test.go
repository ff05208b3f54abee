package cli

import (
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"
)

func TestValidate(t *testing.T) {
	good, _ := writeStudy(t, tutorial)
	stdout, stderr, status := lynxctl(t.Context(), t, nil, "validate", good)
	if status != ExitOK || !strings.Contains(stdout, "is valid: 2 runs, 1 dispersion, ") || stderr != "" {
		t.Errorf("status %d, stdout %q, stderr %q", status, stdout, stderr)
	}
	bad, _ := writeStudy(t, strings.Replace(tutorial, "sampling_method", "samplng_method", 1))
	stdout, stderr, status = lynxctl(t.Context(), t, nil, "validate", bad)
	if status != ExitUsage || stdout != "" {
		t.Errorf("status %d, stdout %q", status, stdout)
	}
	for _, want := range []string{bad + ":3:", "samplng_method", "sampling_method", "1 error"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("stderr has no %q:\n%s", want, stderr)
		}
	}
}

// TestSampleFormatsAgree: the three formats print the same design, which is the
// same each time.
func TestSampleFormatsAgree(t *testing.T) {
	file, _ := writeStudy(t, tutorial)
	table, _, status := lynxctl(t.Context(), t, nil, "sample", file, "--runs", "5")
	if lines := strings.Count(table, "\n"); status != ExitOK || lines < 6 {
		t.Errorf("status %d, table:\n%s", status, table)
	}
	text, _, _ := lynxctl(t.Context(), t, nil, "sample", file, "--runs", "5", "--format", "csv")
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || len(rows) != 6 {
		t.Fatalf("%v: %v", err, rows)
	}
	text, _, _ = lynxctl(t.Context(), t, nil, "sample", file, "--runs", "5", "--format", "json")
	var design struct {
		Seed uint64
		Runs []struct {
			Seed       json.Number
			Parameters map[string]json.Number
		}
	}
	if err := json.Unmarshal([]byte(text), &design); err != nil || design.Seed != 42 {
		t.Fatalf("%v: %s", err, text)
	}
	for k, run := range design.Runs {
		if got := []string{string(run.Parameters["eccentricity"]), string(run.Seed)}; got[0] != rows[k+1][1] || got[1] != rows[k+1][2] {
			t.Errorf("run %d: JSON has %v, CSV %v", k, got, rows[k+1])
		}
	}
}

func TestSampleWithoutASeedSaysWhichItTook(t *testing.T) {
	file, _ := writeStudy(t, strings.Replace(tutorial, ", seed: 42", "", 1))
	stdout, stderr, status := lynxctl(t.Context(), t, nil, "sample", file, "--format", "json")
	var design struct{ Seed json.Number }
	if err := json.Unmarshal([]byte(stdout), &design); err != nil || status != ExitOK {
		t.Fatalf("status %d, %v", status, err)
	}
	if !strings.Contains(stderr, string(design.Seed)) {
		t.Errorf("stderr %q does not name seed %s", stderr, design.Seed)
	}
	if _, stderr, status := lynxctl(t.Context(), t, nil, "sample", file, "--format", "xml"); status != ExitUsage || !strings.Contains(stderr, "table, csv or json") {
		t.Errorf("status %d, stderr %q", status, stderr)
	}
}
