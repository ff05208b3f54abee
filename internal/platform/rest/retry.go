package rest

import (
	"context"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tetryx/lynx-runner/api"
)

type retryBatch struct {
	BatchPath

	Status string `query:"status" pattern:"^(Failed|Timeout|Cancelled)(,(Failed|Timeout|Cancelled))*$" default:"Failed,Timeout" doc:"The states of the jobs to run again, separated by commas: Failed, Timeout, Cancelled."`
}

func (h *handler) registerRetries(a huma.API) {
	operation(h, a, huma.Operation{
		OperationID: "retryBatch", Method: http.MethodPost, Path: "/batches/{batch_id}/retry",
		Summary: "Run again what did not succeed",
		Description: "The batch's jobs in the given states become Pending again: the same runs with the same parameters and seeds, as new attempts. " +
			"What succeeded stays, and so does the number of jobs.",
		Tags: []string{"batches"},
	}, h.retryBatch)
	operation(h, a, huma.Operation{
		OperationID: "retryJob", Method: http.MethodPost, Path: "/jobs/{job_id}/retry",
		Summary:     "Run a job again that did not succeed",
		Description: "The same run with the same parameters and seed, as a new attempt. Only of a job that is Failed, Timeout or Cancelled.",
		Tags:        []string{"jobs"},
	}, h.retryJob)
}

func (h *handler) retryBatch(ctx context.Context, in *retryBatch) (*api.Retry, error) {
	var states []api.JobState
	for name := range strings.SplitSeq(in.Status, ",") {
		states = append(states, api.JobState(name))
	}
	b, n, err := h.svc.RerunBatch(ctx, in.BatchID, states)
	status, err := viewStatus(b, err)
	if err != nil {
		return nil, err
	}
	return &api.Retry{Jobs: n, BatchStatus: *status}, nil
}

func (h *handler) retryJob(ctx context.Context, in *jobID) (*api.Job, error) {
	j, err := h.svc.RerunJob(ctx, in.JobID)
	if err != nil {
		return nil, err
	}
	view := viewJob(&j)
	return &view, nil
}
