package rpc_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/platform"
	"github.com/tetryx/lynx-runner/internal/platform/auth"
	"github.com/tetryx/lynx-runner/internal/platform/live"
	"github.com/tetryx/lynx-runner/internal/platform/rpc"
	"github.com/tetryx/lynx-runner/internal/platform/store/files"
	"github.com/tetryx/lynx-runner/internal/platform/store/sqlite"
	"github.com/tetryx/lynx-runner/internal/study"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	token = "lynx_token-of-the-rpc-tests"
	text  = `
name: slice
config:
  simulation: {name: orbit, version: 1.2.0, duration_minutes: 10}
  monte_carlo: {runs: 3, seed: 42}
  dispersions:
    mass_kg: {distribution: {type: uniform, min: 1, max: 2}, units: kg}
  compute: {container: {image: box, cpu_request: 500m, memory_request: 1Gi}, job_timeout_seconds: 60}
  early_termination:
    enabled: true
    conditions: [{name: low, variable: h, operator: lt, threshold: 10, units: km}]
`
)

// clock is a time that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// world is a platform that serves runners on a unix socket.
type world struct {
	svc    *platform.Service
	clock  *clock
	files  *files.Store
	live   *live.Hub
	socket string
	// stop ends the server; it may be called again.
	stop func()
}

// maxAttempt is the most bytes of one attempt's files.
const maxAttempt = 1 << 20

func start(t *testing.T, store platform.Store) *world {
	t.Helper()
	return startIn(t, store, t.TempDir())
}

// startIn starts a platform whose files lie in dir.
func startIn(t *testing.T, store platform.Store, dir string) *world {
	t.Helper()
	kept, err := files.Open(dir, files.Options{MaxAttemptBytes: maxAttempt})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		files: kept, live: live.New(),
		clock:  &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)},
		socket: filepath.Join(t.TempDir(), "rpc.sock"),
	}
	log := slog.New(slog.DiscardHandler)
	w.svc = platform.New(store, platform.Options{Now: w.clock.Now, Log: log})
	guard, err := auth.NewGuard(token)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", w.socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := rpc.NewServer(w.svc, rpc.Options{Guard: guard, Files: w.files, MaxAttemptBytes: maxAttempt, Live: w.live, Log: log})
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	w.stop = sync.OnceFunc(func() {
		w.live.Close()
		srv.Stop()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
		_ = kept.Close()
	})
	t.Cleanup(w.stop)
	return w
}

