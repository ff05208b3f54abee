package rpc_test

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tetryx/lynx-runner/internal/platform/auth"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// result is a whole result, with every field set.
func result() *runnerv1.Result {
	at := timestamppb.New(time.Date(2026, 3, 1, 12, 0, 1, 0, time.UTC))
	return &runnerv1.Result{
		Outcome: "completed", StartedAt: at, EndedAt: at, ExitCode: proto.Int32(0),
		Usage: &runnerv1.Usage{WallSeconds: 1.5, CpuSeconds: 1.2, PeakMemoryBytes: 4096},
		Breach: &runnerv1.Breach{
			Condition: &runnerv1.Condition{Name: "low", Variable: "h", Operator: "lt", Threshold: 10, Units: "km"},
			Value:     9, TimeSeconds: 3, ReceivedAt: at, KillMilliseconds: proto.Float64(4.5),
		},
		Telemetry: &runnerv1.TelemetrySummary{Samples: 2, Variables: []*runnerv1.VariableSummary{
			{Name: "h", Unit: "km", Count: 2, Min: 9, Max: 11, Last: 9},
			{Name: "odd", Count: 1, Min: math.Inf(1), Max: math.Inf(-1), Last: math.Inf(1)},
		}},
		Artifacts: []*runnerv1.Artifact{{Name: "sub/état.csv", Size: 3, Sha256: strings.Repeat("0a", 32)}},
		Directory: "/srv/runs/b/00000/attempt-1",
		Metrics:   map[string]float64{"final.radius_km": 7000},
		ImageId:   "sha256:abc", CodeDigest: "sha256:def", Warnings: []string{"a symlink was left out"},
	}
}

