package rpc

import (
	"context"
	"log/slog"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/platform"
	"github.com/tetryx/lynx-runner/internal/platform/auth"
	"github.com/tetryx/lynx-runner/internal/platform/live"
	"github.com/tetryx/lynx-runner/internal/platform/store/files"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

const (
	// MaxMessageBytes is the largest message that the server takes, and the
	// largest that a client should be prepared to: a result with 100,000 artifacts,
	// or a claim of [platform.MaxClaim] jobs with a thousand parameters each.
	MaxMessageBytes = 32 << 20
	// maxWait bounds a long poll, so that a vanished runner's call ends.
	maxWait = 60 * time.Second
	// minPing is how often a runner may ping; a connection that pings more often
	// is closed.
	minPing = 5 * time.Second
	// pingAfter and pingTimeout find out about runners that are gone without a
	// word, whose long polls would otherwise be given jobs.
	pingAfter, pingTimeout = 20 * time.Second, 10 * time.Second
	// maxStreams bounds the calls that one connection makes at a time.
	maxStreams = 64
)

// Server implements runnerv1.RunnerServiceServer over the platform. It is safe
// for concurrent use.
type Server struct {
	runnerv1.UnimplementedRunnerServiceServer

	svc  *platform.Service
	opts Options
}

// Options are what a Server needs besides the platform.
type Options struct {
	// Guard decides who may call.
	Guard *auth.Guard
	// Files keeps what attempts leave; nil if the platform keeps none. MaxAttemptBytes
	// is its bound, which runners are told; 0 is none.
	Files           *files.Store
	MaxAttemptBytes int64
	// Live brings the output of running attempts to those who watch.
	Live *live.Hub
	Log  *slog.Logger
}

// New makes the service alone, for a grpc.Server of one's own.
func New(svc *platform.Service, o Options) *Server { return &Server{svc: svc, opts: o} }

// NewServer makes a grpc.Server that lets in what guard does, bounds messages
// and calls, and drops dead connections. The caller serves listeners with it.
// Long polls hold up GracefulStop for at most a minute: follow it with Stop.
//
// A Tail lasts until the runner or Options.Live ends it: close that first.
func NewServer(svc *platform.Service, o Options, opts ...grpc.ServerOption) *grpc.Server {
	s := grpc.NewServer(append([]grpc.ServerOption{
		grpc.MaxRecvMsgSize(MaxMessageBytes),
		grpc.MaxSendMsgSize(MaxMessageBytes),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minPing, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingAfter, Timeout: pingTimeout}),
		grpc.ChainUnaryInterceptor(o.Guard.Unary()),
		grpc.ChainStreamInterceptor(o.Guard.Stream()),
	}, opts...)...)
	runnerv1.RegisterRunnerServiceServer(s, New(svc, o))
	return s
}

// Register implements runnerv1.RunnerServiceServer.
func (s *Server) Register(ctx context.Context, m *runnerv1.RegisterRequest) (*runnerv1.RegisterResponse, error) {
	if err := checkRegister(m); err != nil {
		return nil, s.status(ctx, err)
	}
	c := m.GetCapabilities()
	session, err := s.svc.Register(ctx, platform.Registration{
		RunnerID:       m.GetRunnerId(),
		InstallationID: m.GetInstallationId(),
		Version:        m.GetVersion(),
		Hostname:       m.GetHostname(),
		Executor:       m.GetExecutor(),
		Capabilities: api.Capabilities{
			MaxConcurrentJobs:        int(c.GetMaxConcurrentJobs()),
			CPUCores:                 c.GetCpuCores(),
			MemoryGB:                 c.GetMemoryGb(),
			GPUAvailable:             c.GetGpuAvailable(),
			SupportedSimulationTypes: c.GetSupportedSimulationTypes(),
		},
		GPUs:    int64(c.GetGpus()),
		Default: platform.Resources{CPUMillis: c.GetDefaultCpuMillis(), MemoryBytes: c.GetDefaultMemoryBytes()},
	})
	if err != nil {
		return nil, s.status(ctx, err)
	}
	return &runnerv1.RegisterResponse{
		SessionId:         session.ID,
		HeartbeatInterval: durationpb.New(session.HeartbeatInterval),
		OfflineAfter:      durationpb.New(session.OfflineAfter),
		LeaseDuration:     durationpb.New(session.LeaseDuration),
		KeepFiles:         s.opts.Files != nil,
		MaxAttemptBytes:   s.opts.MaxAttemptBytes,
	}, nil
}

