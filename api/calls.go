package api

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// The media types that a study may have.
const (
	// YAML is a study in YAML, of which JSON is a part.
	YAML = "application/yaml"
	// JSON is a study in JSON.
	JSON = "application/json"
)

// List says which part of a list is wanted. The zero value is the beginning, in
// pages of the platform's own size.
type List struct {
	// Cursor is the last page's NextCursor; empty for the first page.
	Cursor string
	// Limit is how many items a page has at most; 0 leaves it to the platform.
	Limit int
}

func (l List) query() url.Values {
	q := url.Values{}
	if l.Cursor != "" {
		q.Set("cursor", l.Cursor)
	}
	if l.Limit != 0 {
		q.Set("limit", strconv.Itoa(l.Limit))
	}
	return q
}

// JobFilter says which jobs are wanted. Empty fields do not restrict.
type JobFilter struct {
	List

	BatchID string
	Status  JobState
	// RunIndex is a row of the sampling design; nil does not restrict.
	RunIndex *int
	// IDPrefix is how the job's id begins.
	IDPrefix string
}

// Health asks whether the platform works.
func (c *Client) Health(ctx context.Context) (*Health, error) {
	return get[Health](ctx, c, nil, "healthz")
}

// Submit hands in a study, as YAML or JSON (mediaType). A study that the
// platform refuses gives a [*Problem] of status 422 whose Errors name each bad
// field.
func (c *Client) Submit(ctx context.Context, study []byte, mediaType string) (*Submission, error) {
	var out Submission
	if err := c.send(ctx, http.MethodPost, []string{"jobs"}, nil, mediaType, study, &out); err != nil {
		return nil, err
	}
	return &out, nil
}

// Batch returns a batch with its jobs counted by state.
func (c *Client) Batch(ctx context.Context, batchID string) (*BatchStatus, error) {
	return get[BatchStatus](ctx, c, nil, "batches", batchID)
}

// WaitBatch is Batch, answered as soon as the batch's revision is above revision
// or it is terminal, and after wait in any case: whole seconds, at most 60; below
// one second it does not wait.
func (c *Client) WaitBatch(ctx context.Context, batchID string, revision uint64, wait time.Duration) (*BatchStatus, error) {
	if wait < time.Second {
		return c.Batch(ctx, batchID)
	}
	q := url.Values{}
	q.Set("wait", strconv.Itoa(int(min(wait, time.Minute)/time.Second)))
	q.Set("revision", strconv.FormatUint(revision, 10))
	return get[BatchStatus](ctx, c, q, "batches", batchID)
}

// Batches lists batches, the latest first.
func (c *Client) Batches(ctx context.Context, l List) (*Page[Batch], error) {
	return get[Page[Batch]](ctx, c, l.query(), "batches")
}

// BatchResults returns one page of a batch's results, by run index.
func (c *Client) BatchResults(ctx context.Context, batchID string, l List) (*BatchResults, error) {
	return get[BatchResults](ctx, c, l.query(), "batches", batchID, "results")
}

// AllBatchResults yields every row of a batch's results, by run index, fetching
// page after page. It ends after the first error.
func (c *Client) AllBatchResults(ctx context.Context, batchID string) iter.Seq2[RunRow, error] {
	return all(func(l List) ([]RunRow, *string, error) {
		p, err := c.BatchResults(ctx, batchID, l)
		if err != nil {
			return nil, nil, err
		}
		return p.Items, p.NextCursor, nil
	})
}

// CancelBatch cancels every job of the batch that is not terminal yet; running
// ones are killed by their runners soon after. A batch that is over stays as it
// is.
func (c *Client) CancelBatch(ctx context.Context, batchID string) (*BatchStatus, error) {
	return post[BatchStatus](ctx, c, "batches", batchID, "cancel")
}