// A malformed message is INVALID_ARGUMENT, names its field and reaches nothing:
// the session does not exist, so anything that got to the platform would be
// UNKNOWN_SESSION.
func TestMalformedMessages(t *testing.T) {
	w := start(t, open(t))
	client := w.dial(t, grpc.WithPerRPCCredentials(auth.Credentials(token)))

	t.Run("register", func(t *testing.T) {
		for field, spoil := range map[string]func(*runnerv1.RegisterRequest){
			"runner_id":                                  func(m *runnerv1.RegisterRequest) { m.RunnerId = "" },
			"runner_id: \"../":                           func(m *runnerv1.RegisterRequest) { m.RunnerId = "../x" },
			"runner_id: \"a":                             func(m *runnerv1.RegisterRequest) { m.RunnerId = strings.Repeat("a", 129) },
			"installation_id":                            func(m *runnerv1.RegisterRequest) { m.InstallationId = "a b" },
			"version":                                    func(m *runnerv1.RegisterRequest) { m.Version = strings.Repeat("v", 1025) },
			"hostname":                                   func(m *runnerv1.RegisterRequest) { m.Hostname = strings.Repeat("v", 1025) },
			"executor":                                   func(m *runnerv1.RegisterRequest) { m.Executor = "podman" },
			"capabilities: missing":                      func(m *runnerv1.RegisterRequest) { m.Capabilities = nil },
			"capabilities.max_concurrent_job":            func(m *runnerv1.RegisterRequest) { m.Capabilities.MaxConcurrentJobs = 0 },
			"capabilities.cpu_cores":                     func(m *runnerv1.RegisterRequest) { m.Capabilities.CpuCores = math.NaN() },
			"capabilities.memory_gb":                     func(m *runnerv1.RegisterRequest) { m.Capabilities.MemoryGb = -1 },
			"capabilities.gpus":                          func(m *runnerv1.RegisterRequest) { m.Capabilities.Gpus = 1 << 30 },
			"capabilities.default_cpu_millis":            func(m *runnerv1.RegisterRequest) { m.Capabilities.DefaultCpuMillis = -1 },
			"capabilities.default_memory_bytes":          func(m *runnerv1.RegisterRequest) { m.Capabilities.DefaultMemoryBytes = -1 },
			"capabilities.supported_simulation_types: 0": func(m *runnerv1.RegisterRequest) { m.Capabilities.SupportedSimulationTypes = nil },
			"capabilities.supported_simulation_types[1]": func(m *runnerv1.RegisterRequest) { m.Capabilities.SupportedSimulationTypes = []string{"a", ""} },
		} {
			m := registration()
			spoil(m)
			_, err := client.Register(t.Context(), m)
			malformed(t, err, field)
		}
	})
	t.Run("claim", func(t *testing.T) {
		for field, m := range map[string]*runnerv1.ClaimJobsRequest{
			"session_id: missing": {MaxJobs: 1},
			"session_id: 129":     {SessionId: strings.Repeat("s", 129), MaxJobs: 1},
			"max_jobs":            {SessionId: "s"},
			"wait":                {SessionId: "s", MaxJobs: 1, Wait: durationpb.New(-time.Second)},
			"wait: nanos":         {SessionId: "s", MaxJobs: 1, Wait: &durationpb.Duration{Nanos: 2e9}},
		} {
			_, err := client.ClaimJobs(t.Context(), m)
			malformed(t, err, strings.TrimSuffix(field, ": nanos"))
		}
	})
	t.Run("heartbeat", func(t *testing.T) {
		for field, r := range map[string]*runnerv1.AttemptRef{
			"held[0].token":             {AttemptId: "j-1"},
			"held[0].attempt_id: \"j\"": {AttemptId: "j", Token: &runnerv1.Token{}},
			"held[0].attempt_id: 129":   {AttemptId: strings.Repeat("j", 127) + "-1", Token: &runnerv1.Token{}},
		} {
			_, err := client.Heartbeat(t.Context(), &runnerv1.HeartbeatRequest{SessionId: "s", Held: []*runnerv1.AttemptRef{r}})
			malformed(t, err, field)
			_, err = client.Leave(t.Context(), &runnerv1.LeaveRequest{SessionId: "s", Held: []*runnerv1.AttemptRef{r}})
			malformed(t, err, field)
		}
		_, err := client.Heartbeat(t.Context(), &runnerv1.HeartbeatRequest{})
		malformed(t, err, "session_id")
		_, err = client.Leave(t.Context(), &runnerv1.LeaveRequest{})
		malformed(t, err, "session_id")
		_, err = client.Heartbeat(t.Context(), &runnerv1.HeartbeatRequest{SessionId: "s", Paused: strings.Repeat("x", 1<<20)})
		malformed(t, err, "paused")
	})
	t.Run("started", func(t *testing.T) {
		good := &runnerv1.AttemptRef{AttemptId: "j-1", Token: &runnerv1.Token{}}
		for field, m := range map[string]*runnerv1.ReportStartedRequest{
			"session_id":          {Attempt: good, StartedAt: timestamppb.Now()},
			"attempt.token":       {SessionId: "s", StartedAt: timestamppb.Now()},
			"started_at: missing": {SessionId: "s", Attempt: good},
			"started_at: not":     {SessionId: "s", Attempt: good, StartedAt: &timestamppb.Timestamp{Nanos: -1}},
		} {
			_, err := client.ReportStarted(t.Context(), m)
			malformed(t, err, field)
		}
	})
}

