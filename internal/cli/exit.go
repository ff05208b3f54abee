package cli

import (
	"context"
	"errors"
	"fmt"
)

// The exit statuses of lynxctl.
const (
	// ExitOK is success.
	ExitOK = 0
	// ExitFailed is a study or job that failed.
	ExitFailed = 1
	// ExitUsage is wrong usage or an invalid file.
	ExitUsage = 2
	// ExitUnreachable is a platform or an engine that can't be reached.
	ExitUnreachable = 3
	// ExitUnread is output that its reader had enough of, as in `lynxctl … | head`:
	// what a shell tells of a program that SIGPIPE has ended.
	ExitUnread = 141
	// ExitInterrupted is Ctrl-C.
	ExitInterrupted = 130
)

// ExitError is an error with the exit status that it deserves. A nil Err prints
// nothing: everything was said already.
type ExitError struct {
	Status int
	Err    error
}

func (e *ExitError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit status %d", e.Status)
	}
	return e.Err.Error()
}

func (e *ExitError) Unwrap() error { return e.Err }

// exit wraps err, if it is one, with an exit status.
func exit(status int, err error) error {
	if err == nil {
		return nil
	}
	return &ExitError{Status: status, Err: err}
}

// ExitStatus tells the exit status of a command that returned err. Errors without
// a status of their own are wrong usage: cobra's own complaints are such.
func ExitStatus(err error) int {
	var withStatus *ExitError
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &withStatus):
		return withStatus.Status
	case errors.Is(err, context.Canceled):
		return ExitInterrupted
	default:
		return ExitUsage
	}
}

// spoken is err, or nil where everything about it was said already.
func spoken(err error) error {
	if Message(err) == "" {
		return nil
	}
	return err
}

// Message is what to print about a command's error: nothing where everything was
// said already.
func Message(err error) string {
	var withStatus *ExitError
	if err == nil || errors.As(err, &withStatus) && withStatus.Err == nil {
		return ""
	}
	return err.Error()
}
