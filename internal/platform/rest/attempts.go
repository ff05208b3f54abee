package rest

import (
	"context"
	"fmt"
	"net/http"
	"path"

	"github.com/tetryx/lynx-runner/internal/platform"
	"github.com/tetryx/lynx-runner/internal/platform/store/files"
)

// AttemptQuery names an attempt of a job; exported as PageQuery is.
type AttemptQuery struct {
	JobID   string `path:"job_id" maxLength:"128"`
	Attempt int    `query:"attempt" minimum:"1" maximum:"1000000" doc:"The attempt's number, from 1; leave it out for the latest."`
}

// running reports whether the attempt goes on.
func running(r *platform.RunResult) bool {
	return r.Active() && r.Attempt != nil && r.Attempt.Number == r.Attempts && r.Attempt.EndedAt.IsZero()
}

// over waits until an attempt has ended, and returns false if ctx ends before.
func (h *handler) over(ctx context.Context, r *platform.RunResult) bool {
	for {
		at := h.svc.Position() // before the look, so that no change is missed
		now, err := h.svc.AttemptResult(ctx, r.ID, r.Attempt.Number)
		if err == nil && !running(&now) {
			return true
		}
		if changes, _, _ := h.svc.Changes(ctx, at); len(changes) == 0 {
			return false
		}
	}
}

func keyOf(r *platform.RunResult) files.AttemptKey {
	return files.AttemptKey{BatchID: r.BatchID, RunIndex: r.RunIndex, Number: r.Attempt.Number}
}

// notKept is the answer for a file of an attempt that the platform does not
// have: it says where the file lies, and how to have it here.
func (h *handler) notKept(ctx context.Context, r *platform.RunResult, name string) error {
	host := r.Attempt.RunnerID
	if v, err := h.svc.Runner(ctx, r.Attempt.RunnerID); err == nil && v.Hostname != "" {
		host = fmt.Sprintf("%s (host %s)", v.ID, v.Hostname)
	}
	where := "attempt " + r.Attempt.ID()
	if r.Result == nil {
		return newProblem(http.StatusNotFound, fmt.Sprintf(
			"%s: not found here: %s was lost with its runner %s, so nothing of it came to the platform; what it left is on that host", name, where, host))
	}
	detail := fmt.Sprintf("%s: not found here; %s left it on runner %s, in %s", name, where, host, path.Join(r.Result.GetDirectory(), name))
	if h.files == nil {
		return newProblem(http.StatusNotFound, detail+". This platform keeps no files; one that lynx-server runs does, unless its configuration says otherwise")
	}
	return newProblem(http.StatusNotFound, detail+
		". It is on its way, or the platform keeps no files (keep_files in the server's configuration), or the attempt's are more than it takes (max_attempt_bytes)")
}
