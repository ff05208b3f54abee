// Command job is what the benchmarks run as a job, and what they compare it to. Its
// last argument's file name says what it does:
//
//	empty    nothing
//	breach   starts a child, sends a sample that breaks the study's rule after a while,
//	         and stays
//	rash     does the same at once
//	send     sends samples as fast as they are taken, and reports how fast
//	ping     sends a sample, waits until it is acknowledged, and reports how long
//	receive  serves a bare gRPC stream that does nothing with samples but acknowledge
//	         the last of them
//	answer   serves one that acknowledges each
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
	"slices"
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
		return breach(300 * time.Millisecond)
	case "rash":
		return breach(0)
	case "send":
		return send()
	case "ping":
		return ping()
	case "receive":
		return serve(false)
	case "answer":
		return serve(true)
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

// breach has a child, so that the end of the job is the end of a tree. after is the time
// from the first sample, which breaks no rule, to the second.
func breach(after time.Duration) error {
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
		if i > 0 {
			time.Sleep(after)
		}
		now := float64(time.Now().UnixMicro()) / 1e6
		if err := stream.Send(&telemetryv1.StreamRequest{
			Sequence: uint64(i + 1),
			Samples:  []*telemetryv1.Sample{{TimeSeconds: now, Values: []*telemetryv1.Value{{Name: "x", Value: x}}}},
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
		request.Samples = append(request.Samples, sample())
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
	return report(map[string]float64{"samples_per_second": float64(samples) / took.Seconds()})
}

// sample has seven variables.
func sample() *telemetryv1.Sample {
	s := &telemetryv1.Sample{TimeSeconds: 1}
	for v := range 7 {
		s.Values = append(s.Values, &telemetryv1.Value{Name: fmt.Sprintf("orbit.v%d", v), Value: float64(v), Unit: "km"})
	}
	return s
}

// report writes the run's metrics.
func report(metrics map[string]float64) error {
	summary, err := json.Marshal(metrics)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(os.Getenv("TETRYX_OUTPUT_DIR"), "summary.json"), summary, 0o644)
}

// pause is between two samples of ping, as in a simulation that runs somewhat faster
// than it can be watched.
const pause = 25 * time.Millisecond

// ping measures how long it takes from a sample until its acknowledgement, which says
// that it was judged and written down.
func ping() error {
	samples, _, err := parameters()
	if err != nil {
		return err
	}
	stream, err := open(context.Background())
	if err != nil {
		return err
	}
	took := make([]float64, samples)
	for i := range took {
		began := time.Now()
		if err := stream.Send(&telemetryv1.StreamRequest{Sequence: uint64(i + 1), Samples: []*telemetryv1.Sample{sample()}}); err != nil {
			return err
		}
		if _, err := stream.Recv(); err != nil {
			return err
		}
		took[i] = time.Since(began).Seconds() * 1000
		time.Sleep(pause)
	}
	slices.Sort(took)
	return report(map[string]float64{"p50_ms": took[samples/2], "p99_ms": took[samples*99/100]})
}

// bare receives, and acknowledges each message or only the last.
type bare struct {
	telemetryv1.UnimplementedTelemetryServiceServer
	each bool
}

// Stream implements the service.
func (b bare) Stream(s grpc.BidiStreamingServer[telemetryv1.StreamRequest, telemetryv1.StreamResponse]) error {
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
		if b.each {
			if err := s.Send(&telemetryv1.StreamResponse{AcknowledgedSequence: last}); err != nil {
				return err
			}
		}
	}
}

// serve says where it listens.
func serve(each bool) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	server := grpc.NewServer()
	telemetryv1.RegisterTelemetryServiceServer(server, bare{each: each})
	return server.Serve(l)
}
