package rest

import (
	"fmt"
	"math"
	"path"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/platform"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// outputDir is where an attempt's directory has what the job wrote.
const outputDir = "output"

// viewResult makes the documented JobResult of a run that has a result.
func viewResult(r *platform.RunResult, artifacts []api.Artifact) *api.JobResult {
	res := r.Result
	return &api.JobResult{
		JobID:             r.ID,
		Success:           r.State == api.JobCompleted,
		ExecutionTimeSecs: int64(math.Round(res.GetUsage().GetWallSeconds())),
		OutputFiles:       viewFiles(res),
		TelemetryData:     viewTelemetry(res.GetTelemetry()),
		Metadata: map[string]string{
			"run_id":             strconv.Itoa(r.RunIndex),
			"simulation_version": r.Spec.Simulation.Version,
		},
		ErrorMessage:   resultError(r),
		BatchID:        r.BatchID,
		RunIndex:       r.RunIndex,
		Status:         r.State,
		Outcome:        r.Attempt.Outcome,
		Attempt:        r.Attempt.Number,
		AssignedRunner: r.Attempt.RunnerID,
		StartedAt:      stamp(res.GetStartedAt()),
		EndedAt:        stamp(res.GetEndedAt()),
		ExitCode:       exitCode(res),
		Signal:         signal(res),
		Usage:          viewUsage(res.GetUsage()),
		Telemetry:      viewCounts(res.GetTelemetry()),
		Breach:         viewBreach(res.GetBreach()),
		Metrics:        viewMetrics(res),
		MetricsLeftOut: res.GetMetricsLeftOut(),
		Artifacts:      artifacts,
		Directory:      res.GetDirectory(),
		ImageID:        res.GetImageId(),
		CodeDigest:     res.GetCodeDigest(),
		Warnings:       list(res.GetWarnings()),
	}
}

// viewRow makes a row of a run that may have no result yet; the getters of a nil
// result give zero values.
func viewRow(r *platform.RunResult, artifacts []api.Artifact) api.RunRow {
	res := r.Result
	return api.RunRow{
		RunIndex:          r.RunIndex,
		JobID:             r.ID,
		Status:            r.State,
		Outcome:           outcome(r.Outcome),
		ErrorMessage:      text(r.ErrorMessage),
		Parameters:        viewParameters(r.Spec, r.Values),
		Metrics:           viewMetrics(res),
		ExecutionTimeSecs: int64(math.Round(res.GetUsage().GetWallSeconds())),
		Usage:             viewUsage(res.GetUsage()),
		TelemetryData:     viewTelemetry(res.GetTelemetry()),
		Telemetry:         viewCounts(res.GetTelemetry()),
		Breach:            viewBreach(res.GetBreach()),
		OutputFiles:       viewFiles(res),
		Artifacts:         artifacts,
		Warnings:          list(res.GetWarnings()),
		Directory:         res.GetDirectory(),
		Attempt:           r.Attempts,
		Retries:           r.Retries,
		Requeues:          r.Requeues,
		Reruns:            r.Reruns,
		AssignedRunner:    text(r.RunnerID),
		StartedAt:         moment(r.StartedAt),
		CompletedAt:       moment(r.CompletedAt),
	}
}

// resultError is null for a success only, as documented.
func resultError(r *platform.RunResult) *string {
	switch {
	case r.State == api.JobCompleted:
		return nil
	case r.Result.GetErrorMessage() != "":
		return text(r.Result.GetErrorMessage())
	case r.ErrorMessage != "":
		return text(r.ErrorMessage)
	}
	return text(fmt.Sprintf("attempt %d ended as %s, and the job is %s", r.Attempt.Number, r.Attempt.Outcome, r.State))
}

func viewFiles(r *runnerv1.Result) []string {
	files := make([]string, len(r.GetArtifacts()))
	for i, a := range r.GetArtifacts() {
		files[i] = path.Join(r.GetDirectory(), outputDir, a.GetName())
	}
	return files
}

// viewTelemetry is nil, null in JSON, if no sample was kept.
func viewTelemetry(t *runnerv1.TelemetrySummary) map[string]api.VariableSummary {
	if len(t.GetVariables()) == 0 {
		return nil
	}
	m := make(map[string]api.VariableSummary, len(t.GetVariables()))
	for _, v := range t.GetVariables() {
		m[v.GetName()] = api.VariableSummary{
			Unit: v.GetUnit(), Count: v.GetCount(),
			Min: finite(v.GetMin()), Max: finite(v.GetMax()), Last: finite(v.GetLast()),
		}
	}
	return m
}

// viewCounts is nil, absent in JSON, if the job sent nothing.
func viewCounts(t *runnerv1.TelemetrySummary) *api.TelemetryCounts {
	c := api.TelemetryCounts{
		Samples:              t.GetSamples(),
		DroppedSamples:       t.GetDroppedSamples(),
		ClientDroppedSamples: t.GetClientDroppedSamples(),
		DuplicateBatches:     t.GetDuplicateBatches(),
	}
	if c == (api.TelemetryCounts{}) {
		return nil
	}
	return &c
}

func viewBreach(b *runnerv1.Breach) *api.Breach {
	if b == nil {
		return nil
	}
	c := b.GetCondition()
	return &api.Breach{
		Condition: api.Condition{
			Name: c.GetName(), Description: c.GetDescription(), Variable: c.GetVariable(),
			Operator: c.GetOperator(), Threshold: c.GetThreshold(), Units: c.GetUnits(),
		},
		Value:            b.GetValue(),
		TimeSeconds:      b.GetTimeSeconds(),
		ReceivedAt:       stamp(b.GetReceivedAt()),
		KillMilliseconds: b.KillMilliseconds,
	}
}

func viewUsage(u *runnerv1.Usage) api.Usage {
	return api.Usage{
		WallSeconds: u.GetWallSeconds(), CPUSeconds: u.GetCpuSeconds(), PeakMemoryBytes: u.GetPeakMemoryBytes(),
	}
}

func viewMetrics(r *runnerv1.Result) map[string]float64 {
	if r.GetMetrics() == nil {
		return map[string]float64{}
	}
	return r.GetMetrics()
}

func exitCode(r *runnerv1.Result) *int {
	if r.ExitCode == nil {
		return nil
	}
	n := int(r.GetExitCode())
	return &n
}

func signal(r *runnerv1.Result) *int {
	if r.GetSignal() == 0 {
		return nil
	}
	n := int(r.GetSignal())
	return &n
}

// stamp makes null of an absent time.
func stamp(t *timestamppb.Timestamp) *time.Time {
	if t == nil {
		return nil
	}
	at := t.AsTime()
	return &at
}

// finite makes null of what JSON has no number for.
func finite(x float64) *float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return nil
	}
	return &x
}
