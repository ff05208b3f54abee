package runner

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/tetryx/lynx-runner/internal/runner/telemetry"
)

// writeTable makes a table of the attempt's telemetry log, if it has one. How long
// that takes is the job's to decide, within the bound of the log: where it is too
// long the log stays in the table's place, so that no sample is lost and nobody else
// waits.
func (j *job) writeTable(ctx context.Context, rec *record) {
	if _, err := os.Stat(rec.paths.telemetryLog); err != nil {
		return
	}
	bounded, cancel := context.WithTimeout(ctx, j.r.pace.table)
	defer cancel()
	err := j.untilSpace(bounded, rec, func() error {
		return telemetry.WriteParquet(bounded, rec.paths.telemetryLog, rec.paths.parquet)
	})
	switch {
	case err == nil:
		rec.tabled = true
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		rec.warnings = append(rec.warnings, fmt.Sprintf("There is so much telemetry that telemetry.parquet was not made of it within %v; all samples are in %s.",
			j.r.pace.table, rec.paths.readable(rec.paths.telemetryLog)))
	default:
		note(rec, "telemetry", err)
	}
}
