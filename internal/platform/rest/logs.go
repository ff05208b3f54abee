package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tetryx/lynx-runner/internal/platform"
	"github.com/tetryx/lynx-runner/internal/platform/live"
)

const (
	// quiet is how long nothing must come of a running attempt for all that there
	// is to have come: its runner sends that without a pause.
	quiet = 300 * time.Millisecond
	// firstWithin is how long the runner may take to begin.
	firstWithin = 2 * time.Second
	// reconnectWithin is how long a runner that was lost may take to be back or to
	// report the end of the attempt.
	reconnectWithin = 10 * time.Second
	// lookAgain is the time between two attempts to reach it.
	lookAgain = 500 * time.Millisecond
)

// LiveSource is where the output of running attempts comes from.
type LiveSource interface {
	// Watch is live.Hub's.
	Watch(ctx context.Context, runnerID, attemptID string, what live.What) (<-chan live.Item, error)
}

type logQuery struct {
	AttemptQuery

	Stream string `path:"stream" enum:"stdout,stderr"`
	Follow bool   `query:"follow" doc:"Go on with what a running attempt prints, until it ends; of a job that waits, begin when it runs."`
}

func (h *handler) registerLogs(a huma.API) {
	streaming(h, a, huma.Operation{
		OperationID: "getLog", Path: "/jobs/{job_id}/logs/{stream}",
		Summary: "What an attempt printed",
		Description: "Of a running attempt what there is by now, or with follow what comes until it ends. " +
			"The bytes are the job's own, control characters included. Status 409 if the attempt runs and its runner can't be reached.",
		Tags: []string{"files"},
		Responses: map[string]*huma.Response{
			"200": bytesResponse("The log."),
			"206": bytesResponse("A range of the log of an attempt that has ended."),
			"304": {Description: "The log is the one that the client has (If-None-Match)."},
		},
	}, h.log)
}

func (h *handler) log(ctx context.Context, in *logQuery) (responder, error) {
	r, err := h.svc.AttemptResult(ctx, in.JobID, in.Attempt)
	if in.Follow && in.Attempt == 0 && errors.Is(err, platform.ErrNotFound) {
		r, err = h.firstAttempt(ctx, in.JobID)
	}
	if err != nil {
		return nil, err
	}
	if !running(&r) {
		return h.file(ctx, &r, "log/"+in.Stream+".log")
	}
	ctx, cancel := context.WithCancel(ctx)
	items, err := h.watch(ctx, &r, live.What{Logs: true})
	if err != nil {
		cancel()
		return nil, err
	}
	return func(w http.ResponseWriter, req *http.Request) {
		defer cancel()
		w.Header().Set("Content-Type", octets)
		w.WriteHeader(http.StatusOK)
		if flush(w) != nil || req.Method == http.MethodHead {
			return
		}
		tail := &logTail{w: w, stream: in.Stream}
		if !in.Follow {
			_ = collect(ctx, items, tail.take)
			return
		}
		h.followLog(ctx, &r, items, tail)
	}, nil
}

// firstAttempt waits for a job that has no attempt yet to have one.
func (h *handler) firstAttempt(ctx context.Context, jobID string) (platform.RunResult, error) {
	ctx, cancel := context.WithTimeout(ctx, maxWait)
	defer cancel()
	for {
		at := h.svc.Position()
		r, err := h.svc.AttemptResult(context.WithoutCancel(ctx), jobID, 0)
		if err == nil || r.ID == "" || r.State.Terminal() {
			return r, err
		}
		if changes, _, _ := h.svc.Changes(ctx, at); len(changes) == 0 {
			return r, err
		}
	}
}

// watch begins to watch a running attempt; its errors are problems.
func (h *handler) watch(ctx context.Context, r *platform.RunResult, what live.What) (<-chan live.Item, error) {
	if h.live == nil {
		return nil, newProblem(http.StatusConflict, fmt.Sprintf("attempt %s runs, and this platform has no live output", r.Attempt.ID()))
	}
	items, err := h.live.Watch(ctx, r.Attempt.RunnerID, r.Attempt.ID(), what)
	switch {
	case errors.Is(err, live.ErrNotConnected):
		return nil, newProblem(http.StatusConflict, fmt.Sprintf(
			"attempt %s runs on runner %s, and %v; ask again when it is back", r.Attempt.ID(), r.Attempt.RunnerID, err))
	case errors.Is(err, live.ErrTooManyWatchers):
		return nil, newProblem(http.StatusTooManyRequests, err.Error())
	}
	return items, err
}

// collect takes what there is by now.
func collect(ctx context.Context, items <-chan live.Item, take func(live.Item) error) error {
	timer := time.NewTimer(firstWithin)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			return nil
		case item, ok := <-items:
			if !ok {
				return nil
			}
			if err := take(item); err != nil {
				return err
			}
			timer.Reset(quiet)
		}
	}
}

// followLog copies a log until its attempt has ended, through lost connections to
// its runner. An answer that can't be completed breaks off, so that the client
// can tell it from one that is.
func (h *handler) followLog(ctx context.Context, r *platform.RunResult, items <-chan live.Item, tail *logTail) {
	lost := time.Now()
	for {
		for item := range items {
			if tail.take(item) != nil {
				return // the client is gone or too slow
			}
			lost = time.Now()
		}
		if h.soonOver(ctx, r, lookAgain) {
			return
		}
		if ctx.Err() != nil || time.Since(lost) > reconnectWithin {
			panic(http.ErrAbortHandler)
		}
		if again, err := h.watch(ctx, r, live.What{Logs: true}); err == nil {
			items = again
		}
	}
}

// soonOver is over with a bound on the wait.
func (h *handler) soonOver(ctx context.Context, r *platform.RunResult, within time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return h.over(ctx, r)
}

// logTail writes a log from chunks that may overlap or leave gaps.
type logTail struct {
	w      http.ResponseWriter
	stream string
	// offset is how much of all that was printed has been dealt with.
	offset int64
}

func (t *logTail) take(item live.Item) error {
	c, ok := item.(live.LogChunk)
	if !ok || c.Stream != t.stream {
		return nil
	}
	end := c.Offset + int64(len(c.Data))
	if end <= t.offset {
		return nil
	}
	data := c.Data
	if c.Offset > t.offset {
		if _, err := fmt.Fprintf(t.w, "\n[%d bytes are not shown here]\n", c.Offset-t.offset); err != nil {
			return err
		}
	} else {
		data = data[t.offset-c.Offset:]
	}
	t.offset = end
	if _, err := t.w.Write(data); err != nil {
		return err
	}
	return flush(t.w)
}
