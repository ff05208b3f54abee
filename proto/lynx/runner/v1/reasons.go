// Package runnerv1 is the protocol between a runner and a platform: what the
// compiler makes of runner.proto, which documents it, and the reasons of refusals
// (reasons.go), which protobuf has no place for.
package runnerv1

import (
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Domain is the domain of the reasons below in a google.rpc.ErrorInfo.
const Domain = "lynx.runner.v1"

// The reasons for which a platform refuses a call and upon which a runner
// decides what to do next. Any other failure is one to try again.
const (
	// ReasonUnknownSession comes with UNAUTHENTICATED: the session is not the
	// runner's current one. The runner registers again.
	ReasonUnknownSession = "UNKNOWN_SESSION"
	// ReasonRunnerIDInUse comes with ALREADY_EXISTS: another installation, or a copy
	// of this one, heartbeats under this runner id. Two machines have the same name, or
	// one is the other's clone; a person has to give one of them another.
	ReasonRunnerIDInUse = "RUNNER_ID_IN_USE"
	// ReasonStaleToken comes with FAILED_PRECONDITION: the attempt's token is not
	// the job's current one. The runner drops what it wanted to say, for good.
	ReasonStaleToken = "STALE_TOKEN"
	// ReasonBadToken comes with UNAUTHENTICATED: the platform's bearer token is
	// missing or wrong. Registering again does not help.
	ReasonBadToken = "BAD_TOKEN"
)

// NewError makes the gRPC error of a refusal: a status with code and message
// that carries reason in a google.rpc.ErrorInfo of [Domain].
func NewError(code codes.Code, reason, message string) error {
	st := status.New(code, message)
	if with, err := st.WithDetails(&errdetails.ErrorInfo{Domain: Domain, Reason: reason}); err == nil {
		st = with
	}
	return st.Err()
}

// ReasonOf returns the reason of [Domain] that err, or an error that it wraps,
// carries; empty if it carries none.
func ReasonOf(err error) string {
	st, ok := status.FromError(err)
	if !ok {
		return ""
	}
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && info.GetDomain() == Domain {
			return info.GetReason()
		}
	}
	return ""
}
