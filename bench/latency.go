package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/tetryx/lynx-runner/api"
)

// latencyRow compares how long a job in a container waits for the acknowledgement of
// one sample, which says that it was judged and written to the log, with the same
// client on the host and a gRPC server on loopback that answers at once.
func latencyRow(ctx context.Context, w *world, o options) (_ []line, err error) {
	r, err := w.runner(ctx, "docker", 1, w.benchJobs("docker")...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.stop()) }()
	peer, err := w.receiver("answer")
	if err != nil {
		return nil, err
	}
	defer peer.close()
	samples := min(100, max(4, o.samples/2000))
	var ours, peers, oursLate, peersLate []float64
	for range o.reps {
		runs, _, err := w.run(ctx, pingStudy(samples), api.OutcomeCompleted)
		if err != nil {
			return nil, err
		}
		if t := runs[0].Telemetry; t == nil || t.Samples != uint64(samples) {
			return nil, fmt.Errorf("of %d samples these were kept: %+v", samples, t)
		}
		bare, err := w.sendTo(ctx, peer, "ping", samples, 1)
		if err != nil {
			return nil, err
		}
		ours, oursLate = append(ours, runs[0].Metrics["p50_ms"]), append(oursLate, runs[0].Metrics["p99_ms"])
		peers, peersLate = append(peers, bare["p50_ms"]), append(peersLate, bare["p99_ms"])
	}
	text := func(p50, p99 []float64) string {
		return "p50 " + spread(p50, "%.2f", "ms") + ", p99 " + spread(p99, "%.2f", "ms")
	}
	return []line{{
		what: fmt.Sprintf("telemetry: sample taken in the container → judged, written and acknowledged, %d samples, against bare gRPC on loopback", samples),
		ours: text(ours, oursLate), peer: text(peers, peersLate), held: spread(ratios(ours, peers), "%.1f", "×"),
	}}, nil
}
