package runner

import (
	"context"
	"sync"
	"time"

	"github.com/tetryx/lynx-runner/internal/shim"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
	telemetryv1 "github.com/tetryx/lynx-runner/proto/lynx/telemetry/v1"
)

const (
	// tailChunk is how much of a log goes into one message.
	tailChunk = 64 << 10
	// tailInterval is how often a log that is watched is looked at.
	tailInterval = 100 * time.Millisecond
)

// followLogs sends what the job prints, from its beginning to its end.
func (w *watched) followLogs(ctx context.Context) {
	j := w.t.r.job(w.id)
	if j == nil {
		return
	}
	var streams sync.WaitGroup
	for _, stream := range []string{"stdout", "stderr"} {
		streams.Go(func() {
			if err := w.followLog(ctx, j.window, stream); err != nil && ctx.Err() == nil {
				j.log.Warn("cannot show a log", "stream", stream, "error", err)
			}
		})
	}
	streams.Wait()
}

func (w *watched) followLog(ctx context.Context, win *window, stream string) error {
	dir, err := win.logs(ctx)
	if dir == nil || err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	reader := shim.NewLogReader(dir, stream+".log", win.head, win.tail)
	defer reader.Close()
	tick := time.NewTicker(tailInterval)
	defer tick.Stop()
	buffer := make([]byte, tailChunk)
	for {
		last := win.finished()
		if last {
			reader.Finish(win.dropped(stream))
		}
		if err := w.sendLog(ctx, reader, stream, buffer); err != nil || last {
			return err
		}
		select {
		case <-tick.C:
		case <-win.over:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// sendLog sends all that there is for now.
func (w *watched) sendLog(ctx context.Context, reader *shim.LogReader, stream string, buffer []byte) error {
	for ctx.Err() == nil {
		offset, n, err := reader.Next(buffer)
		if n == 0 || err != nil {
			return err
		}
		chunk := &runnerv1.LogChunk{AttemptId: w.id, Stream: stream, Offset: offset, Data: buffer[:n]}
		if err := w.t.send(&runnerv1.TailRequest{Part: &runnerv1.TailRequest_Log{Log: chunk}}); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// followTelemetry sends what the job measures, from its beginning to its end.
func (w *watched) followTelemetry(ctx context.Context) {
	j := w.t.r.job(w.id)
	if j == nil {
		return
	}
	follower, err := j.window.telemetry(ctx)
	if err == nil && follower != nil {
		defer func() { _ = follower.Close() }()
		err = follower.Follow(ctx, func(samples []*telemetryv1.Sample, dropped uint64) error {
			chunk := &runnerv1.TelemetryChunk{AttemptId: w.id, Samples: samples, DroppedSamples: dropped}
			return w.t.send(&runnerv1.TailRequest{Part: &runnerv1.TailRequest_Telemetry{Telemetry: chunk}})
		})
	}
	if err != nil && ctx.Err() == nil {
		j.log.Warn("cannot show telemetry", "error", err)
	}
}
