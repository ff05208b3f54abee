// Package rpc is the platform's side of the runner protocol, lynx.runner.v1.
//
// It is a translation: each call checks its message (valid.go, result.go), makes the
// service's arguments of it, and turns the service's errors into gRPC statuses
// with the reasons that a runner decides on (status.go). It keeps no state. The
// files of attempts go to a store of their own (files.go), what running ones print
// and measure to those who watch (tail.go).
//
// Runners are trusted to run jobs, not to be free of faults, and what a job wrote
// passes through them. So every message is bounded and checked before the
// platform sees it: a malformed one is INVALID_ARGUMENT, names the field and
// changes nothing.
package rpc
