package runner

import (
	"fmt"
	"math"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/runner/telemetry"
	"github.com/tetryx/lynx-runner/internal/study"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// result is the attempt's record in the protocol's terms.
func (j *job) result(rec *record, outcome api.Outcome, message string) *runnerv1.Result {
	result := &runnerv1.Result{
		// Parts of the message are other programs' words, and not all of them UTF-8.
		Outcome: string(outcome), ErrorMessage: rec.paths.readable(printable(message)), Directory: rec.paths.dir,
		EndedAt:   timestamppb.New(rec.endedAt(j.r.now())),
		Breach:    breach(rec, outcome),
		Telemetry: telemetrySummary(rec.telemetry),
		Metrics:   rec.metrics, MetricsLeftOut: uint64(rec.leftOut),
		ImageId: rec.imageID, CodeDigest: rec.digest,
		Warnings: warnings(rec, outcome),
	}
	if !rec.started.IsZero() {
		result.StartedAt = timestamppb.New(rec.started)
	}
	if x := rec.exit; rec.exited {
		result.Usage = &runnerv1.Usage{WallSeconds: x.Usage.Wall.Seconds(), CpuSeconds: x.Usage.CPU.Seconds(), PeakMemoryBytes: x.Usage.PeakMemory}
		if x.Known && x.ExecError == "" {
			result.ExitCode, result.Signal = proto.Int32(int32(x.Code)), int32(x.Signal)
		}
	}
	for _, a := range rec.collected.Artifacts {
		result.Artifacts = append(result.Artifacts, &runnerv1.Artifact{Name: a.Name, Size: a.Size, Sha256: a.SHA256})
	}
	return result
}

// endedAt is the executor's time, or the kill's, or that of giving up.
func (rec *record) endedAt(now time.Time) time.Time {
	switch {
	case rec.exited && !rec.exit.Ended.IsZero():
		return rec.exit.Ended
	case !rec.gone.IsZero():
		return rec.gone
	}
	return now
}

// breach tells of the watchdog's verdict, where that is the outcome, and of how fast
// the kill was, if it was the kill that ended the job. A value that is no number is in
// the message: the protocol has none for it.
func breach(rec *record, outcome api.Outcome) *runnerv1.Breach {
	v := rec.verdict
	if v == nil || outcome != api.OutcomeEarlyTermination && outcome != api.OutcomeTelemetryInvalid || !finite(v.Value) || !finite(v.Time) {
		return nil
	}
	b := &runnerv1.Breach{Condition: condition(v.Condition), Value: v.Value, TimeSeconds: v.Time, ReceivedAt: timestamppb.New(rec.arrived)}
	byItself := rec.exited && rec.exit.Known && rec.exit.Signal == 0
	if !rec.gone.IsZero() && !byItself && !rec.gone.Before(rec.arrived) {
		b.KillMilliseconds = proto.Float64(float64(rec.gone.Sub(rec.arrived)) / float64(time.Millisecond))
	}
	return b
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

func condition(c study.Condition) *runnerv1.Condition {
	return &runnerv1.Condition{
		Name: c.Name, Description: c.Description, Variable: c.Variable,
		Operator: string(c.Operator), Threshold: c.Threshold, Units: c.Units,
	}
}

func telemetrySummary(s telemetry.Summary) *runnerv1.TelemetrySummary {
	out := &runnerv1.TelemetrySummary{
		Samples: s.Samples, DroppedSamples: s.Dropped, ClientDroppedSamples: s.ClientDropped, DuplicateBatches: s.DuplicateBatches,
	}
	for _, v := range s.Variables {
		out.Variables = append(out.Variables, &runnerv1.VariableSummary{
			Name: v.Name, Unit: v.Unit, Count: v.Count, Min: v.Min, Max: v.Max, Last: v.Last,
		})
	}
	return out
}

// warnings are what did not decide the outcome and is worth knowing.
func warnings(rec *record, outcome api.Outcome) []string {
	list := append([]string(nil), rec.warnings...)
	list = append(list, rec.exit.Notes...)
	if n := rec.exit.OOM.Killed; n > 0 && outcome == api.OutcomeCompleted {
		list = append(list, fmt.Sprintf("The job completed, but the kernel killed %d of its processes for want of memory.", n))
	}
	if n := rec.exit.Logs.Stdout.Dropped + rec.exit.Logs.Stderr.Dropped; n > 0 {
		list = append(list, fmt.Sprintf("%d bytes were cut out of the middle of the logs.", n))
	}
	if over := rec.collected.LimitExceeded; over != "" && outcome != api.OutcomeOutputLimit {
		list = append(list, over+" What lies beyond that was left out.")
	}
	if rec.incomplete != nil && outcome != api.OutcomeInfrastructure {
		list = append(list, "What the job left could not all be collected: "+sentence(rec.incomplete.Error()))
	}
	for i, text := range list {
		list[i] = rec.paths.readable(printable(text))
	}
	return list
}
