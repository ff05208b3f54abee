package main

import (
	"context"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	telemetryv1 "github.com/tetryx/lynx-runner/proto/lynx/telemetry/v1"
)

// series sends samples one by one, and each again until it is acknowledged: to
// whatever runner there is by then.
type series struct {
	sequence uint64
	client   telemetryv1.TelemetryServiceClient
	stream   grpc.BidiStreamingClient[telemetryv1.StreamRequest, telemetryv1.StreamResponse]
}

// pause is the time between two tries.
const pause = 50 * time.Millisecond

// send sends a sample until it is acknowledged.
func (s *series) send(value float64) {
	s.sequence++
	request := &telemetryv1.StreamRequest{Sequence: s.sequence, Samples: []*telemetryv1.Sample{{
		TimeSeconds: float64(s.sequence), Values: []*telemetryv1.Value{{Name: "n", Value: value}},
	}}}
	for !s.delivered(request) {
		s.stream = nil
		time.Sleep(pause)
	}
}

// delivered reports whether a sample was acknowledged.
func (s *series) delivered(request *telemetryv1.StreamRequest) bool {
	if s.client == nil {
		conn, err := grpc.NewClient("passthrough:///"+os.Getenv("TETRYX_TELEMETRY_TARGET"),
			grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy(),
			grpc.WithConnectParams(grpc.ConnectParams{
				MinConnectTimeout: time.Second, Backoff: backoff.Config{BaseDelay: pause, Multiplier: 1, MaxDelay: pause},
			}))
		if err != nil {
			return false
		}
		s.client = telemetryv1.NewTelemetryServiceClient(conn)
	}
	if s.stream == nil {
		var err error
		if s.stream, err = s.client.Stream(context.Background(), grpc.WaitForReady(true)); err != nil {
			return false
		}
	}
	if s.stream.Send(request) != nil {
		return false
	}
	for {
		response, err := s.stream.Recv()
		if err != nil {
			return false
		}
		if response.GetAcknowledgedSequence() >= request.GetSequence() {
			return true
		}
	}
}
