package wire

import (
	"context"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/tetryx/lynx-runner/internal/platform/rpc"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// bigServer is a platform whose answers are as large as they may be.
type bigServer struct {
	runnerv1.UnimplementedRunnerServiceServer

	authorization chan []string
}

func (s bigServer) ClaimJobs(ctx context.Context, _ *runnerv1.ClaimJobsRequest) (*runnerv1.ClaimJobsResponse, error) {
	s.authorization <- metadata.ValueFromIncomingContext(ctx, "authorization")
	name := strings.Repeat("x", rpc.MaxMessageBytes-1000)
	return &runnerv1.ClaimJobsResponse{Assignments: []*runnerv1.Assignment{{JobId: name}}}, nil
}

// TestDial: the largest message arrives, and the token is presented, over TCP as
// over a unix socket.
func TestDial(t *testing.T) {
	leaks(t)
	dir := t.TempDir()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	// t.TempDir is too long for some systems' sockets, so the name is short.
	for address, l := range map[string]net.Listener{tcp.Addr().String(): tcp, "unix://" + dir + "/s": listenAt(t, dir+"/s")} {
		t.Run(l.Addr().Network(), func(t *testing.T) {
			far := bigServer{authorization: make(chan []string, 1)}
			server := grpc.NewServer(grpc.MaxSendMsgSize(rpc.MaxMessageBytes))
			runnerv1.RegisterRunnerServiceServer(server, far)
			done := make(chan struct{})
			go func() { defer close(done); _ = server.Serve(l) }()
			defer func() { server.Stop(); <-done }()
			conn, err := Dial(address, "secret-token")
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			answer, err := runnerv1.NewRunnerServiceClient(conn).ClaimJobs(t.Context(), &runnerv1.ClaimJobsRequest{})
			if err != nil || len(answer.GetAssignments()) != 1 {
				t.Errorf("%.200v", err)
			}
			if got := <-far.authorization; len(got) != 1 || got[0] != "Bearer secret-token" {
				t.Errorf("authorization %q", got)
			}
		})
	}
}

// TestDialUsesNoProxy: a proxy of the environment never sees the token.
func TestDialUsesNoProxy(t *testing.T) {
	proxy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	asked := make(chan struct{}, 1)
	go func() {
		if conn, err := proxy.Accept(); err == nil {
			conn.Close()
			asked <- struct{}{}
		}
	}()
	for _, name := range []string{"HTTPS_PROXY", "https_proxy"} {
		t.Setenv(name, "http://"+proxy.Addr().String())
	}
	// A name that is never there (RFC 6761), which a proxy would be asked for.
	conn, err := Dial("platform.invalid:1", "secret-token")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := runnerv1.NewRunnerServiceClient(conn).Heartbeat(t.Context(), &runnerv1.HeartbeatRequest{}); err == nil {
		t.Error("somebody answers for platform.invalid")
	}
	select {
	case <-asked:
		t.Error("the proxy was asked")
	default:
	}
}
