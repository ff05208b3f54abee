package study

import "fmt"

// Warnings are sentences for people, one each: about fields that are accepted and
// recorded but have no effect, and about a study that is valid but hardly meant.
// Paths are those of the config part.
func (r *Request) Warnings() []string {
	var list []string
	warn := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	t := &r.Config.Telemetry
	if t.SamplingRateHz != nil {
		warn("telemetry.sampling_rate_hz has no effect: every sample that the scenario sends is kept")
	}
	if len(t.Variables) > 0 {
		warn("telemetry.variables has no effect: every variable that the scenario sends is kept")
	}
	if t.Storage != (TelemetryStorage{}) {
		warn("telemetry.storage has no effect: telemetry is stored with the attempt's files, as telemetry.parquet")
	}
	if t.BufferFlushIntervalSeconds != nil {
		warn("telemetry.buffer_flush_interval_seconds has no effect: samples are stored as they arrive")
	}
	if len(r.Config.Dispersions) == 0 {
		warn("dispersions is empty: the runs differ in nothing but their seeds")
	}
	if e := &r.Config.EarlyTermination; e.Enabled && len(e.Conditions) == 0 {
		warn("early_termination is enabled but has no conditions: no run is ended early")
	}
	if limit := r.Config.MonteCarlo.MaxFailed.Limit(r.Runs()); limit >= r.Runs() {
		warn("monte_carlo.max_failed allows all %d runs to fail: the batch can't fail", r.Runs())
	}
	return list
}