// ClaimJobs implements runnerv1.RunnerServiceServer. It waits for a minute at
// most and gives [platform.MaxClaim] attempts at most, whatever the runner asks
// for.
func (s *Server) ClaimJobs(ctx context.Context, m *runnerv1.ClaimJobsRequest) (*runnerv1.ClaimJobsResponse, error) {
	if err := checkClaim(m); err != nil {
		return nil, s.status(ctx, err)
	}
	wait := min(m.GetWait().AsDuration(), maxWait)
	assignments, err := s.svc.ClaimWithin(ctx, m.GetSessionId(), int(min(m.GetMaxJobs(), platform.MaxClaim)), free(m.GetFree()), wait)
	if err != nil {
		return nil, s.status(ctx, err)
	}
	return &runnerv1.ClaimJobsResponse{Assignments: assignments}, nil
}

// free is what a runner has left; nil if it does not say.
func free(r *runnerv1.Resources) *platform.Resources {
	if r == nil {
		return nil
	}
	return &platform.Resources{CPUMillis: r.GetCpuMillis(), MemoryBytes: r.GetMemoryBytes(), GPUs: r.GetGpus()}
}

// Heartbeat implements runnerv1.RunnerServiceServer.
func (s *Server) Heartbeat(ctx context.Context, m *runnerv1.HeartbeatRequest) (*runnerv1.HeartbeatResponse, error) {
	if err := checkHeartbeat(m); err != nil {
		return nil, s.status(ctx, err)
	}
	wanted, err := s.svc.Heartbeat(ctx, m.GetSessionId(), attemptRefs(m.GetHeld()), m.GetDraining(), m.GetPaused())
	if err != nil {
		return nil, s.status(ctx, err)
	}
	return &runnerv1.HeartbeatResponse{Drain: wanted.Drain, Cancel: wanted.Cancel, Lost: wanted.Lost}, nil
}

// ReportStarted implements runnerv1.RunnerServiceServer.
func (s *Server) ReportStarted(ctx context.Context, m *runnerv1.ReportStartedRequest) (*runnerv1.ReportStartedResponse, error) {
	if err := checkStarted(m); err != nil {
		return nil, s.status(ctx, err)
	}
	err := s.svc.ReportStarted(ctx, m.GetSessionId(), attemptRef(m.GetAttempt()), m.GetStartedAt().AsTime())
	if err != nil {
		return nil, s.status(ctx, err)
	}
	return &runnerv1.ReportStartedResponse{}, nil
}

// ReportResult implements runnerv1.RunnerServiceServer.
func (s *Server) ReportResult(ctx context.Context, m *runnerv1.ReportResultRequest) (*runnerv1.ReportResultResponse, error) {
	if err := checkReport(m); err != nil {
		return nil, s.status(ctx, err)
	}
	err := s.svc.ReportResult(ctx, m.GetSessionId(), attemptRef(m.GetAttempt()), m.GetResult())
	if err != nil {
		return nil, s.status(ctx, err)
	}
	return &runnerv1.ReportResultResponse{}, nil
}

// Leave implements runnerv1.RunnerServiceServer.
func (s *Server) Leave(ctx context.Context, m *runnerv1.LeaveRequest) (*runnerv1.LeaveResponse, error) {
	if err := checkLeave(m); err != nil {
		return nil, s.status(ctx, err)
	}
	if err := s.svc.Leave(ctx, m.GetSessionId(), attemptRefs(m.GetHeld())); err != nil {
		return nil, s.status(ctx, err)
	}
	return &runnerv1.LeaveResponse{}, nil
}

func attemptRefs(list []*runnerv1.AttemptRef) []platform.AttemptRef {
	refs := make([]platform.AttemptRef, len(list))
	for i, ref := range list {
		refs[i] = attemptRef(ref)
	}
	return refs
}

func attemptRef(r *runnerv1.AttemptRef) platform.AttemptRef {
	return platform.AttemptRef{
		AttemptID: r.GetAttemptId(),
		Token:     platform.Token{Epoch: r.GetToken().GetEpoch(), Counter: r.GetToken().GetCounter()},
	}
}
