package telemetry

import (
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"google.golang.org/grpc"

	"github.com/tetryx/lynx-runner/internal/runner/watchdog"
	"github.com/tetryx/lynx-runner/internal/study"
	telemetryv1 "github.com/tetryx/lynx-runner/proto/lynx/telemetry/v1"
)

// BenchmarkStream is samples (of seven variables) through a server, watched and
// logged, against the peer: a gRPC server on the same kind of socket that
// receives the same batches and does nothing with them.
func BenchmarkStream(b *testing.B) {
	for _, size := range []int{1, 100} {
		b.Run(fmt.Sprintf("server/batch=%d", size), func(b *testing.B) {
			cfg := place(b)
			cfg.MaxLogBytes = 64 << 30
			cfg.Evaluate = watchdog.New([]study.Condition{
				{Name: "impact", Variable: "orbit.v0", Operator: study.LT, Threshold: -1, Units: "km"},
				{Name: "far", Variable: "orbit.v1", Operator: study.GT, Threshold: 1e9, Units: "km"},
			}).Evaluate
			s := serve(b, cfg)
			pump(b, dial(b, cfg.Socket), size)
			if sum, err := s.Finish(b.Context()); err != nil || sum.Dropped != 0 {
				b.Fatal(sum, err)
			}
		})
		b.Run(fmt.Sprintf("bare/batch=%d", size), func(b *testing.B) {
			socket := place(b).Socket
			l, err := net.Listen("unix", socket)
			if err != nil {
				b.Fatal(err)
			}
			g := grpc.NewServer()
			telemetryv1.RegisterTelemetryServiceServer(g, bare{})
			go func() { _ = g.Serve(l) }()
			b.Cleanup(g.Stop)
			pump(b, dial(b, socket), size)
		})
	}
}

// bare receives and acknowledges the last.
type bare struct {
	telemetryv1.UnimplementedTelemetryServiceServer
}

func (bare) Stream(s grpc.BidiStreamingServer[telemetryv1.StreamRequest, telemetryv1.StreamResponse]) error {
	var last uint64
	for {
		r, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return s.Send(&telemetryv1.StreamResponse{AcknowledgedSequence: last})
		}
		if err != nil {
			return err
		}
		last = r.GetSequence()
	}
}

// pump sends b.N samples in batches, and waits until all are acknowledged.
func pump(b *testing.B, c *client, size int) {
	b.Helper()
	st := c.open(b)
	m := &telemetryv1.StreamRequest{}
	for range size {
		s := &telemetryv1.Sample{TimeSeconds: 1}
		for v := range 7 {
			s.Values = append(s.Values, &telemetryv1.Value{Name: fmt.Sprintf("orbit.v%d", v), Value: float64(v), Unit: "km"})
		}
		m.Samples = append(m.Samples, s)
	}
	go func() {
		for sent := 0; sent < b.N; sent += size {
			m.Sequence++
			if st.Send(m) != nil {
				return
			}
		}
		_ = st.CloseSend()
	}()
	b.ResetTimer()
	for {
		if _, err := st.Recv(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "samples/s")
	_ = c.cc.Close()
}
