package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tetryx/lynx-runner/api"
)

// newBatchScript scripts a batch b1 that is asked for once at a time: each question takes
// the next answer, the last one for ever.
func newBatchScript(t *testing.T, answers ...any) *far {
	t.Helper()
	f := newFar(t, map[string]any{"GET /batches?limit=1": api.Page[api.Batch]{Items: []api.Batch{{BatchID: "b1"}}}})
	var mu sync.Mutex
	asked := 0
	answer := func(w http.ResponseWriter) {
		mu.Lock()
		defer mu.Unlock()
		next := answers[min(asked, len(answers)-1)]
		asked++
		switch next := next.(type) {
		case *api.Problem:
			refuse(w, next)
		case func(http.ResponseWriter):
			next(w)
		default:
			reply(w, http.StatusOK, next)
		}
	}
	f.calls["GET /batches/b1"] = answer
	for _, wait := range []string{"3", "20"} {
		f.calls["GET /batches/b1?revision=0&wait="+wait] = answer
	}
	return f
}

// hangUp ends the connection without an answer, as a platform does that is gone.
func hangUp(http.ResponseWriter) { panic(http.ErrAbortHandler) }

// TestWatchOfWhatWaits: a batch that nobody takes has a reason, told once, and only
// while nothing else happens.
func TestWatchOfWhatWaits(t *testing.T) {
	waits := statusOf(api.BatchRunning, 0, 0, 0)
	waits.JobsByStatus = map[api.JobState]int{api.JobPending: 2}
	runs := statusOf(api.BatchRunning, 0, 0, 0)
	runs.JobsByStatus = map[api.JobState]int{api.JobPending: 1, api.JobRunning: 1}
	for name, c := range map[string]struct {
		status api.BatchStatus
		want   int
	}{"nobody": {waits, 1}, "one runs": {runs, 0}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newBatchScript(t, c.status, c.status, c.status, c.status, statusOf(api.BatchCompleted, 2, 0, 0))
			reason := "no runner is connected\x1b"
			f.calls["GET /jobs?batch_id=b1&limit=1&status=Pending"] = api.Page[api.Job]{Items: []api.Job{{
				RunConfig: api.RunConfig{RunID: "7"}, Status: api.JobPending, PendingReason: &reason,
			}}}
			_, stderr, status := callerOf(f).lynxctl(t, "watch", "last")
			if n := strings.Count(stderr, `run 7 waits: no runner is connected\x1b`); status != ExitOK || n != c.want {
				t.Errorf("status %d, told %d times:\n%s", status, n, stderr)
			}
		})
	}
}

func TestWatch(t *testing.T) {
	running := statusOf(api.BatchRunning, 0, 0, 0)
	stopping := &api.Problem{Status: http.StatusServiceUnavailable, Detail: "the request was given up"}
	for name, c := range map[string]struct {
		answers []any
		status  int
		says    []string
	}{
		"completes":  {[]any{running, statusOf(api.BatchRunning, 1, 0, 0), statusOf(api.BatchCompleted, 2, 0, 0)}, ExitOK, []string{"0 of 2 runs done", "2 of 2 runs done", "completed", "lynxctl results b1"}},
		"fails":      {[]any{running, statusOf(api.BatchFailed, 1, 1, 0)}, ExitFailed, []string{"1 of 2 runs failed", "max_failed", "lynxctl results b1"}},
		"cancelled":  {[]any{running, statusOf(api.BatchCancelled, 1, 0, 1)}, ExitFailed, []string{"the batch was cancelled"}},
		"a restart":  {[]any{running, stopping, func(w http.ResponseWriter) { hangUp(w) }, running, statusOf(api.BatchCompleted, 2, 0, 0)}, ExitOK, []string{"does not answer; trying again", "completed"}},
		"is deleted": {[]any{running, &api.Problem{Status: 404, Detail: "batch b1: not found"}}, ExitUsage, []string{"batch b1: not found"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stdout, stderr, status := callerOf(newBatchScript(t, c.answers...)).lynxctl(t, "watch", "last")
			if status != c.status || stdout != "" {
				t.Errorf("status %d, stdout %q", status, stdout)
			}
			for _, want := range c.says {
				if !strings.Contains(stderr, want) {
					t.Errorf("stderr does not say %q:\n%s", want, stderr)
				}
			}
		})
	}
}

// TestWatchGivesUp once the platform has been away for longer than patience.
func TestWatchGivesUp(t *testing.T) {
	f := newBatchScript(t, statusOf(api.BatchRunning, 0, 0, 0), statusOf(api.BatchRunning, 0, 0, 0), func(w http.ResponseWriter) { hangUp(w) })
	who := callerOf(f)
	var mu sync.Mutex
	now := clock
	who.now = func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(patience / 2)
		return now
	}
	_, stderr, status := who.lynxctl(t, "watch", "b1")
	if status != ExitUnreachable || !strings.Contains(stderr, "is gone") || !strings.Contains(stderr, "lynxctl watch b1") {
		t.Errorf("status %d:\n%s", status, stderr)
	}
}

// TestWatchInterrupted: the batch goes on, and the user is told so.
func TestWatchInterrupted(t *testing.T) {
	ctx, press := context.WithCancel(t.Context())
	over := make(chan struct{})
	running := statusOf(api.BatchRunning, 0, 0, 0)
	f := newBatchScript(t, running, running, func(http.ResponseWriter) { press(); <-over })
	t.Cleanup(func() { close(over) }) // before the server is closed
	who := callerOf(f)
	who.interrupt = ctx
	_, stderr, status := who.lynxctl(t, "watch", "last")
	if status != ExitInterrupted || !strings.Contains(stderr, "the batch goes on") || !strings.Contains(stderr, "lynxctl cancel b1") {
		t.Errorf("status %d:\n%s", status, stderr)
	}
	if slices.ContainsFunc(f.requests(), func(r string) bool { return strings.HasPrefix(r, "POST") }) {
		t.Errorf("requests %q", f.requests())
	}
}

