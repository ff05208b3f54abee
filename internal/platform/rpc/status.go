package rpc

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tetryx/lynx-runner/internal/platform"
	"github.com/tetryx/lynx-runner/internal/platform/store/files"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// refusals are the platform's errors that a runner decides on.
var refusals = []struct {
	err    error
	code   codes.Code
	reason string
}{
	{platform.ErrUnknownSession, codes.Unauthenticated, runnerv1.ReasonUnknownSession},
	{platform.ErrRunnerIDInUse, codes.AlreadyExists, runnerv1.ReasonRunnerIDInUse},
	{platform.ErrStaleToken, codes.FailedPrecondition, runnerv1.ReasonStaleToken},
	// A runner names nothing but attempts that it was given. One that does not
	// exist is of a platform that has lost its data: nobody will ever want it.
	{platform.ErrNotFound, codes.FailedPrecondition, runnerv1.ReasonStaleToken},
	{files.ErrPath, codes.InvalidArgument, ""},
	{files.ErrSize, codes.InvalidArgument, ""},
	{files.ErrTooLarge, codes.FailedPrecondition, ""},
	{files.ErrDigest, codes.DataLoss, ""},
	{files.ErrOffset, codes.Aborted, ""},
	{files.ErrReplaced, codes.Aborted, ""},
	{files.ErrDiskFull, codes.ResourceExhausted, ""},
}

// status makes a gRPC error of one of the platform's. What is no refusal is a
// fault of the platform: it is logged here, and the runner, which can only try
// again, is told no more than that.
func (s *Server) status(ctx context.Context, err error) error {
	var bad *platform.InvalidError
	if errors.As(err, &bad) {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	for _, r := range refusals {
		if !errors.Is(err, r.err) {
			continue
		}
		if r.code == codes.ResourceExhausted {
			s.opts.Log.WarnContext(ctx, "a runner's files are not kept for now", "error", err)
		}
		if r.reason == "" {
			return status.Error(r.code, err.Error())
		}
		return runnerv1.NewError(r.code, r.reason, err.Error())
	}
	var broken cut
	switch {
	case errors.As(err, &broken):
		return broken.error
	case ctx.Err() != nil:
		return status.FromContextError(ctx.Err()).Err()
	}
	s.opts.Log.ErrorContext(ctx, "runner call failed", "error", err)
	return status.Error(codes.Unavailable, "the platform could not do this now; its log says why")
}
