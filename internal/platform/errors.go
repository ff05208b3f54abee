package platform

import (
	"errors"
	"fmt"
)

// The errors that a caller may want to tell apart. All are wrapped with what they
// are about.
var (
	// ErrNotFound is a batch, job, result or runner that does not exist.
	ErrNotFound = errors.New("not found")
	// ErrUnknownSession is a session that is not its runner's current one: the
	// runner must register again.
	ErrUnknownSession = errors.New("unknown session; register again")
	// ErrStaleToken is a report about an attempt that is not the job's current
	// one: the job was given to somebody else or is over.
	ErrStaleToken = errors.New("stale token: the attempt is no longer the job's current one")
	// ErrRunnerIDInUse is a runner id that another installation uses, or a copy of
	// this one, whose heartbeats are fresh.
	ErrRunnerIDInUse = errors.New("runner id is in use by another installation")
)

// InvalidError is an argument that can't be right, whatever the state.
type InvalidError struct {
	// Field is the argument's name in the API.
	Field string
	// Message says what is wrong and what would be right.
	Message string
}

func (e *InvalidError) Error() string { return e.Field + ": " + e.Message }

func invalid(field, format string, args ...any) error {
	return &InvalidError{Field: field, Message: fmt.Sprintf(format, args...)}
}
