package runner

import (
	"context"
	"fmt"
	"math"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// defaultHeartbeat is used where a platform names no interval.
const defaultHeartbeat = 10 * time.Second

// session is the runner's registration, which every loop uses and any of them
// may renew.
type session struct {
	r           *Runner
	registering sync.Mutex
	state       atomic.Pointer[runnerv1.RegisterResponse]
}

func (s *session) id() string { return s.state.Load().GetSessionId() }

func (s *session) heartbeat() time.Duration {
	if d := s.state.Load().GetHeartbeatInterval().AsDuration(); d > 0 {
		return d
	}
	return defaultHeartbeat
}

// first registers for the first time. It waits for a platform that is away or
// that still hears another runner of this id, and gives up where trying again
// cannot help.
func (s *session) first(ctx context.Context) error {
	return s.register(ctx, func(err error) bool {
		switch status.Code(err) {
		case codes.Unauthenticated, codes.PermissionDenied, codes.InvalidArgument, codes.Unimplemented:
			return true
		}
		return false
	})
}

// renew registers again, unless another loop has done so since old was the
// session. It returns false when ctx ends.
func (s *session) renew(ctx context.Context, old string) bool {
	s.registering.Lock()
	defer s.registering.Unlock()
	if s.id() != old {
		return true
	}
	s.r.log.Info("the platform does not know this session; registering again")
	return s.register(ctx, func(error) bool { return false }) == nil
}

// register tries until it succeeds, ctx ends or the error is fatal.
func (s *session) register(ctx context.Context, fatal func(error) bool) error {
	request := s.request()
	wait := s.r.pace.backoff()
	for {
		call, cancel := context.WithTimeout(ctx, s.r.pace.call)
		response, err := s.r.deps.Platform.Register(call, request)
		cancel()
		switch {
		case err == nil:
			s.state.Store(response)
			s.r.log.Info("registered", "runner", request.GetRunnerId(), "session", response.GetSessionId())
			return nil
		case fatal(err):
			return fmt.Errorf("the platform at %s refuses this runner: %w", s.r.cfg.Server, err)
		case runnerv1.ReasonOf(err) == runnerv1.ReasonRunnerIDInUse:
			s.r.log.Warn("another runner uses this id; give one of them another (runner_id)", "runner", request.GetRunnerId(), "error", err)
		default:
			s.r.log.Warn("cannot register; trying again", "server", s.r.cfg.Server, "error", err)
		}
		if !wait.wait(ctx) {
			return ctx.Err()
		}
	}
}

func (s *session) request() *runnerv1.RegisterRequest {
	hostname, _ := os.Hostname() // for people only
	c := s.r.cfg.Capabilities
	return &runnerv1.RegisterRequest{
		RunnerId:       s.r.cfg.RunnerID,
		InstallationId: s.r.journal.HolderID(),
		Version:        s.r.deps.Version,
		Hostname:       hostname,
		Executor:       s.r.deps.Executor.Name(),
		Capabilities: &runnerv1.Capabilities{
			MaxConcurrentJobs:        uint32(s.r.cfg.MaxConcurrentJobs),
			CpuCores:                 c.CPUCores,
			MemoryGb:                 math.Floor(float64(s.r.cfg.JobMemoryBytes())/(1<<30)*100) / 100,
			GpuAvailable:             s.r.gpus.Size() > 0,
			Gpus:                     uint32(s.r.gpus.Size()),
			DefaultCpuMillis:         s.r.cfg.Limits.CPUMillis,
			DefaultMemoryBytes:       s.r.cfg.Limits.MemoryBytes,
			SupportedSimulationTypes: c.SimulationTypes,
		},
	}
}

// keepsFiles reports whether the platform wants the files of attempts, and
// maxAttemptBytes how much of one's; 0 is no bound.
func (s *session) keepsFiles() bool       { return s.state.Load().GetKeepFiles() }
func (s *session) maxAttemptBytes() int64 { return max(0, s.state.Load().GetMaxAttemptBytes()) }

// call runs one call of a loop with the current session, with a deadline. If the
// session is refused it registers again and tries once more.
func (s *session) call(ctx context.Context, limit time.Duration, f func(ctx context.Context, session string) error) error {
	return s.with(ctx, func(session string) error {
		bounded, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		return f(bounded, session)
	})
}

// with is call for what has bounds of its own.
func (s *session) with(ctx context.Context, f func(session string) error) error {
	for try := 0; ; try++ {
		id := s.id()
		err := f(id)
		if err == nil || try > 0 || runnerv1.ReasonOf(err) != runnerv1.ReasonUnknownSession || !s.renew(ctx, id) {
			return err
		}
	}
}
