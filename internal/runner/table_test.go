package runner

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tetryx/lynx-runner/executor"
)

// Telemetry that takes too long to make a table of is kept as it came, and does not
// change what came of the job.
func TestTooMuchForATable(t *testing.T) {
	b := newBench(t)
	b.pace.table = time.Nanosecond
	b.executor.script = func(ctx context.Context, p *program) executor.Exit {
		p.publish(ctx, 1, "orbit.radius_km", 7000, "km")
		return exited(0)
	}
	result := runOne(t, b, assignment("job", 0))
	if result.GetOutcome() != "completed" || !slices.ContainsFunc(result.GetWarnings(), func(w string) bool {
		return strings.Contains(w, "telemetry.parquet was not made") && strings.Contains(w, result.GetDirectory())
	}) {
		t.Errorf("%s: %s; warnings %q", result.GetOutcome(), result.GetErrorMessage(), result.GetWarnings())
	}
	left := files(t, result.GetDirectory())
	if slices.Contains(left, "telemetry.parquet") || !slices.ContainsFunc(left, func(name string) bool {
		info, err := os.Stat(filepath.Join(result.GetDirectory(), name))
		return strings.HasPrefix(name, "telemetry") && err == nil && info.Size() > 0
	}) {
		t.Errorf("files %q", left)
	}
}
