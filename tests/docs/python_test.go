//go:build engine

package docs

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"

	telemetryv1 "github.com/tetryx/lynx-runner/proto/lynx/telemetry/v1"
)

// listener is a telemetry server that acknowledges everything and keeps the names
// of what it was sent.
type listener struct {
	telemetryv1.UnimplementedTelemetryServiceServer

	mu    sync.Mutex
	names []string
}

func (l *listener) Stream(stream telemetryv1.TelemetryService_StreamServer) error {
	for {
		request, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		l.mu.Lock()
		for _, s := range request.GetSamples() {
			for _, v := range s.GetValues() {
				l.names = append(l.names, v.GetName())
			}
		}
		l.mu.Unlock()
		if err := stream.Send(&telemetryv1.StreamResponse{AcknowledgedSequence: request.GetSequence()}); err != nil {
			return err
		}
	}
}

// before is what the snippets take for granted: a simulation.
const before = `
from types import SimpleNamespace

def simulate(parameters):
    for t in range(600):
        yield t, SimpleNamespace(radius=7e6 + t)

`

// TestPythonAsPrinted: each snippet for the SDK runs, sends its telemetry, and
// leaves its summary.
func TestPythonAsPrinted(t *testing.T) {
	for _, d := range documents(t) {
		for _, b := range d.blocks {
			if b.language == "python" {
				t.Run(b.file, func(t *testing.T) { runSnippet(t, b.text) })
			}
		}
	}
}

func runSnippet(t *testing.T, text string) {
	address, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	far := &listener{}
	server := grpc.NewServer()
	telemetryv1.RegisterTelemetryServiceServer(server, far)
	go func() { _ = server.Serve(address) }()
	defer server.Stop()

	dir := t.TempDir()
	run := filepath.Join(dir, "run.json")
	must(t, os.WriteFile(run, []byte(`{"batch_id": "b", "job_id": "j", "run_id": "0", "run_index": 0, "attempt": 1, "seed": 1,
		"simulation": {"type": "basilisk", "name": "n", "version": "1"},
		"parameters": {"battery_charge_percent": 80, "load_w": 12}, "units": {"battery_charge_percent": "percent", "load_w": "W"}}`), 0o600))
	cmd := exec.CommandContext(t.Context(), venvPython(t), "-c", before+text)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TETRYX_RUN_CONFIG=" + run, "TETRYX_OUTPUT_DIR=" + dir,
		"TETRYX_TELEMETRY_URL=http://" + address.Addr().String(), "TETRYX_TELEMETRY_TARGET=" + address.Addr().String()}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if summary, err := os.ReadFile(filepath.Join(dir, "summary.json")); err != nil || !strings.Contains(string(summary), "final_") {
		t.Errorf("summary.json: %v %s", err, summary)
	}
	far.mu.Lock()
	defer far.mu.Unlock()
	if len(far.names) != 600 || !slices.ContainsFunc([]string{"orbit.radius_km", "battery.charge"}, func(name string) bool { return far.names[599] == name }) {
		t.Errorf("%d values arrived", len(far.names))
	}
}
