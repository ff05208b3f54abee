package rest_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tetryx/lynx-runner/api"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares an answer with testdata/name.json, indented.
func golden(t *testing.T, name string, a answer, status int) {
	t.Helper()
	if a.status != status {
		t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	if got := a.header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type %q", got)
	}
	var got bytes.Buffer
	if err := json.Indent(&got, []byte(a.body), "", "  "); err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(a.body, "\n") {
		t.Errorf("no newline after %s", a.body)
	}
	path := filepath.Join("testdata", name+".json")
	if *update {
		if err := os.WriteFile(path, got.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// Every answer in its exact form, over the life of a batch of which one run
// completes, one is stopped early and one waits.
func TestShapes(t *testing.T) {
	w := start(t)
	golden(t, "health", w.get("/healthz"), 200)
	golden(t, "submission", w.do(http.MethodPost, "/jobs", text, media(api.YAML)), 201)
	golden(t, "batch_pending", w.get("/batches/id-1"), 200)
	golden(t, "job_pending", w.get("/jobs/id-2"), 200)

	s := w.session("runner-a")
	golden(t, "runner_idle", w.get("/runners/runner-a"), 200)
	w.advance(time.Second)
	got := w.claim(s, 2)
	golden(t, "runner_busy", w.get("/runners/runner-a"), 200)
	golden(t, "job_claimed", w.get("/jobs/id-2"), 200)
	w.advance(time.Second)
	w.report(s, got[0], completed())
	w.report(s, got[1], nil)
	golden(t, "job_running", w.get("/jobs/id-3"), 200)
	w.advance(time.Second)
	w.report(s, got[1], breached())

	golden(t, "batch_running", w.get("/batches/id-1"), 200)
	golden(t, "batches", w.get("/batches"), 200)
	golden(t, "batch_results", w.get("/batches/id-1/results"), 200)
	golden(t, "job_completed", w.get("/jobs/id-2"), 200)
	golden(t, "job_failed", w.get("/jobs/id-3"), 200)
	golden(t, "jobs_failed", w.get("/jobs?batch_id=id-1&status=Failed"), 200)
	golden(t, "result_completed", w.get("/jobs/id-2/results"), 200)
	golden(t, "result_failed", w.get("/jobs/id-3/results"), 200)
	w.advance(time.Second)
	golden(t, "job_cancelled", w.post("/jobs/id-4/cancel"), 200)
	golden(t, "batch_cancelled", w.post("/batches/id-1/cancel"), 200)
	golden(t, "runner_drained", w.post("/runners/runner-a/drain"), 200)
	golden(t, "runner_resumed", w.post("/runners/runner-a/resume"), 200)
	golden(t, "runners", w.get("/runners"), 200)
}

// The documented names are there, with the documented types: what a golden file
// that was written anew could lose without a word.
func TestDocumentedNames(t *testing.T) {
	w := start(t)
	s := w.session("runner-a")
	batch := w.submit()
	w.report(s, w.claim(s, 1)[0], completed())
	for path, fields := range map[string]map[string]any{
		"/healthz": {"status": "ok"},
		"/batches/" + batch: {
			"batch.batch_id": batch, "batch.status": "Running", "batch.total_jobs": 3.0, "batch.name": "slice",
			"batch.completed_jobs": 1.0, "batch.failed_jobs": 0.0, "batch.created_at": "2026-03-01T11:00:00Z",
			"jobs_by_status.Pending": 2.0, "jobs_by_status.Claimed": 0.0, "jobs_by_status.Running": 0.0, "jobs_by_status.Completed": 1.0,
			"jobs_by_status.Failed": 0.0, "jobs_by_status.Timeout": 0.0, "jobs_by_status.Cancelled": 0.0,
		},
		"/jobs/id-3": {
			"job_id": "id-3", "batch_id": batch, "run_config.parameters.mass_kg": 2.5, "status": "Completed", "retries": 0.0,
			"max_retries": 1.0, "timeout_secs": 60.0, "created_at": "2026-03-01T11:00:00Z", "claimed_at": "2026-03-01T11:00:00Z",
			"started_at": "2026-03-01T11:00:00Z", "completed_at": "2026-03-01T11:00:00Z", "assigned_runner": "runner-a", "error_message": nil,
		},
		"/jobs/id-3/results": {
			"job_id": "id-3", "success": true, "execution_time_secs": 87.0, "telemetry_data": nil, "error_message": nil,
			"metadata.run_id": "0", "metadata.simulation_version": "1.2.0",
		},
		"/runners/runner-a": {
			"runner_id": "runner-a", "status": "Idle", "capabilities.max_concurrent_jobs": 4.0, "capabilities.cpu_cores": 2.0,
			"capabilities.memory_gb": 7.5, "capabilities.gpu_available": false,
		},
	} {
		var doc any
		if err := json.Unmarshal([]byte(w.get(path).body), &doc); err != nil {
			t.Fatal(err)
		}
		for name, want := range fields {
			if got, ok := lookup(doc, name); !ok || got != want {
				t.Errorf("%s: %s is %v (there: %v), want %v", path, name, got, ok, want)
			}
		}
	}
	a := decode[api.JobResult](t, w.get("/jobs/id-3/results"), 200)
	if diff := cmp.Diff([]string{"/srv/runs/b/00000/attempt-1/output/a/trajectory.csv"}, a.OutputFiles); diff != "" {
		t.Errorf("output_files (-want +got):\n%s", diff)
	}
}

// lookup finds a dotted path in a JSON document.
func lookup(doc any, path string) (any, bool) {
	for name := range strings.SplitSeq(path, ".") {
		m, _ := doc.(map[string]any)
		var ok bool
		if doc, ok = m[name]; !ok {
			return nil, false
		}
	}
	return doc, true
}

// completed is a result without telemetry.
func completed() *runnerv1.Result {
	at := timestamppb.New(time.Date(2026, 3, 1, 11, 0, 2, 500_000_000, time.UTC))
	return &runnerv1.Result{
		Outcome: "completed", StartedAt: at, EndedAt: at, ExitCode: proto.Int32(0),
		Usage:     &runnerv1.Usage{WallSeconds: 86.5, CpuSeconds: 80.25, PeakMemoryBytes: 1 << 20},
		Artifacts: []*runnerv1.Artifact{{Name: "a/trajectory.csv", Size: 3, Sha256: strings.Repeat("0a", 32)}},
		Directory: "/srv/runs/b/00000/attempt-1",
		Metrics:   map[string]float64{"final.radius_km": 7000.5},
		ImageId:   "sha256:abc", CodeDigest: "sha256:def",
	}
}

// breached is the result of a job that a condition ended.
func breached() *runnerv1.Result {
	at := timestamppb.New(time.Date(2026, 3, 1, 11, 0, 2, 0, time.UTC))
	return &runnerv1.Result{
		Outcome: "early_termination", ErrorMessage: "low: h was 9 km at 3 s", StartedAt: at, EndedAt: at, Signal: 9,
		Usage: &runnerv1.Usage{WallSeconds: 0.25},
		Breach: &runnerv1.Breach{
			Condition: &runnerv1.Condition{Name: "low", Variable: "h", Operator: "lt", Threshold: 10, Units: "km"},
			Value:     9, TimeSeconds: 3, ReceivedAt: at, KillMilliseconds: proto.Float64(4.5),
		},
		Telemetry: &runnerv1.TelemetrySummary{Samples: 2, DroppedSamples: 1, Variables: []*runnerv1.VariableSummary{
			{Name: "h", Unit: "km", Count: 2, Min: 9, Max: 11, Last: 9},
			{Name: "odd", Count: 1, Min: math.NaN(), Max: math.Inf(1), Last: math.NaN()},
		}},
		Directory: "/srv/runs/b/00001/attempt-1", Warnings: []string{"a link was left out"},
	}
}
