package main

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	telemetryv1 "github.com/tetryx/lynx-runner/proto/lynx/telemetry/v1"
)

// patience is how long the program waits, when it is done, for what it has sent to
// be acknowledged.
const patience = 5 * time.Second

// link is the telemetry stream of this run. A link that is not there, or has
// broken, does nothing: telemetry must not fail a simulation. What is sent over a
// connection on the same host arrives, so this example resends nothing; the SDK
// for Python shows how.
type link struct {
	connection *grpc.ClientConn
	stream     telemetryv1.TelemetryService_StreamClient
	cancel     context.CancelFunc
	sequence   uint64
	// done is closed when the server has said its last word.
	done chan struct{}
}

// dial opens the stream to target, "127.0.0.1:PORT". An empty one means that
// nobody listens.
func dial(ctx context.Context, target string) *link {
	l := &link{}
	if target == "" {
		return l
	}
	connection, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return l
	}
	ctx, l.cancel = context.WithCancel(ctx)
	l.connection = connection
	if l.stream, err = telemetryv1.NewTelemetryServiceClient(connection).Stream(ctx); err != nil {
		l.stream = nil
		return l
	}
	l.done = make(chan struct{})
	go l.read(l.stream)
	return l
}

// read takes in the acknowledgements.
func (l *link) read(stream telemetryv1.TelemetryService_StreamClient) {
	defer close(l.done)
	for {
		if _, err := stream.Recv(); err != nil { // io.EOF when all is acknowledged
			return
		}
	}
}

// send sends one sample, as a batch of its own.
func (l *link) send(at instant) {
	if l.stream == nil {
		return
	}
	l.sequence++
	err := l.stream.Send(&telemetryv1.StreamRequest{Sequence: l.sequence, Samples: []*telemetryv1.Sample{{
		TimeSeconds: at.time,
		Values: []*telemetryv1.Value{
			{Name: "lander.altitude_m", Value: at.altitude, Unit: "m"},
			{Name: "lander.descent_speed_m_s", Value: at.speed, Unit: "m/s"},
			{Name: "lander.mass_kg", Value: at.mass, Unit: "kg"},
		},
	}}})
	if err != nil {
		l.stream = nil
	}
}

// close ends the stream and waits until everything is acknowledged, so that no
// sample is lost with the process.
func (l *link) close() {
	if l.connection == nil {
		return
	}
	defer func() { _ = l.connection.Close() }()
	defer l.cancel()
	if l.stream == nil || l.stream.CloseSend() != nil {
		return
	}
	select {
	case <-l.done:
	case <-time.After(patience):
	}
}