func (w *world) dial(t *testing.T, opts ...grpc.DialOption) runnerv1.RunnerServiceClient {
	t.Helper()
	conn, err := grpc.NewClient("unix:"+w.socket, append(opts, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return runnerv1.NewRunnerServiceClient(conn)
}

func (w *world) submit(t *testing.T) platform.Batch {
	t.Helper()
	r, err := study.Parse([]byte(text), "study.yaml")
	if err != nil {
		t.Fatal(err)
	}
	b, err := w.svc.Submit(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func registration() *runnerv1.RegisterRequest {
	return &runnerv1.RegisterRequest{
		RunnerId: "host-1.example", InstallationId: "i-1", Version: "0.1", Hostname: "host-1", Executor: "docker",
		Capabilities: &runnerv1.Capabilities{
			MaxConcurrentJobs: 2, CpuCores: 2, MemoryGb: 4, SupportedSimulationTypes: []string{"basilisk"},
			Gpus: 1, DefaultCpuMillis: 250, DefaultMemoryBytes: 1 << 20,
		},
	}
}

// runner is a scripted runner: it does what a test tells it to.
type runner struct {
	t       *testing.T
	rpc     runnerv1.RunnerServiceClient
	session string
}

func (w *world) runner(t *testing.T) *runner {
	t.Helper()
	r := &runner{t: t, rpc: w.dial(t, grpc.WithPerRPCCredentials(auth.Credentials(token)))}
	res, err := r.rpc.Register(t.Context(), registration())
	if err != nil {
		t.Fatal(err)
	}
	r.session = res.GetSessionId()
	return r
}

func (r *runner) claim(n uint32, wait time.Duration) []*runnerv1.Assignment {
	r.t.Helper()
	res, err := r.rpc.ClaimJobs(r.t.Context(), &runnerv1.ClaimJobsRequest{
		SessionId: r.session, MaxJobs: n, Wait: durationpb.New(wait),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return res.GetAssignments()
}

func (r *runner) started(a *runnerv1.Assignment) error {
	_, err := r.rpc.ReportStarted(r.t.Context(), &runnerv1.ReportStartedRequest{
		SessionId: r.session, Attempt: ref(a), StartedAt: timestamppb.New(time.Date(2026, 3, 1, 12, 0, 1, 0, time.UTC)),
	})
	return err
}

func (r *runner) result(a *runnerv1.Assignment, res *runnerv1.Result) error {
	_, err := r.rpc.ReportResult(r.t.Context(), &runnerv1.ReportResultRequest{SessionId: r.session, Attempt: ref(a), Result: res})
	return err
}

func ref(a *runnerv1.Assignment) *runnerv1.AttemptRef {
	return &runnerv1.AttemptRef{AttemptId: a.GetAttemptId(), Token: a.GetToken()}
}

// refused checks a refusal's code and reason.
func refused(t *testing.T, err error, code codes.Code, reason string) {
	t.Helper()
	if status.Code(err) != code || runnerv1.ReasonOf(err) != reason {
		t.Errorf("error %v with reason %q; want %v and %q", err, runnerv1.ReasonOf(err), code, reason)
	}
}

func TestRegisterTellsTheTimes(t *testing.T) {
	w := start(t, open(t))
	res, err := w.runner(t).rpc.Register(t.Context(), registration())
	if err != nil {
		t.Fatal(err)
	}
	if !res.GetKeepFiles() || res.GetMaxAttemptBytes() != maxAttempt {
		t.Errorf("files: %v", res)
	}
	if res.GetSessionId() == "" || res.GetHeartbeatInterval().AsDuration() != 10*time.Second ||
		res.GetOfflineAfter().AsDuration() != 30*time.Second || res.GetLeaseDuration().AsDuration() != time.Minute {
		t.Errorf("answer %v", res)
	}
	v, err := w.svc.Runner(t.Context(), "host-1.example")
	if err != nil {
		t.Fatal(err)
	}
	if v.State != api.RunnerIdle || v.Hostname != "host-1" || v.Executor != "docker" || v.Version != "0.1" ||
		v.Capabilities.MaxConcurrentJobs != 2 || v.Capabilities.CPUCores != 2 || v.Capabilities.MemoryGB != 4 ||
		v.GPUs != 1 || v.Default != (platform.Resources{CPUMillis: 250, MemoryBytes: 1 << 20}) {
		t.Errorf("the platform knows %+v", v)
	}
}

// A job's whole way, and that reports may come twice but not late.
func TestClaimStartedResultDuplicateStale(t *testing.T) {
	w := start(t, open(t))
	b := w.submit(t)
	r := w.runner(t)
	got := r.claim(2, 0)
	if len(got) != 2 {
		t.Fatalf("%d assignments, want 2", len(got))
	}
	a := got[0]
	checkAssignment(t, a, b)
	for range 2 {
		if err := r.started(a); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := r.result(a, result()); err != nil {
			t.Fatal(err)
		}
	}
	res, err := w.svc.JobResult(t.Context(), a.GetJobId())
	if err != nil {
		t.Fatal(err)
	}
	if res.State != api.JobCompleted || !proto.Equal(res.Result, result()) {
		t.Errorf("job is %s with result %v", res.State, res.Result)
	}
	late := proto.CloneOf(got[1])
	late.Token.Counter++
	refused(t, r.started(late), codes.FailedPrecondition, runnerv1.ReasonStaleToken)
	refused(t, r.result(late, result()), codes.FailedPrecondition, runnerv1.ReasonStaleToken)
	unknown := proto.CloneOf(got[1])
	unknown.AttemptId = "00000000-0000-0000-0000-000000000000-1"
	refused(t, r.result(unknown, result()), codes.FailedPrecondition, runnerv1.ReasonStaleToken)
}

func checkAssignment(t *testing.T, a *runnerv1.Assignment, b platform.Batch) {
	t.Helper()
	if a.GetBatchId() != b.ID || a.GetRunIndex() != 0 || a.GetAttempt() != 1 || a.GetAttemptId() != a.GetJobId()+"-1" {
		t.Errorf("assignment %v", a)
	}
	if a.GetSimulation().GetType() != "basilisk" || a.GetSimulation().GetDurationMinutes() != 10 {
		t.Errorf("simulation %v", a.GetSimulation())
	}
	p := a.GetParameters()
	if len(p) != 1 || p[0].GetName() != "mass_kg" || p[0].GetUnit() != "kg" || p[0].GetValue() < 1 || p[0].GetValue() > 2 {
		t.Errorf("parameters %v", p)
	}
	c := a.GetCompute()
	if c.GetImage() != "box" || c.GetCpuMillis() != 500 || c.GetMemoryBytes() != 1<<30 || c.GetTimeout().AsDuration() != time.Minute {
		t.Errorf("compute %v", c)
	}
	if e := a.GetEarlyTermination(); !e.GetEnabled() || len(e.GetConditions()) != 1 || e.GetConditions()[0].GetThreshold() != 10 {
		t.Errorf("early termination %v", e)
	}
}

// A claim that waits is answered when work arrives, not when its wait is over.
func TestLongPollIsAnsweredWhenWorkArrives(t *testing.T) {
	w := start(t, open(t))
	r := w.runner(t)
	claimed := make(chan []*runnerv1.Assignment)
	go func() {
		res, err := r.rpc.ClaimJobs(t.Context(), &runnerv1.ClaimJobsRequest{
			SessionId: r.session, MaxJobs: 3, Wait: durationpb.New(time.Hour), // an hour is cut to a minute
		})
		if err != nil {
			t.Error(err)
		}
		claimed <- res.GetAssignments()
	}()
	b := w.submit(t)
	if got := <-claimed; len(got) == 0 || got[0].GetBatchId() != b.ID {
		t.Errorf("claimed %v", got)
	}
}

func TestClaimWithoutWorkIsEmpty(t *testing.T) {
	r := start(t, open(t)).runner(t)
	if got := r.claim(1, time.Millisecond); len(got) != 0 {
		t.Errorf("claimed %v", got)
	}
}

func TestUnknownSession(t *testing.T) {
	w := start(t, open(t))
	w.submit(t)
	old := w.runner(t)
	a := old.claim(1, 0)[0]
	w.runner(t) // the same installation: replaces the session
	ctx := t.Context()
	_, claim := old.rpc.ClaimJobs(ctx, &runnerv1.ClaimJobsRequest{SessionId: old.session, MaxJobs: 1})
	_, beat := old.rpc.Heartbeat(ctx, &runnerv1.HeartbeatRequest{SessionId: old.session})
	for _, err := range []error{claim, beat, old.started(a), old.result(a, result())} {
		refused(t, err, codes.Unauthenticated, runnerv1.ReasonUnknownSession)
	}
}

func TestRunnerIDInUse(t *testing.T) {
	w := start(t, open(t))
	r := w.runner(t)
	other := registration()
	other.InstallationId = "i-2"
	_, err := r.rpc.Register(t.Context(), other)
	refused(t, err, codes.AlreadyExists, runnerv1.ReasonRunnerIDInUse)
	w.clock.advance(time.Minute) // the first one is silent
	if _, err := r.rpc.Register(t.Context(), other); err != nil {
		t.Errorf("a silent runner's id was not given away: %v", err)
	}
}

func TestHeartbeatBringsBackWhatIsWanted(t *testing.T) {
	w := start(t, open(t))
	w.submit(t)
	r := w.runner(t)
	got := r.claim(2, 0)
	if _, err := w.svc.CancelJob(t.Context(), got[0].GetJobId()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.svc.Drain(t.Context(), "host-1.example"); err != nil {
		t.Fatal(err)
	}
	lost := proto.CloneOf(ref(got[1]))
	lost.Token.Counter++
	res, err := r.rpc.Heartbeat(t.Context(), &runnerv1.HeartbeatRequest{
		SessionId: r.session, Held: []*runnerv1.AttemptRef{ref(got[0]), lost},
	})
	if err != nil {
		t.Fatal(err)
	}
	if !res.GetDrain() || len(res.GetCancel()) != 1 || res.GetCancel()[0] != got[0].GetAttemptId() ||
		len(res.GetLost()) != 1 || res.GetLost()[0] != got[1].GetAttemptId() {
		t.Errorf("answer %v", res)
	}
}

// A runner that leaves is offline, its session is over, and what it was given and
// does not name is somebody else's.
func TestLeave(t *testing.T) {
	w := start(t, open(t))
	w.submit(t)
	r := w.runner(t)
	got := r.claim(2, 0)
	leave := &runnerv1.LeaveRequest{SessionId: r.session, Held: []*runnerv1.AttemptRef{ref(got[0])}}
	for range 2 { // it is idempotent
		if _, err := r.rpc.Leave(t.Context(), leave); err != nil {
			t.Fatal(err)
		}
	}
	v, err := w.svc.Runner(t.Context(), "host-1.example")
	if err != nil || v.State != api.RunnerOffline || v.ActiveJobs != 1 {
		t.Errorf("%s with %d jobs, %v", v.State, v.ActiveJobs, err)
	}
	refused(t, r.started(got[0]), codes.Unauthenticated, runnerv1.ReasonUnknownSession)
}

func TestTheTokenIsNeeded(t *testing.T) {
	w := start(t, open(t))
	for name, opts := range map[string][]grpc.DialOption{
		"none":  nil,
		"wrong": {grpc.WithPerRPCCredentials(auth.Credentials(token + "x"))},
	} {
		_, err := w.dial(t, opts...).Register(t.Context(), registration())
		t.Log(name)
		refused(t, err, codes.Unauthenticated, runnerv1.ReasonBadToken)
	}
}

// broken is a store that fails.
type broken struct{ platform.Store }

func (broken) Update(context.Context, func(platform.Tx) error) error {
	return errors.New("disk /secret/place is full")
}

// What is free reaches the platform, and that a runner pauses.
func TestFreeAndPaused(t *testing.T) {
	w := start(t, open(t))
	w.submit(t) // jobs of 500 mCPU
	r := w.runner(t)
	res, err := r.rpc.ClaimJobs(t.Context(), &runnerv1.ClaimJobsRequest{
		SessionId: r.session, MaxJobs: 2, Free: &runnerv1.Resources{CpuMillis: 999, MemoryBytes: 4 << 30},
	})
	if err != nil || len(res.GetAssignments()) != 1 {
		t.Errorf("claimed %d, %v; want what fits", len(res.GetAssignments()), err)
	}
	if _, err := r.rpc.Heartbeat(t.Context(), &runnerv1.HeartbeatRequest{SessionId: r.session, Paused: "no disk"}); err != nil {
		t.Fatal(err)
	}
	if v, err := w.svc.Runner(t.Context(), "host-1.example"); err != nil || v.Paused != "no disk" {
		t.Errorf("paused %q, %v", v.Paused, err)
	}
	if got := r.claim(1, 0); len(got) != 0 {
		t.Errorf("a paused runner was given %v", got)
	}
}

// A fault of the platform is one to try again, and says nothing about its inside.
func TestFaultOfTheStore(t *testing.T) {
	w := start(t, broken{open(t)})
	_, err := w.dial(t, grpc.WithPerRPCCredentials(auth.Credentials(token))).Register(t.Context(), registration())
	refused(t, err, codes.Unavailable, "")
	if got := status.Convert(err).Message(); got != "the platform could not do this now; its log says why" {
		t.Errorf("message %q", got)
	}
}

func TestMessageThatIsTooLarge(t *testing.T) {
	r := start(t, open(t)).runner(t)
	m := registration()
	m.Hostname = string(make([]byte, rpc.MaxMessageBytes))
	_, err := r.rpc.Register(t.Context(), m)
	refused(t, err, codes.ResourceExhausted, "")
}

// A runner that gives up its long poll gets nothing, and the next one does.
func TestClaimThatIsGivenUp(t *testing.T) {
	w := start(t, open(t))
	r := w.runner(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := r.rpc.ClaimJobs(ctx, &runnerv1.ClaimJobsRequest{SessionId: r.session, MaxJobs: 1, Wait: durationpb.New(time.Minute)})
	refused(t, err, codes.DeadlineExceeded, "")
	w.submit(t)
	if got := r.claim(3, time.Minute); len(got) == 0 {
		t.Error("nothing left for the next claim")
	}
}

// open makes an empty store, the one that a platform has by default.
func open(t *testing.T) platform.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	return s
}
