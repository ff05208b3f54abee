package rest

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/platform"
	"github.com/tetryx/lynx-runner/internal/platform/live"
)

// tablesAtOnce is how many telemetry tables are read at the same time: each takes
// a processor.
const tablesAtOnce = 2

// tableName is the stored telemetry of an attempt.
const tableName = "telemetry.parquet"

type telemetryQuery struct {
	AttemptQuery

	Variables []string          `query:"variables" maxItems:"200" doc:"Names of variables, separated by commas; leave it out for all."`
	From      Optional[float64] `query:"from" doc:"Simulation time in seconds from which on values are wanted, included."`
	To        Optional[float64] `query:"to" doc:"Simulation time in seconds up to which values are wanted, included."`
	MaxPoints int               `query:"max_points" minimum:"4" maximum:"5000" default:"1000" doc:"How many points each series has at most; longer ones are downsampled."`
}

func (h *handler) registerTelemetry(a huma.API) {
	operation(h, a, huma.Operation{
		OperationID: "getTelemetry", Method: http.MethodGet, Path: "/jobs/{job_id}/telemetry",
		Summary: "What an attempt reported about itself, as series",
		Description: "A series with more values than max_points is downsampled: each stretch of consecutive values is represented by its smallest and its largest, " +
			"so no extreme is lost. Of a running attempt it is what there is by now. At most 200 variables; ask for others by name.",
		Tags: []string{"telemetry"},
	}, h.telemetry)
	streaming(h, a, huma.Operation{
		OperationID: "followTelemetry", Path: "/jobs/{job_id}/telemetry/live",
		Summary: "The telemetry of a running attempt as it comes",
		Description: "Server-sent events: telemetry with samples, from the attempt's beginning on, then end when the attempt has ended. " +
			"A client that is slower than the attempt misses samples, and is told how many.",
		Tags: []string{"telemetry"},
		Responses: map[string]*huma.Response{"200": eventResponse(a, "Samples as they come.", map[string]any{
			"telemetry": api.TelemetryChunk{}, "end": api.StreamEnd{},
		})},
	}, h.telemetryLive)
}

func (h *handler) telemetry(ctx context.Context, in *telemetryQuery) (*api.Telemetry, error) {
	for name, bound := range map[string]Optional[float64]{"query.from": in.From, "query.to": in.To} {
		if math.IsNaN(bound.Value) || math.IsInf(bound.Value, 0) {
			return nil, &platform.InvalidError{Field: name, Message: "must be a finite number of seconds"}
		}
	}
	r, err := h.svc.AttemptResult(ctx, in.JobID, in.Attempt)
	if err != nil {
		return nil, err
	}
	t := &api.Telemetry{JobID: r.ID, Attempt: r.Attempt.Number, Live: running(&r)}
	p := newPlot(in)
	if t.Live {
		t.DroppedSamples, err = h.plotLive(ctx, &r, p)
	} else {
		err = h.plotStored(ctx, &r, p)
	}
	if err != nil {
		return nil, err
	}
	p.fill(t)
	return t, nil
}

// plotStored reads the stored table of an attempt that has ended. One that sent
// nothing has no series.
func (h *handler) plotStored(ctx context.Context, r *platform.RunResult, p *plot) error {
	if r.Result != nil && r.Result.GetTelemetry().GetSamples() == 0 {
		return nil
	}
	if h.files == nil {
		return h.notKept(ctx, r, tableName)
	}
	select {
	case h.tables <- struct{}{}:
		defer func() { <-h.tables }()
	case <-ctx.Done():
		return ctx.Err()
	}
	f, info, err := h.files.Open(ctx, keyOf(r), tableName)
	if errors.Is(err, fs.ErrNotExist) {
		return h.notKept(ctx, r, tableName)
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	return readTable(ctx, f, info.Size, p)
}

// plotLive takes what there is by now of a running attempt, and returns how many
// samples are missing.
func (h *handler) plotLive(ctx context.Context, r *platform.RunResult, p *plot) (dropped uint64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	items, err := h.watch(ctx, r, live.What{Telemetry: true})
	if err != nil {
		return 0, err
	}
	return dropped, collect(ctx, items, func(item live.Item) error {
		c, ok := item.(live.TelemetryChunk)
		if !ok {
			return nil
		}
		dropped = c.Dropped
		for _, s := range c.Samples {
			for _, v := range s.GetValues() {
				p.add(s.GetTimeSeconds(), v.GetName(), v.GetValue(), v.GetUnit())
			}
		}
		return nil
	})
}

func (h *handler) telemetryLive(ctx context.Context, in *AttemptQuery) (responder, error) {
	r, err := h.svc.AttemptResult(ctx, in.JobID, in.Attempt)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var items <-chan live.Item
	if running(&r) {
		if items, err = h.watch(ctx, &r, live.What{Telemetry: true}); err != nil {
			cancel()
			return nil, err
		}
	}
	return func(w http.ResponseWriter, req *http.Request) {
		defer cancel()
		stream, ok := beginEvents(w, req)
		if ok && items != nil {
			ok = h.sendTelemetry(ctx, stream, items)
		}
		if ok && h.soonOver(ctx, &r, reconnectWithin) {
			_ = stream.send("", "end", &api.StreamEnd{JobID: r.ID, Attempt: r.Attempt.Number})
		}
	}, nil
}

// sendTelemetry copies items until there are no more, and returns false if the
// client is gone.
func (h *handler) sendTelemetry(ctx context.Context, stream eventStream, items <-chan live.Item) bool {
	beat := time.NewTicker(h.heartbeat)
	defer beat.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return false
		case <-beat.C:
			err = stream.beat("")
		case item, ok := <-items:
			if !ok {
				return true
			}
			if c, ok := item.(live.TelemetryChunk); ok {
				err = stream.send("", "telemetry", viewChunk(&c))
			}
		}
		if err != nil {
			return false
		}
	}
}

func viewChunk(c *live.TelemetryChunk) *api.TelemetryChunk {
	out := &api.TelemetryChunk{Samples: make([]api.TelemetrySample, len(c.Samples)), DroppedSamples: c.Dropped}
	for i, s := range c.Samples {
		values := make([]api.TelemetryValue, len(s.GetValues()))
		for k, v := range s.GetValues() {
			values[k] = api.TelemetryValue{Name: v.GetName(), Value: api.Number(v.GetValue()), Unit: v.GetUnit()}
		}
		out.Samples[i] = api.TelemetrySample{TimeSeconds: s.GetTimeSeconds(), Values: values}
	}
	return out
}
