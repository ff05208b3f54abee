package auth

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// Unary is the interceptor that asks unary calls for the token. Others are
// refused with UNAUTHENTICATED and [runnerv1.ReasonBadToken].
func (g *Guard) Unary() grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		if err := g.admit(ctx); err != nil {
			return nil, err
		}
		return handler(ctx, req)
	}
}

// Stream is Unary for streams.
func (g *Guard) Stream() grpc.StreamServerInterceptor {
	return func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		if err := g.admit(stream.Context()); err != nil {
			return err
		}
		return handler(srv, stream)
	}
}

func (g *Guard) admit(ctx context.Context) error {
	if err := g.allow(metadata.ValueFromIncomingContext(ctx, "authorization")); err != nil {
		return runnerv1.NewError(codes.Unauthenticated, runnerv1.ReasonBadToken, err.Error())
	}
	return nil
}

// Credentials makes a gRPC client present token with each call. It does so also
// without TLS, which is right on loopback and unix sockets; on a network that
// others can listen on, use TLS.
func Credentials(token string) credentials.PerRPCCredentials { return bearer(token) }

type bearer string

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (bearer) RequireTransportSecurity() bool { return false }

// String keeps the token out of whatever prints the credentials.
func (bearer) String() string { return "bearer token" }

// GoString keeps the token out of %#v.
func (b bearer) GoString() string { return b.String() }
