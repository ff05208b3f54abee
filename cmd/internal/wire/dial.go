package wire

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"github.com/tetryx/lynx-runner/internal/platform/auth"
	"github.com/tetryx/lynx-runner/internal/platform/rpc"
)

const (
	// pingAfter and pingTimeout find out within half a minute that a platform is
	// gone without a word. The platform allows a ping each 5 s.
	pingAfter, pingTimeout = 20 * time.Second, 10 * time.Second
	// redialWithin bounds the wait between two attempts to connect: a platform
	// that was restarted has its runners back within seconds.
	redialWithin = 5 * time.Second
)

// Dial prepares a connection to a platform's gRPC interface, HOST:PORT or
// unix:///PATH, which need not be there yet. The token goes over it in the clear,
// so over a network it belongs inside a tunnel. Proxies of the environment are
// not used.
func Dial(server, token string) (*grpc.ClientConn, error) {
	target := server
	if !strings.HasPrefix(server, "unix:") {
		// Not the dns resolver, which looks up more than the address.
		target = "passthrough:///" + server
	}
	reconnect := backoff.DefaultConfig
	reconnect.MaxDelay = redialWithin
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithNoProxy(),
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(rpc.MaxMessageBytes), grpc.MaxCallSendMsgSize(rpc.MaxMessageBytes)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingAfter, Timeout: pingTimeout}),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnect, MinConnectTimeout: redialWithin}),
	}
	if token != "" {
		options = append(options, grpc.WithPerRPCCredentials(auth.Credentials(token)))
	}
	conn, err := grpc.NewClient(target, options...)
	if err != nil {
		return nil, fmt.Errorf("server %q: %w; write HOST:PORT or unix:///PATH", server, err)
	}
	return conn, nil
}
