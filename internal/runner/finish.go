package runner

import (
	"context"
	"errors"
	"fmt"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/runner/artifact"
	"github.com/tetryx/lynx-runner/internal/runner/config"
	"github.com/tetryx/lynx-runner/internal/shim"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

func artifactLimits(o config.OutputLimits) artifact.Limits {
	return artifact.Limits{TotalBytes: o.TotalBytes, FileBytes: o.FileBytes, Files: o.Files, Depth: o.Depth}
}

// collect takes stock of what the attempt left, when no process of it lives.
// What goes wrong is noted in the record: an attempt's end is told in any case.
func (j *job) collect(ctx context.Context, rec *record) {
	if rec.paths.dir == "" {
		return
	}
	// The space may have come back meanwhile: a log that found none is evidence, too.
	rec.diskFull = shim.DiskFull(rec.paths.dir) || rec.exit.Logs.Stdout.Full || rec.exit.Logs.Stderr.Full
	rec.stderr = lastLineOf(rec.paths.log, "stderr.log")
	if j.stock == nil {
		j.beginStock(ctx, rec)
	}
	found := <-j.stock
	rec.collected = found.collected
	note(rec, "artifacts", found.collectErr)
	rec.warnings = append(rec.warnings, rec.collected.Warnings...)
	rec.warnings = append(rec.warnings, artifact.Sweep(rec.paths.log)...)
	j.measureAll(ctx, rec)
	rec.metrics, rec.leftOut = found.metrics, found.leftOut
	if found.metricsErr != nil {
		// What a scenario writes there is its own affair.
		rec.warnings = append(rec.warnings, "No metrics: "+sentence(found.metricsErr.Error()))
	}
	j.writeTable(ctx, rec)
}

// measureAll finds what the job wrote after the last look at it.
func (j *job) measureAll(ctx context.Context, rec *record) {
	limits := artifactLimits(j.r.cfg.Limits.Output)
	use, err := artifact.Usage(ctx, limits, rec.paths.output, rec.paths.log)
	note(rec, "measuring the output", err)
	if rec.collected.LimitExceeded == "" {
		rec.collected.LimitExceeded = overLimit(use, limits)
	}
}

// leading is how many directories lead to an attempt's own: those of its run and its
// batch, and the output root.
const leading = 3

// sync makes the attempt's files survive a crash of the host, with the directories
// that lead to them from the output root. Those that no result will name need not.
func (j *job) sync(ctx context.Context, rec *record, outcome api.Outcome) error {
	if rec.paths.dir == "" || outcome == api.OutcomeLeaseLost {
		return nil
	}
	return artifact.Sync(ctx, rec.paths.handle, leading)
}

// note adds to what went wrong with the files.
func note(rec *record, what string, err error) {
	if err != nil {
		rec.incomplete = errors.Join(rec.incomplete, fmt.Errorf("%s: %w", what, err))
	}
}

// evidence puts together what the outcome is decided on.
func (j *job) evidence(ctx context.Context, rec *record) evidence {
	return evidence{
		cause: j.hindsight(rec), verdict: rec.verdict, exit: rec.exit, exited: rec.exited, failure: rec.failure,
		overLimit: rec.collected.LimitExceeded, diskFull: rec.diskFull, incomplete: rec.incomplete, shutdown: ctx.Err() != nil,
		timeout: rec.spec.Timeout, program: programText(rec), image: rec.image,
		fileLimit: j.r.cfg.Limits.Output.FileBytes, stderrLine: rec.stderr,
	}
}

// giveAway makes the attempt's files the owner's. It comes last, so that a root
// runner leaves nothing that belongs to a slot's user.
func (j *job) giveAway(rec *record, result *runnerv1.Result) {
	if j.r.owner == nil || rec.paths.dir == "" {
		return
	}
	if err := artifact.Chown(ownPath(rec.paths.handle), j.slot.uid, j.r.owner.UID, j.r.owner.GID); err != nil {
		j.log.Warn("cannot give the results to their owner", "directory", rec.paths.dir, "error", err)
		result.Warnings = append(result.Warnings, "The files could not all be given to their owner: "+rec.paths.readable(sentence(err.Error())))
	}
}
