// Command job is what the benchmarks run as a job, and what they compare it to. Its
// last argument's file name says what it does:
//
//	empty    nothing
//	breach   starts a child, sends a sample that breaks the study's rule, and stays
//	send     sends samples as fast as they are taken, and reports how fast
//	receive  serves a bare gRPC stream that does nothing with samples
//	spin     keeps one core busy
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	telemetryv1 "github.com/tetryx/lynx-runner/proto/lynx/telemetry/v1"
)

func main() {
	if err := run(path.Base(os.Args[len(os.Args)-1])); err != nil {
		fmt.Fprintln(os.Stderr, "job:", err)
		os.Exit(1)
	}
}

func run(mode string) error {
	switch mode {
	case "empty":
		return nil
	case "breach":
		return breach()
	case "send":
		return send()
	case "receive":
		return receive()
	case "spin":
		for n := 0; ; n++ { // until it is killed
			_ = n
		}
	case "sleep":
		time.Sleep(time.Hour)
		return nil
	}
	return fmt.Errorf("%q is nothing that this program does", mode)
}

// open connects to the telemetry server of the environment.
func open(ctx context.Context) (telemetryv1.TelemetryService_StreamClient, error) {
	conn, err := grpc.NewClient("passthrough:///"+os.Getenv("TETRYX_TELEMETRY_TARGET"),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy())
	if err != nil {
		return nil, err
	}
	return telemetryv1.NewTelemetryServiceClient(conn).Stream(ctx, grpc.WaitForReady(true))
}

// breach has a child, so that the end of the job is the end of a tree.
func breach() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := exec.Command(self, "sleep").Start(); err != nil {
		return err
	}
	stream, err := open(context.Background())
	if err != nil {
		return err
	}
	for i, x := range []float64{0, 2} {
		if err := stream.Send(&telemetryv1.StreamRequest{
			Sequence: uint64(i + 1),
			Samples:  []*telemetryv1.Sample{{TimeSeconds: float64(i), Values: []*telemetryv1.Value{{Name: "x", Value: x}}}},
		}); err != nil {
			return err
		}
	}
	time.Sleep(time.Hour)
	return errors.New("nobody ended this job")
}

// parameters are the run's.
func parameters() (samples, batch int, err error) {
	data, err := os.ReadFile(os.Getenv("TETRYX_RUN_CONFIG"))
	if err != nil {
		return 0, 0, err
	}
	var config struct {
		Parameters struct {
			Samples float64 `json:"samples"`
			Batch   float64 `json:"batch"`
		} `json:"parameters"`
	}
	err = json.Unmarshal(data, &config)
	return int(config.Parameters.Samples), int(config.Parameters.Batch), err
}

// send measures from the first sample until all are acknowledged.
func send() error {
	samples, size, err := parameters()
	if err != nil {
		return err
	}
	stream, err := open(context.Background())
	if err != nil {
		return err
	}
	request := &telemetryv1.StreamRequest{}
	for range size {
		sample := &telemetryv1.Sample{TimeSeconds: 1}
		for v := range 7 {
			sample.Values = append(sample.Values, &telemetryv1.Value{Name: fmt.Sprintf("orbit.v%d", v), Value: float64(v), Unit: "km"})
		}
		request.Samples = append(request.Samples, sample)
	}
	began := time.Now()
	sent := make(chan error, 1)
	go func() {
		for n := 0; n < samples; n += size {
			request.Sequence++
			if err := stream.Send(request); err != nil {
				sent <- err
				return
			}
		}
		sent <- stream.CloseSend()
	}()
	for {
		if _, err := stream.Recv(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
	}
	took := time.Since(began)
	if err := <-sent; err != nil {
		return err
	}
	summary, err := json.Marshal(map[string]float64{"samples_per_second": float64(samples) / took.Seconds()})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(os.Getenv("TETRYX_OUTPUT_DIR"), "summary.json"), summary, 0o644)
}

// bare receives, and acknowledges the last.
type bare struct {
	telemetryv1.UnimplementedTelemetryServiceServer
}

// Stream implements the service.
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

// receive says where it listens.
func receive() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	server := grpc.NewServer()
	telemetryv1.RegisterTelemetryServiceServer(server, bare{})
	return server.Serve(l)
}
