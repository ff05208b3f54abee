// Package executor is the contract between the runner and the places where a
// job can be launched: a Docker container (executor/docker) or a process on the
// host (executor/process). It decides nothing: it starts what it is told to,
// says exactly how that ended, and leaves nothing behind. What an ending means
// (the outcome) is decided in one place, in internal/runner.
//
// # The life of an attempt
//
//	Start → Wait (again after any error) → Remove
//	          ↑ Kill, at any time, any number of times
//
// Start is idempotent by Spec.AttemptID: where an earlier process of this runner
// already started that attempt, Start returns a handle to what is there, running
// or not; it never starts it twice and never purges it. Recover finds everything
// that earlier processes of this runner left.
//
// Every executor launches the job below the shim (internal/shim), which writes
// the logs, forwards the telemetry port and reports the exit.
//
// # Contexts
//
// Every method takes a context. No method but Wait runs without a deadline: the
// executor adds one of its own to each step, so a hung engine becomes an error.
// Cancelling the context of Wait stops the waiting, never the job.
//
// The suite in executor/executortest holds every implementation to this.
package executor

import (
	"context"
	"errors"
	"time"
)

// Executor launches attempts. Its methods may be called concurrently.
type Executor interface {
	// Name is the executor's name in configuration and reports: "docker" or
	// "process".
	Name() string
	// Version is what launches the attempts, with its version, for manifests:
	// "docker 28.2.2".
	Version() string
	// Resolve turns an image reference into the immutable id that Spec.Image
	// takes, pulling if the policy says so. An error that wraps ErrImage means
	// that the reference can't be had; anything else is the engine's trouble.
	// An executor without images returns "".
	Resolve(ctx context.Context, image string) (string, error)
	// Start launches the attempt and returns once its main process was started,
	// or failed to (then Wait tells how). An error that wraps ErrInvalidSpec is
	// the job's fault; anything else is an infrastructure failure. After an error
	// nothing is left behind.
	Start(ctx context.Context, spec Spec) (Handle, error)
	// Recover returns a handle to every attempt that earlier processes of this
	// runner (the runner id that the executor was made with) left, running or
	// ended, in no particular order.
	Recover(ctx context.Context) ([]Handle, error)
	// Close releases the executor's own resources. It does not touch attempts.
	Close() error
}

// Handle is one started attempt. Its methods may be called concurrently.
type Handle interface {
	AttemptID() string
	// Started is when the main process was started.
	Started() time.Time
	// Wait blocks until every process of the attempt is gone and returns how it
	// ended. It may be called again, also concurrently, and after an error, and
	// gives the same answer once it gave one.
	Wait(ctx context.Context) (Exit, error)
	// Kill ends every process of the attempt with SIGKILL and returns when they
	// are gone, with the time at which they were, seen from outside the job. On
	// an attempt that has ended it returns that earlier time.
	Kill(ctx context.Context) (time.Time, error)
	// Remove deletes what the executor keeps of an ended attempt: container,
	// volumes, sockets of its own. Not its files. Idempotent.
	Remove(ctx context.Context) error
}

// Vacater is implemented by handles of attempts whose place another may take before
// Wait can tell how they ended, or what they left is collected: jobs of the same
// user can't reach each other's files.
type Vacater interface {
	// Vacated is closed when the attempt uses nothing of the host any more: every
	// process of it is gone, and the kernel has let go of their memory. It is closed
	// before Wait returns how it ended, and stays open where Wait fails.
	Vacated() <-chan struct{}
}

// Pinger is implemented by executors whose engine can be away.
type Pinger interface {
	// Ping asks the engine for a sign of life; an error wraps ErrUnavailable.
	Ping(ctx context.Context) error
}

var (
	// ErrImage says that an image can't be had under the executor's pull policy,
	// or is not allowed. It is the job's fault, not the engine's.
	ErrImage = errors.New("image is not available")
	// ErrInvalidSpec says that the attempt can never start as specified: a bad
	// path, a limit that the host can't give.
	ErrInvalidSpec = errors.New("invalid job specification")
	// ErrUnavailable says that the engine can't be reached or doesn't answer.
	ErrUnavailable = errors.New("engine is not available")
)
