// Package wire puts the parts together: a store, the platform's service and its
// two interfaces make a platform; a configuration, an executor and a connection
// make a runner. lynx-server and lynx-runner each start one of them, lynxctl run
// both, so that all three run the same code.
package wire

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/tetryx/lynx-runner/internal/platform"
	"github.com/tetryx/lynx-runner/internal/platform/auth"
	"github.com/tetryx/lynx-runner/internal/platform/live"
	"github.com/tetryx/lynx-runner/internal/platform/rest"
	"github.com/tetryx/lynx-runner/internal/platform/rpc"
	"github.com/tetryx/lynx-runner/internal/platform/store/files"
	"github.com/tetryx/lynx-runner/internal/platform/store/sqlite"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// stopWithin bounds the end of the platform's servers: calls under way have this
// long to finish.
const stopWithin = 5 * time.Second

// PlatformOptions is what a platform is made of.
type PlatformOptions struct {
	// Data is the directory of the store.
	Data string
	// KeepFiles says that runners are to hand in the files of attempts, which are
	// kept below Data/files; MaxAttemptBytes bounds those of one attempt, 0 is no
	// bound.
	KeepFiles       bool
	MaxAttemptBytes int64
	// REST and GRPC are listeners for the two interfaces; the platform closes
	// them.
	REST, GRPC net.Listener
	// Guard decides who may call.
	Guard *auth.Guard
	// Heartbeat is how often runners call, and so how soon they hear of a cancel;
	// 0 means the platform's default.
	Heartbeat time.Duration
	Version   string
	Log       *slog.Logger
}

// Platform is a running platform.
type Platform struct {
	store  *sqlite.Store
	files  *files.Store // nil if none are kept
	live   *live.Hub
	http   *http.Server
	grpc   *grpc.Server
	cancel context.CancelFunc
	wg     sync.WaitGroup

	failed   chan struct{}
	failOnce sync.Once
	failure  error
}

// StartPlatform opens the store and serves both interfaces until Stop. It closes
// the listeners also when it fails.
func StartPlatform(ctx context.Context, o PlatformOptions) (*Platform, error) {
	store, err := sqlite.Open(ctx, o.Data)
	if err != nil {
		return nil, errors.Join(err, o.REST.Close(), o.GRPC.Close())
	}
	p := &Platform{store: store, live: live.New(), failed: make(chan struct{})}
	if o.KeepFiles {
		if p.files, err = files.Open(filepath.Join(o.Data, "files"), files.Options{MaxAttemptBytes: o.MaxAttemptBytes}); err != nil {
			return nil, errors.Join(err, store.Close(), o.REST.Close(), o.GRPC.Close())
		}
	}
	service := platform.New(store, platform.Options{HeartbeatInterval: o.Heartbeat, Log: o.Log})
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p.cancel = cancel
	p.http = rest.NewServer(endReads(run, rest.New(service, p.restOptions(o))), o.Log)
	p.grpc = rpc.NewServer(service, rpc.Options{
		Guard: o.Guard, Files: p.files, MaxAttemptBytes: o.MaxAttemptBytes, Live: p.live, Log: o.Log,
	}, grpc.ChainUnaryInterceptor(endClaims(run)))
	p.wg.Go(func() { service.Run(run) })
	p.wg.Go(func() { p.ended("REST", p.http.Serve(o.REST)) })
	p.wg.Go(func() { p.ended("gRPC", p.grpc.Serve(o.GRPC)) })
	return p, nil
}

func (p *Platform) restOptions(o PlatformOptions) rest.Options {
	r := rest.Options{Guard: o.Guard, Version: o.Version, Live: p.live, Log: o.Log}
	if p.files != nil { // else it would be an interface with a nil pointer
		r.Files = p.files
	}
	return r
}

// endReads makes requests that change nothing, long polls among them, end with
// run. Those that change something finish.
func endReads(run context.Context, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			next.ServeHTTP(w, r)
			return
		}
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(run, cancel)()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// endClaims makes the runners' long polls end with run.
func endClaims(run context.Context) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		if info.FullMethod != runnerv1.RunnerService_ClaimJobs_FullMethodName {
			return handler(ctx, request)
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(run, cancel)()
		return handler(ctx, request)
	}
}

// ended notes that a server has ended; by itself if with another error than that
// of being closed.
func (p *Platform) ended(what string, err error) {
	if err == nil || errors.Is(err, http.ErrServerClosed) || errors.Is(err, grpc.ErrServerStopped) {
		return
	}
	p.failOnce.Do(func() {
		p.failure = fmt.Errorf("%s server: %w", what, err)
		close(p.failed)
	})
}

// Failed is closed when a server has ended by itself.
func (p *Platform) Failed() <-chan struct{} { return p.failed }

// Stop ends both servers, letting calls under way finish for a few seconds, and
// closes the store. It returns why a server had ended before, if one had.
func (p *Platform) Stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopWithin)
	defer cancel()
	p.cancel()     // long polls end at once
	p.live.Close() // as does what is watched
	hard := context.AfterFunc(ctx, p.grpc.Stop)
	p.grpc.GracefulStop()
	hard()
	if err := p.http.Shutdown(ctx); err != nil {
		_ = p.http.Close()
	}
	p.wg.Wait()
	var failure error
	select {
	case <-p.failed:
		failure = p.failure
	default:
	}
	if p.files != nil {
		failure = errors.Join(failure, p.files.Close())
	}
	return errors.Join(failure, p.store.Close())
}
