package rest

import (
	"context"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/platform"
)

type jobFilter struct {
	PageQuery

	BatchID string `query:"batch_id" maxLength:"128" doc:"Only jobs of this batch."`
	Status  string `query:"status" enum:"Pending,Claimed,Running,Completed,Failed,Timeout,Cancelled" doc:"Only jobs in this state."`

	RunIndex Optional[int] `query:"run_index" minimum:"0" maximum:"10000000" doc:"Only the jobs of this row of the sampling design."`
	IDPrefix string        `query:"id_prefix" maxLength:"128" doc:"Only jobs whose id begins like this."`
}

type jobID struct {
	JobID string `path:"job_id" maxLength:"128"`
}

func (h *handler) registerJobs(a huma.API) {
	operation(h, a, huma.Operation{
		OperationID: "listJobs", Method: http.MethodGet, Path: "/jobs",
		Summary: "List jobs: the latest batch's first, within a batch by run index", Tags: []string{"jobs"},
	}, h.jobs)
	operation(h, a, huma.Operation{
		OperationID: "getJob", Method: http.MethodGet, Path: "/jobs/{job_id}",
		Summary: "A job", Tags: []string{"jobs"},
	}, h.job)
	operation(h, a, huma.Operation{
		OperationID: "getJobResult", Method: http.MethodGet, Path: "/jobs/{job_id}/results",
		Summary:     "What a job left behind",
		Description: "Of the latest attempt that has a result; 404 if none has (yet).",
		Tags:        []string{"jobs"},
	}, h.jobResult)
	operation(h, a, huma.Operation{
		OperationID: "cancelJob", Method: http.MethodPost, Path: "/jobs/{job_id}/cancel",
		Summary:     "Cancel a job",
		Description: "A job that runs is killed by its runner, and what it wrote is kept. A job that is over stays as it is.",
		Tags:        []string{"jobs"},
	}, h.cancelJob)
}

func (h *handler) jobs(ctx context.Context, in *jobFilter) (*api.Page[api.Job], error) {
	filter := platform.JobFilter{
		BatchID: in.BatchID, State: api.JobState(in.Status), RunIndex: in.RunIndex.pointer(), IDPrefix: in.IDPrefix,
	}
	jobs, next, err := h.svc.Jobs(ctx, filter, in.page())
	if err != nil {
		return nil, err
	}
	return pageOf(jobs, next, viewJob), nil
}

func (h *handler) job(ctx context.Context, in *jobID) (*api.Job, error) {
	j, err := h.svc.Job(ctx, in.JobID)
	if err != nil {
		return nil, err
	}
	view := viewJob(&j)
	return &view, nil
}

func (h *handler) jobResult(ctx context.Context, in *jobID) (*api.JobResult, error) {
	r, err := h.svc.JobResult(ctx, in.JobID)
	if err != nil {
		return nil, err
	}
	artifacts, err := h.viewArtifacts(ctx, &r)
	if err != nil {
		return nil, err
	}
	return viewResult(&r, artifacts), nil
}

func (h *handler) cancelJob(ctx context.Context, in *jobID) (*api.Job, error) {
	j, err := h.svc.CancelJob(ctx, in.JobID)
	if err != nil {
		return nil, err
	}
	view := viewJob(&j)
	return &view, nil
}

func parseRevision(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return 0, &platform.InvalidError{Field: "query.revision", Message: "not a revision: " + s}
	}
	return n, nil
}
