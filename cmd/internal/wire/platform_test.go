package wire

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/platform/auth"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

const study = `
simulation: {name: Orbit, version: 1.0.0}
monte_carlo: {runs: 2, sampling_method: random, seed: 42}
dispersions: {e: {distribution: {type: uniform, min: 0.1, max: 0.2}, units: none}}
`

// bench is a platform with its two clients.
type bench struct {
	*Platform

	options PlatformOptions
	rest    *api.Client
	runners runnerv1.RunnerServiceClient
}

func startBench(t *testing.T) *bench {
	t.Helper()
	dir, err := os.MkdirTemp("", "lx") // short, for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	b := &bench{options: PlatformOptions{
		Data: filepath.Join(dir, "data"), REST: listenAt(t, dir+"/rest"), GRPC: listenAt(t, dir+"/grpc"),
		Guard: auth.NewOpenGuard(), Version: "test", Log: slog.New(slog.DiscardHandler),
	}}
	if b.Platform, err = StartPlatform(t.Context(), b.options); err != nil {
		t.Fatal(err)
	}
	if b.rest, err = api.NewClient("unix://" + dir + "/rest"); err != nil {
		t.Fatal(err)
	}
	conn, err := Dial("unix://"+dir+"/grpc", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.rest.Close(); conn.Close() })
	b.runners = runnerv1.NewRunnerServiceClient(conn)
	return b
}

func listenAt(t *testing.T, path string) net.Listener {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// leaks checks for goroutines when the test and its other cleanups are over.
func leaks(t *testing.T) {
	t.Helper()
	ignore := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, ignore) })
}

func TestPlatformStartsAndStops(t *testing.T) {
	leaks(t)
	b := startBench(t)
	if _, err := b.rest.Submit(t.Context(), []byte(study), api.YAML); err != nil {
		t.Error(err)
	}
	if _, err := b.runners.Heartbeat(t.Context(), &runnerv1.HeartbeatRequest{SessionId: "x"}); runnerv1.ReasonOf(err) != runnerv1.ReasonUnknownSession {
		t.Errorf("heartbeat: %v", err)
	}
	select {
	case <-b.Failed():
		t.Error("failed by itself")
	default:
	}
	if err := b.Stop(); err != nil {
		t.Error(err)
	}
	for _, l := range []net.Listener{b.options.REST, b.options.GRPC} {
		if _, err := os.Stat(l.Addr().String()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", l.Addr(), err)
		}
	}
}

// TestLongPollsEndWithThePlatform: what only waits for news ends when the
// platform does; what changes something does not.
func TestLongPollsEndWithThePlatform(t *testing.T) {
	for method, ends := range map[string]bool{
		"GET /batches/b?wait=60": true, "POST /jobs": false,
		runnerv1.RunnerService_ClaimJobs_FullMethodName: true, runnerv1.RunnerService_ReportResult_FullMethodName: false,
	} {
		t.Run(method, func(t *testing.T) {
			run, stop := context.WithCancel(t.Context())
			arrived, ended := make(chan context.Context), make(chan struct{})
			wait := func(ctx context.Context) { arrived <- ctx; <-ended }
			over := make(chan struct{})
			go func() {
				defer close(over)
				verb, path, isHTTP := strings.Cut(method, " ")
				if !isHTTP {
					_, _ = endClaims(run)(t.Context(), nil, &grpc.UnaryServerInfo{FullMethod: method},
						func(ctx context.Context, _ any) (any, error) { wait(ctx); return nil, nil })
					return
				}
				endReads(run, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { wait(r.Context()) })).
					ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), verb, path, nil))
			}()
			ctx := <-arrived
			if ctx.Err() != nil {
				t.Error("ended before the platform")
			}
			stop()
			if ends {
				<-ctx.Done()
			} else if ctx.Err() != nil {
				t.Error("ended with the platform, and not with its work done")
			}
			close(ended)
			<-over
			if ctx.Err() == nil && ends {
				t.Error("the context outlives its call")
			}
		})
	}
}

// TestAListenerThatDies fails the platform, and Stop says why.
func TestAListenerThatDies(t *testing.T) {
	leaks(t)
	for what, kill := range map[string]func(*bench) error{
		"REST": func(b *bench) error { return b.options.REST.Close() },
		"gRPC": func(b *bench) error { return b.options.GRPC.Close() },
	} {
		b := startBench(t)
		if err := kill(b); err != nil {
			t.Fatal(err)
		}
		<-b.Failed()
		if err := b.Stop(); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: Stop returns %v", what, err)
		}
	}
}

// TestAStoreThatCannotOpen closes the listeners.
func TestAStoreThatCannotOpen(t *testing.T) {
	leaks(t)
	b := startBench(t)
	defer func() {
		if err := b.Stop(); err != nil {
			t.Error(err)
		}
	}()
	dir := filepath.Dir(b.options.Data)
	second := b.options
	second.REST, second.GRPC = listenAt(t, dir+"/rest2"), listenAt(t, dir+"/grpc2")
	if _, err := StartPlatform(t.Context(), second); err == nil {
		t.Error("two platforms have the same store")
	}
	for _, l := range []net.Listener{second.REST, second.GRPC} {
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: %v", l.Addr(), err)
		}
	}
}
