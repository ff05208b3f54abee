package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/platform"
)

type runnerID struct {
	RunnerID string `path:"runner_id" maxLength:"128"`
}

func (h *handler) registerRunners(a huma.API) {
	operation(h, a, huma.Operation{
		OperationID: "listRunners", Method: http.MethodGet, Path: "/runners",
		Summary: "List runners by id", Tags: []string{"runners"},
	}, h.runners)
	operation(h, a, huma.Operation{
		OperationID: "getRunner", Method: http.MethodGet, Path: "/runners/{runner_id}",
		Summary: "A runner", Tags: []string{"runners"},
	}, one(h.svc.Runner))
	operation(h, a, huma.Operation{
		OperationID: "drainRunner", Method: http.MethodPost, Path: "/runners/{runner_id}/drain",
		Summary: "Give a runner no new jobs", Description: "Those that it has go on.", Tags: []string{"runners"},
	}, one(h.svc.Drain))
	operation(h, a, huma.Operation{
		OperationID: "resumeRunner", Method: http.MethodPost, Path: "/runners/{runner_id}/resume",
		Summary: "Undo drain", Tags: []string{"runners"},
	}, one(h.svc.Resume))
}

// one makes a handler of a call about one runner.
func one(call func(context.Context, string) (platform.RunnerView, error)) func(context.Context, *runnerID) (*api.Runner, error) {
	return func(ctx context.Context, in *runnerID) (*api.Runner, error) {
		r, err := call(ctx, in.RunnerID)
		if err != nil {
			return nil, err
		}
		view := viewRunner(&r)
		return &view, nil
	}
}

// runners pages by the last runner's id: the platform knows few enough runners to
// read them all at once.
func (h *handler) runners(ctx context.Context, in *PageQuery) (*api.Page[api.Runner], error) {
	all, err := h.svc.Runners(ctx)
	if err != nil {
		return nil, err
	}
	for len(all) > 0 && in.Cursor != "" && all[0].ID <= in.Cursor {
		all = all[1:]
	}
	next := ""
	if len(all) > in.Limit {
		all = all[:in.Limit]
		next = all[in.Limit-1].ID
	}
	return pageOf(all, next, viewRunner), nil
}