func TestMalformedResults(t *testing.T) {
	w := start(t, open(t))
	client := w.dial(t, grpc.WithPerRPCCredentials(auth.Credentials(token)))
	report := func(ctx context.Context, r *runnerv1.Result) error {
		_, err := client.ReportResult(ctx, &runnerv1.ReportResultRequest{
			SessionId: "s", Attempt: &runnerv1.AttemptRef{AttemptId: "j-1", Token: &runnerv1.Token{}}, Result: r,
		})
		return err
	}
	malformed(t, report(t.Context(), nil), "result: missing")
	refused(t, report(t.Context(), result()), codes.Unauthenticated, runnerv1.ReasonUnknownSession) // well-formed

	type spoiler = func(*runnerv1.Result)
	for field, spoil := range map[string]spoiler{
		"result.outcome":                     func(r *runnerv1.Result) { r.Outcome = "" },
		"result.outcome: \"It":               func(r *runnerv1.Result) { r.Outcome = "It broke" },
		"result.started_at":                  func(r *runnerv1.Result) { r.StartedAt.Nanos = 2e9 },
		"result.ended_at":                    func(r *runnerv1.Result) { r.EndedAt = &timestamppb.Timestamp{Seconds: 1 << 60} },
		"result.error_message":               func(r *runnerv1.Result) { r.ErrorMessage = strings.Repeat("x", 1<<20) },
		"result.directory: \"runs":           func(r *runnerv1.Result) { r.Directory = "runs/b" },
		"result.directory: \"/srv":           func(r *runnerv1.Result) { r.Directory = "/srv/../etc" },
		"result.usage.wall_seconds":          func(r *runnerv1.Result) { r.Usage.WallSeconds = math.NaN() },
		"result.usage.cpu_seconds":           func(r *runnerv1.Result) { r.Usage.CpuSeconds = -1 },
		"result.usage.peak_memory_bytes":     func(r *runnerv1.Result) { r.Usage.PeakMemoryBytes = -1 },
		"result.breach.condition: missing":   func(r *runnerv1.Result) { r.Breach.Condition = nil },
		"result.breach.condition.threshold":  func(r *runnerv1.Result) { r.Breach.Condition.Threshold = math.Inf(1) },
		"result.breach.value":                func(r *runnerv1.Result) { r.Breach.Value = math.NaN() },
		"result.breach.time_seconds":         func(r *runnerv1.Result) { r.Breach.TimeSeconds = math.NaN() },
		"result.breach.kill_milliseconds":    func(r *runnerv1.Result) { r.Breach.KillMilliseconds = proto.Float64(-3) },
		"result.telemetry.variables[1].name": func(r *runnerv1.Result) { r.Telemetry.Variables[1].Name = "h" },
		"result.telemetry.variables[0].unit": func(r *runnerv1.Result) { r.Telemetry.Variables[0].Unit = strings.Repeat("m", 1025) },
		"result.telemetry.variables: 10001": func(r *runnerv1.Result) {
			r.Telemetry.Variables = make([]*runnerv1.VariableSummary, 10_001)
			for i := range r.Telemetry.Variables {
				r.Telemetry.Variables[i] = &runnerv1.VariableSummary{}
			}
		},
		"result.artifacts[0].name: \"../":  func(r *runnerv1.Result) { r.Artifacts[0].Name = "../../etc/passwd" },
		"result.artifacts[0].name: \"/etc": func(r *runnerv1.Result) { r.Artifacts[0].Name = "/etc/passwd" },
		"result.artifacts[0].name: \".\"":  func(r *runnerv1.Result) { r.Artifacts[0].Name = "." },
		"result.artifacts[0].size":         func(r *runnerv1.Result) { r.Artifacts[0].Size = -1 },
		"result.artifacts[0].sha256":       func(r *runnerv1.Result) { r.Artifacts[0].Sha256 = strings.Repeat("0A", 32) },
		"result.metrics: name":             func(r *runnerv1.Result) { r.Metrics = map[string]float64{"a b": 1} },
		"result.metrics.x":                 func(r *runnerv1.Result) { r.Metrics = map[string]float64{"x": math.NaN()} },
		"result.metrics: 201": func(r *runnerv1.Result) {
			r.Metrics = map[string]float64{}
			for i := range 201 {
				r.Metrics["m"+strings.Repeat("x", i%60)+string(rune('a'+i/60))] = 1
			}
		},
		"result.warnings: 1001": func(r *runnerv1.Result) { r.Warnings = make([]string, 1001) },
		"result.warnings[0]":    func(r *runnerv1.Result) { r.Warnings = []string{strings.Repeat("w", 1<<20)} },
		"result.image_id":       func(r *runnerv1.Result) { r.ImageId = strings.Repeat("i", 1025) },
		"result.code_digest":    func(r *runnerv1.Result) { r.CodeDigest = strings.Repeat("i", 1025) },
	} {
		r := result()
		spoil(r)
		malformed(t, report(t.Context(), r), field)
	}
}

// What may be absent may be absent, and an outcome of a newer runner is let in.
func TestSparseResults(t *testing.T) {
	w := start(t, open(t))
	w.submit(t)
	r := w.runner(t)
	got := r.claim(2, 0)
	if err := r.result(got[0], &runnerv1.Result{Outcome: "invalid_job", ErrorMessage: "no image"}); err != nil {
		t.Error(err)
	}
	if err := r.result(got[1], &runnerv1.Result{Outcome: "melted"}); err != nil {
		t.Error(err)
	}
}

// malformed checks that a message was refused because of the field, whose name
// and maybe first words of trouble the error begins with.
func malformed(t *testing.T, err error, field string) {
	t.Helper()
	if status.Code(err) != codes.InvalidArgument || !strings.HasPrefix(status.Convert(err).Message(), field) {
		t.Errorf("error %v, want INVALID_ARGUMENT for %s", err, field)
	}
}
