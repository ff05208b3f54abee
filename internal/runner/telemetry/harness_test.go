package telemetry

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	telemetryv1 "github.com/tetryx/lynx-runner/proto/lynx/telemetry/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const attempt = "job-1"

// place is where a test's server lives; its socket has a short path.
func place(tb testing.TB) Config {
	tb.Helper()
	dir, err := os.MkdirTemp("", "tm")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Error(err)
		}
	})
	return Config{AttemptID: attempt, Socket: filepath.Join(dir, "s"), LogPath: filepath.Join(dir, "telemetry.log")}
}

func serve(tb testing.TB, cfg Config) *Server {
	tb.Helper()
	s, err := Serve(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_, _ = s.Finish(ctx)
		<-s.written
	})
	return s
}

func finish(tb testing.TB, s *Server) Summary {
	tb.Helper()
	sum, err := s.Finish(context.Background())
	if err != nil {
		tb.Fatal(err)
	}
	return sum
}

// client is a gRPC client whose connections a test can cut.
type client struct {
	telemetryv1.TelemetryServiceClient
	cc    *grpc.ClientConn
	conns chan net.Conn
}

func dial(tb testing.TB, socket string) *client {
	tb.Helper()
	c := &client{conns: make(chan net.Conn, 64)}
	cc, err := grpc.NewClient("passthrough:///telemetry",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
			if err == nil {
				c.conns <- conn
			}
			return conn, err
		}))
	if err != nil {
		tb.Fatal(err)
	}
	c.cc, c.TelemetryServiceClient = cc, telemetryv1.NewTelemetryServiceClient(cc)
	tb.Cleanup(func() { _ = cc.Close() })
	return c
}

type stream = grpc.BidiStreamingClient[telemetryv1.StreamRequest, telemetryv1.StreamResponse]

func (c *client) open(tb testing.TB) stream {
	tb.Helper()
	s, err := c.Stream(tb.Context(), grpc.WaitForReady(true))
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func send(tb testing.TB, s stream, batches ...*telemetryv1.StreamRequest) {
	tb.Helper()
	for _, b := range batches {
		if err := s.Send(b); err != nil {
			tb.Fatal(err)
		}
	}
}

// awaitAck reads acknowledgements until sequence, and checks that they rise.
func awaitAck(tb testing.TB, s stream, sequence uint64) {
	tb.Helper()
	var last uint64
	for last < sequence {
		r, err := s.Recv()
		if err != nil {
			tb.Fatalf("waiting for acknowledgement %d: %v", sequence, err)
		}
		if got := r.GetAcknowledgedSequence(); got <= last {
			tb.Fatalf("acknowledgement %d after %d", got, last)
		}
		last = r.GetAcknowledgedSequence()
	}
	if last != sequence {
		tb.Fatalf("acknowledged %d, of which %d was sent", last, sequence)
	}
}

// sample is one value at one time.
func sample(time float64, name string, value float64, unit string) *telemetryv1.Sample {
	return &telemetryv1.Sample{TimeSeconds: time, Values: []*telemetryv1.Value{{Name: name, Value: value, Unit: unit}}}
}

func batch(sequence uint64, samples ...*telemetryv1.Sample) *telemetryv1.StreamRequest {
	return &telemetryv1.StreamRequest{Sequence: sequence, Samples: samples}
}

// readBack is the samples of a log, in order, and its tally.
func readBack(tb testing.TB, path string) ([]*telemetryv1.Sample, *tally) {
	tb.Helper()
	f, err := os.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var samples []*telemetryv1.Sample
	t := newTally()
	r := newLogReader(f)
	for {
		kind, payload, err := r.next()
		if err != nil {
			return samples, t
		}
		if err := t.record(kind, payload); err != nil {
			tb.Fatal(err)
		}
		if kind == recordBatch {
			b, err := decodeBatch(payload)
			if err != nil {
				tb.Fatal(err)
			}
			samples = append(samples, b.GetSamples()...)
		}
	}
}

// eventually polls a condition that another goroutine brings about.
func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			tb.Fatalf("never: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}
