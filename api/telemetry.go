package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"math"
	"net/url"
	"strconv"
	"strings"
)

// Number is a float64 that is null in JSON where it is not finite, for which
// JSON has no number; null is read as NaN.
type Number float64

// MarshalJSON implements json.Marshaler.
func (n Number) MarshalJSON() ([]byte, error) {
	if x := float64(n); math.IsNaN(x) || math.IsInf(x, 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

// UnmarshalJSON implements json.Unmarshaler.
func (n *Number) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		*n = Number(math.NaN())
		return nil
	}
	return json.Unmarshal(data, (*float64)(n))
}

// Telemetry is what an attempt reported while it ran.
type Telemetry struct {
	JobID   string `json:"job_id"`
	Attempt int    `json:"attempt" doc:"The number of the attempt, from 1."`
	// Live says that the attempt still runs: this is what there is by now.
	Live bool `json:"live" doc:"Whether the attempt still runs, so that this is what there is by now."`
	// Downsampled says that at least one series was.
	Downsampled bool `json:"downsampled" doc:"Whether any of the series is downsampled."`
	// DroppedSamples are missing here because they came faster than they could be
	// sent; only of an attempt that runs.
	DroppedSamples uint64 `json:"dropped_samples" doc:"Samples that are missing because they came faster than they could be sent; only while the attempt runs."`
	// Variables are in the order of their first value.
	Variables []Series `json:"variables" nullable:"false" doc:"In the order of each variable's first value."`
	// VariablesLeftOut counts further variables, which have to be asked for by name.
	VariablesLeftOut int `json:"variables_left_out" doc:"Further variables that are not in this answer; ask for them by name."`
}

// Series is the values of one variable in the order in which they arrived. Of a
// downsampled series, each stretch of consecutive values is represented by its
// smallest and its largest one; the first and the last value are always there.
type Series struct {
	Name string `json:"name"`
	Unit string `json:"unit" doc:"As the scenario reported it; empty if it has none."`
	// Count is the number of values that the series stands for.
	Count uint64 `json:"count" doc:"Values in the range that was asked for, before downsampling."`
	// NonFinite counts those that are NaN or infinite.
	NonFinite   uint64 `json:"non_finite" doc:"How many of them are NaN or infinite."`
	Downsampled bool   `json:"downsampled" doc:"Whether only the extremes of each stretch of values are here."`
	// Times and Values have the same length.
	Times  []float64 `json:"times" nullable:"false" doc:"Simulation time in seconds of each value."`
	Values []Number  `json:"values" nullable:"false" doc:"null for NaN and infinity."`
}

// TelemetryQuery says which telemetry is wanted. The zero value asks for all
// variables of the latest attempt, over all time, in as many points as the
// platform thinks good.
type TelemetryQuery struct {
	// Attempt is the attempt's number; 0 is the latest.
	Attempt int
	// Variables are the names of those wanted; none means all.
	Variables []string
	// From and To bound the simulation time in seconds, both included; nil is no
	// bound.
	From, To *float64
	// MaxPoints bounds the points of each series; 0 leaves it to the platform.
	MaxPoints int
}

func (q TelemetryQuery) values() url.Values {
	v := attemptQuery(q.Attempt)
	if len(q.Variables) > 0 {
		v.Set("variables", strings.Join(q.Variables, ","))
	}
	if q.From != nil {
		v.Set("from", strconv.FormatFloat(*q.From, 'g', -1, 64))
	}
	if q.To != nil {
		v.Set("to", strconv.FormatFloat(*q.To, 'g', -1, 64))
	}
	if q.MaxPoints != 0 {
		v.Set("max_points", strconv.Itoa(q.MaxPoints))
	}
	return v
}

// Telemetry returns an attempt's telemetry, also of one that runs. A [*Problem]
// of status 404 if the platform has none says where it lies instead.
func (c *Client) Telemetry(ctx context.Context, jobID string, q TelemetryQuery) (*Telemetry, error) {
	return get[Telemetry](ctx, c, q.values(), "jobs", jobID, "telemetry")
}

// TelemetrySample is the values of some variables at one instant of simulation
// time.
type TelemetrySample struct {
	TimeSeconds float64          `json:"time_seconds" doc:"Simulation time."`
	Values      []TelemetryValue `json:"values" nullable:"false"`
}

// TelemetryValue is one variable's value in a sample.
type TelemetryValue struct {
	Name  string `json:"name"`
	Value Number `json:"value" doc:"null for NaN and infinity."`
	Unit  string `json:"unit"`
}

// TelemetryChunk is some samples of an attempt that runs, in the order in which
// they arrived.
type TelemetryChunk struct {
	Samples []TelemetrySample `json:"samples" nullable:"false"`
	// DroppedSamples are missing so far, because they came faster than they could
	// be sent.
	DroppedSamples uint64 `json:"dropped_samples" doc:"Samples that are missing so far, because they came faster than they could be sent."`
}

// StreamEnd is the last event of a stream that is over because the attempt is.
type StreamEnd struct {
	JobID   string `json:"job_id"`
	Attempt int    `json:"attempt"`
}

// FollowTelemetry yields the telemetry of a running attempt as it comes,
// beginning with what there is; attempt 0 is the latest. It ends without an
// error when the attempt does, and after the first error.
func (c *Client) FollowTelemetry(ctx context.Context, jobID string, attempt int) iter.Seq2[TelemetryChunk, error] {
	return func(yield func(TelemetryChunk, error) bool) {
		for m, err := range c.messages(ctx, "", attemptQuery(attempt), "jobs", jobID, "telemetry", "live") {
			if err != nil {
				yield(TelemetryChunk{}, err)
				return
			}
			switch m.event {
			case "end":
				return
			case "telemetry":
				var chunk TelemetryChunk
				if err := json.Unmarshal(m.data, &chunk); err != nil {
					yield(chunk, fmt.Errorf("telemetry of job %s: %w", jobID, err))
					return
				}
				if !yield(chunk, nil) {
					return
				}
			}
		}
		yield(TelemetryChunk{}, unreachable(ctx, io.ErrUnexpectedEOF))
	}
}
