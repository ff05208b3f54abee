package auth_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/tetryx/lynx-runner/internal/platform/auth"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

type stream struct {
	grpc.ServerStream

	ctx context.Context
}

func (s stream) Context() context.Context { return s.ctx }

func TestGRPC(t *testing.T) {
	for _, c := range []struct {
		name string
		g    *auth.Guard
		md   metadata.MD
		want codes.Code
	}{
		{"token", guard(t), metadata.Pairs("authorization", "Bearer "+token), codes.OK},
		{"no metadata", guard(t), nil, codes.Unauthenticated},
		{"wrong token", guard(t), metadata.Pairs("authorization", "Bearer lynx_another-token-0123"), codes.Unauthenticated},
		{"two tokens", guard(t), metadata.Pairs("authorization", "Bearer "+token, "authorization", "Bearer "+token), codes.Unauthenticated},
		{"open", auth.NewOpenGuard(), nil, codes.OK},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx := metadata.NewIncomingContext(t.Context(), c.md)
			reached := 0
			_, unary := c.g.Unary()(ctx, nil, nil, func(context.Context, any) (any, error) { reached++; return nil, nil })
			streaming := c.g.Stream()(nil, stream{ctx: ctx}, nil, func(any, grpc.ServerStream) error { reached++; return nil })
			for _, err := range []error{unary, streaming} {
				if status.Code(err) != c.want {
					t.Errorf("error %v, want %v", err, c.want)
				}
				if err != nil && runnerv1.ReasonOf(err) != runnerv1.ReasonBadToken {
					t.Errorf("reason %q", runnerv1.ReasonOf(err))
				}
			}
			if want := map[bool]int{true: 2, false: 0}[c.want == codes.OK]; reached != want {
				t.Errorf("handlers reached %d times, want %d", reached, want)
			}
		})
	}
}

func TestCredentialsPresentTheTokenAndPrintNothing(t *testing.T) {
	creds := auth.Credentials(token)
	md, err := creds.GetRequestMetadata(t.Context())
	if err != nil || md["authorization"] != "Bearer "+token {
		t.Errorf("metadata %v, %v", md, err)
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if printed := fmt.Sprintf(format, creds); strings.Contains(printed, token) {
			t.Errorf("%s prints %s", format, printed)
		}
	}
}