func TestWatchPrintsJSON(t *testing.T) {
	f := newBatchScript(t, statusOf(api.BatchFailed, 1, 1, 0))
	stdout, _, status := callerOf(f).lynxctl(t, "watch", "b1", "--json")
	var got api.BatchStatus
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || status != ExitFailed || got.Batch.FailedJobs != 1 {
		t.Errorf("status %d, %v:\n%s", status, err, stdout)
	}
}

func studyAt(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "study.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSubmit(t *testing.T) {
	study := studyAt(t, tutorial)
	accepted := api.Submission{BatchID: "b1", TotalJobs: 7, Seed: 42, Warnings: []string{"a field has no effect\x1b"}}
	for name, c := range map[string]struct {
		args   []string
		answer any
		status int
		stdout string
		says   []string
	}{
		"accepted": {nil, accepted, ExitOK, "b1\n", []string{"Orbit: 7 runs, seed 42", `warning: a field has no effect\x1b`}},
		"watched":  {[]string{"--watch"}, accepted, ExitOK, "b1\n", []string{"2 of 2 runs done", "completed"}},
		"refused": {nil, &api.Problem{Status: 422, Detail: "the study is not valid", Errors: []api.FieldError{{Path: "config.new", Line: 1, Column: 345, Message: "unknown field"}}},
			ExitUsage, "", []string{"the study is not valid\nconfig.new: unknown field"}},
		"invalid here":  {[]string{"--runs", "-3"}, accepted, ExitUsage, "", []string{"--runs -3"}},
		"platform full": {nil, &api.Problem{Status: 500, Detail: "the platform could not do this"}, ExitUnreachable, "", []string{"could not do this"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newBatchScript(t, statusOf(api.BatchCompleted, 2, 0, 0))
			f.calls["POST /jobs"] = c.answer
			stdout, stderr, status := callerOf(f).lynxctl(t, append([]string{"submit", study}, c.args...)...)
			if status != c.status || stdout != c.stdout {
				t.Errorf("status %d, stdout %q", status, stdout)
			}
			for _, want := range c.says {
				if !strings.Contains(stderr, want) {
					t.Errorf("stderr does not say %q:\n%s", want, stderr)
				}
			}
		})
	}
}

// TestSubmitSendsTheStudy, with the number of runs that was asked for.
func TestSubmitSendsTheStudy(t *testing.T) {
	f := newFar(t, map[string]any{"POST /jobs": api.Submission{BatchID: "b1", TotalJobs: 7, Seed: 42}})
	stdout, stderr, status := callerOf(f).lynxctl(t, "submit", studyAt(t, tutorial), "--runs", "7", "--json")
	var answer api.Submission
	if err := json.Unmarshal([]byte(stdout), &answer); err != nil || status != ExitOK || answer.BatchID != "b1" || answer.TotalJobs != 7 {
		t.Errorf("status %d, %v, stdout %q, stderr %q", status, err, stdout, stderr)
	}
	for _, want := range []string{`"runs_override":7`, `"eccentricity"`, `"seed":42`} {
		if !strings.Contains(f.body, want) {
			t.Errorf("the body has no %s: %s", want, f.body)
		}
	}
}

// TestSubmitOfAnInvalidFile says so with its lines, and asks nobody.
func TestSubmitOfAnInvalidFile(t *testing.T) {
	f := newFar(t, nil)
	study := studyAt(t, strings.Replace(tutorial, "sampling_method", "samplng_method", 1))
	_, stderr, status := callerOf(f).lynxctl(t, "submit", study)
	if status != ExitUsage || !strings.Contains(stderr, study+":3:") || len(f.requests()) != 0 {
		t.Errorf("status %d, requests %v:\n%s", status, f.requests(), stderr)
	}
}

func TestSubmitInterrupted(t *testing.T) {
	ctx, press := context.WithCancel(t.Context())
	over := make(chan struct{})
	f := newFar(t, map[string]any{"POST /jobs": func(http.ResponseWriter) { press(); <-over }})
	t.Cleanup(func() { close(over) })
	who := callerOf(f)
	who.interrupt = ctx
	_, stderr, status := who.lynxctl(t, "submit", studyAt(t, tutorial))
	if status != ExitInterrupted || !strings.Contains(stderr, "may have the study already") {
		t.Errorf("status %d: %s", status, stderr)
	}
}

// TestFailuresAreTold: a run that fails while the batch is watched is told once.
func TestFailuresAreTold(t *testing.T) {
	f := newBatchScript(t, statusOf(api.BatchRunning, 0, 1, 0), statusOf(api.BatchRunning, 0, 1, 0), statusOf(api.BatchFailed, 1, 1, 0))
	for _, state := range []api.JobState{api.JobFailed, api.JobTimeout} {
		page := api.Page[api.Job]{}
		if state == api.JobFailed {
			page.Items = []api.Job{failedJob("j1", 1)}
		}
		f.calls[fmt.Sprintf("GET /jobs?batch_id=b1&limit=%d&status=%s", failureNotes+1, state)] = page
	}
	_, stderr, status := callerOf(f).lynxctl(t, "watch", "b1")
	if want := `run 1: nonzero_exit: =cmd|'/c calc'!A1 \x1b[2J`; status != ExitFailed || strings.Count(stderr, want) != 1 {
		t.Errorf("status %d, stderr:\n%s", status, stderr)
	}
}
