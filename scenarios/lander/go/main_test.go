package main

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"

	telemetryv1 "github.com/tetryx/lynx-runner/proto/lynx/telemetry/v1"
)

// parameters are those of the nominal flight.
const parameters = `"initial_altitude_m": 2000, "initial_speed_m_s": 30, "ignition_altitude_m": 900, "dry_mass_kg": 1500,
	"propellant_kg": 500, "thrust_n": 8000, "specific_impulse_s": 310`

// environment is that of a job with this run configuration.
func environment(t *testing.T, config, target string) (getenv func(string) string, output string) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "run.json")
	if err := os.WriteFile(path, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	values := map[string]string{"TETRYX_RUN_CONFIG": path, "TETRYX_OUTPUT_DIR": dir, "TETRYX_TELEMETRY_TARGET": target}
	return func(name string) string { return values[name] }, dir
}

// station receives telemetry as a runner does.
type station struct {
	telemetryv1.UnimplementedTelemetryServiceServer
	batches []*telemetryv1.StreamRequest
	// deaf ends the stream at once.
	deaf bool
}

func (s *station) Stream(stream telemetryv1.TelemetryService_StreamServer) error {
	if s.deaf {
		return errors.New("not now")
	}
	for {
		batch, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		s.batches = append(s.batches, batch)
		if err := stream.Send(&telemetryv1.StreamResponse{AcknowledgedSequence: batch.GetSequence()}); err != nil {
			return err
		}
	}
}

// serve starts the station and returns its address; stop waits for its end.
func (s *station) serve(t *testing.T) (target string, stop func()) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	telemetryv1.RegisterTelemetryServiceServer(server, s)
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(listener) }()
	stop = func() { server.GracefulStop(); <-done }
	t.Cleanup(server.Stop)
	return listener.Addr().String(), stop
}

// TestRun: what a run leaves, and that every report was received when it ends.
func TestRun(t *testing.T) {
	s := &station{}
	target, stop := s.serve(t)
	getenv, output := environment(t, `{"parameters": {`+parameters+`}, "units": {"thrust_n": "N"}}`, target)
	if err := simulate(t.Context(), 0, getenv); err != nil {
		t.Fatal(err)
	}
	stop()
	f, err := os.Open(filepath.Join(output, "trajectory.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) < 10 || len(rows)-1 != len(s.batches) {
		t.Fatalf("%d rows, %d batches, %v", len(rows), len(s.batches), err)
	}
	for i, batch := range s.batches {
		sample := batch.GetSamples()[0]
		if batch.GetSequence() != uint64(i+1) || fmt.Sprint(sample.GetTimeSeconds()) != rows[i+1][0] {
			t.Errorf("batch %d has number %d and time %v, want that of row %v", i, batch.GetSequence(), sample.GetTimeSeconds(), rows[i+1])
		}
	}
	var summary struct {
		Soft      bool
		Touchdown float64 `json:"touchdown_speed_m_s"`
	}
	data, err := os.ReadFile(filepath.Join(output, "summary.json"))
	if err == nil {
		err = json.Unmarshal(data, &summary)
	}
	exact := exactly(nominal).touchdown.speed
	if err != nil || !near(summary.Touchdown, exact, 1e-6) || summary.Soft != (exact <= softSpeed) {
		t.Errorf("%+v, %v; want a touchdown at %v m/s", summary, err, exact)
	}
}

// TestNobodyListens: telemetry never fails a run.
func TestNobodyListens(t *testing.T) {
	deaf := &station{deaf: true}
	target, _ := deaf.serve(t)
	for name, target := range map[string]string{"no target": "", "nobody": "127.0.0.1:1", "deaf": target, "nonsense": "\x00"} {
		t.Run(name, func(t *testing.T) {
			getenv, output := environment(t, `{"parameters": {`+parameters+`}}`, target)
			if err := simulate(t.Context(), 0, getenv); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(filepath.Join(output, "summary.json")); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestBadConfigurations are refused with a sentence.
func TestBadConfigurations(t *testing.T) {
	for name, c := range map[string]struct{ config, says string }{
		"missing":      {`{"parameters": {}}`, "initial_altitude_m is missing"},
		"out of range": {`{"parameters": {` + strings.Replace(parameters, "8000", "-1", 1) + `}}`, "thrust_n is -1"},
		"unit":         {`{"parameters": {` + parameters + `}, "units": {"thrust_n": "kN"}}`, `thrust_n is in "kN"; want "N"`},
		"no JSON":      {`{`, "run configuration"},
	} {
		t.Run(name, func(t *testing.T) {
			getenv, _ := environment(t, c.config, "")
			var invalid *invalidError
			if err := simulate(t.Context(), 0, getenv); !errors.As(err, &invalid) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %q", err, c.says)
			}
		})
	}
	if err := simulate(t.Context(), 0, func(string) string { return "" }); err == nil || !strings.Contains(err.Error(), "TETRYX_RUN_CONFIG") {
		t.Errorf("without an environment: %v", err)
	}
}
