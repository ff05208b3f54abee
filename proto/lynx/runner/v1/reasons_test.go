package runnerv1_test

import (
	"errors"
	"fmt"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

func TestReasonOf(t *testing.T) {
	foreign, err := status.New(codes.Aborted, "x").WithDetails(
		&errdetails.ErrorInfo{Domain: "example.org", Reason: runnerv1.ReasonStaleToken})
	if err != nil {
		t.Fatal(err)
	}
	stale := runnerv1.NewError(codes.FailedPrecondition, runnerv1.ReasonStaleToken, "token 3 is not current")
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"nil", nil, ""},
		{"plain", errors.New("broken"), ""},
		{"status without details", status.Error(codes.Unavailable, "later"), ""},
		{"another domain", foreign.Err(), ""},
		{"own", stale, runnerv1.ReasonStaleToken},
		{"wrapped", fmt.Errorf("report: %w", stale), runnerv1.ReasonStaleToken},
	} {
		if got := runnerv1.ReasonOf(c.err); got != c.want {
			t.Errorf("%s: reason %q, want %q", c.name, got, c.want)
		}
	}
	if st := status.Convert(stale); st.Code() != codes.FailedPrecondition || st.Message() != "token 3 is not current" {
		t.Errorf("status %v", st)
	}
}