// RetryBatch makes the batch's jobs in these states Pending again, as new attempts
// of the same runs: Failed, Timeout, Cancelled; with none, Failed and Timeout.
func (c *Client) RetryBatch(ctx context.Context, batchID string, states ...JobState) (*Retry, error) {
	q := url.Values{}
	if len(states) > 0 {
		names := make([]string, len(states))
		for i, s := range states {
			names[i] = string(s)
		}
		q.Set("status", strings.Join(names, ","))
	}
	var out Retry
	if err := c.call(ctx, http.MethodPost, []string{"batches", batchID, "retry"}, q, &out); err != nil {
		return nil, err
	}
	return &out, nil
}

// RetryJob is RetryBatch for one job. A [*Problem] of status 422 for a job that is
// not over, or Completed.
func (c *Client) RetryJob(ctx context.Context, jobID string) (*Job, error) {
	return post[Job](ctx, c, "jobs", jobID, "retry")
}

// Jobs lists jobs: the latest batch's first, within a batch by run index.
func (c *Client) Jobs(ctx context.Context, f JobFilter) (*Page[Job], error) {
	q := f.query()
	if f.BatchID != "" {
		q.Set("batch_id", f.BatchID)
	}
	if f.Status != "" {
		q.Set("status", string(f.Status))
	}
	if f.RunIndex != nil {
		q.Set("run_index", strconv.Itoa(*f.RunIndex))
	}
	if f.IDPrefix != "" {
		q.Set("id_prefix", f.IDPrefix)
	}
	return get[Page[Job]](ctx, c, q, "jobs")
}

// AllJobs yields every job that Jobs lists, fetching page after page. It ends
// after the first error.
func (c *Client) AllJobs(ctx context.Context, f JobFilter) iter.Seq2[Job, error] {
	return all(func(l List) ([]Job, *string, error) {
		f.List = l
		p, err := c.Jobs(ctx, f)
		if err != nil {
			return nil, nil, err
		}
		return p.Items, p.NextCursor, nil
	})
}

// Job returns one job.
func (c *Client) Job(ctx context.Context, jobID string) (*Job, error) {
	return get[Job](ctx, c, nil, "jobs", jobID)
}

// JobResult returns what a job left behind; a [*Problem] of status 404 if it has
// no result (yet).
func (c *Client) JobResult(ctx context.Context, jobID string) (*JobResult, error) {
	return get[JobResult](ctx, c, nil, "jobs", jobID, "results")
}

// CancelJob cancels one job. A job that is over stays as it is.
func (c *Client) CancelJob(ctx context.Context, jobID string) (*Job, error) {
	return post[Job](ctx, c, "jobs", jobID, "cancel")
}

// Runners lists the runners that the platform knows, by id.
func (c *Client) Runners(ctx context.Context, l List) (*Page[Runner], error) {
	return get[Page[Runner]](ctx, c, l.query(), "runners")
}

// Runner returns one runner.
func (c *Client) Runner(ctx context.Context, runnerID string) (*Runner, error) {
	return get[Runner](ctx, c, nil, "runners", runnerID)
}

// Drain stops giving a runner new jobs; those that it has go on.
func (c *Client) Drain(ctx context.Context, runnerID string) (*Runner, error) {
	return post[Runner](ctx, c, "runners", runnerID, "drain")
}

// Resume undoes Drain.
func (c *Client) Resume(ctx context.Context, runnerID string) (*Runner, error) {
	return post[Runner](ctx, c, "runners", runnerID, "resume")
}

func get[T any](ctx context.Context, c *Client, query url.Values, path ...string) (*T, error) {
	var out T
	if err := c.call(ctx, http.MethodGet, path, query, &out); err != nil {
		return nil, err
	}
	return &out, nil
}

func post[T any](ctx context.Context, c *Client, path ...string) (*T, error) {
	var out T
	if err := c.call(ctx, http.MethodPost, path, nil, &out); err != nil {
		return nil, err
	}
	return &out, nil
}

// all walks the pages that fetch returns.
func all[T any](fetch func(List) ([]T, *string, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var l List
		for {
			items, next, err := fetch(l)
			if err != nil {
				var zero T
				yield(zero, err)
				return
			}
			for _, item := range items {
				if !yield(item, nil) {
					return
				}
			}
			if next == nil {
				return
			}
			l.Cursor = *next
		}
	}
}
