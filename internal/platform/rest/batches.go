package rest

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/platform"
)

// maxWait is the longest that a client may ask an answer to be held back.
const maxWait = 60 * time.Second

// PageQuery is the parameters of every list. It is exported because huma looks
// only into embedded structs that are.
type PageQuery struct {
	Cursor string `query:"cursor" maxLength:"256" doc:"next_cursor of the page before; leave it out for the first page."`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"How many items the page has at most."`
}

func (p PageQuery) page() platform.Page { return platform.Page{After: p.Cursor, Limit: p.Limit} }

// BatchPath names a batch in the path; exported as PageQuery is.
type BatchPath struct {
	BatchID string `path:"batch_id" maxLength:"128" doc:"The id from the submission."`
}

// batchStatus asks for a batch, now or when it has changed.
type batchStatus struct {
	BatchPath

	// Zero values mean that the parameter is not there: a wait of 0 is none, and
	// no batch has revision 0.
	Wait     int    `query:"wait" minimum:"1" maximum:"60" doc:"Seconds to hold the answer back until the batch's revision is above the given one or the batch is over. Needs revision."`
	Revision string `query:"revision" pattern:"^[0-9]{1,19}$" doc:"The last revision seen, 0 for none. Needs wait."`
}

type batchResults struct {
	BatchPath
	PageQuery
}

type health struct{}

func (h *handler) registerBatches(a huma.API) {
	operation(h, a, huma.Operation{
		OperationID: "health", Method: http.MethodGet, Path: "/healthz",
		Summary: "Whether the platform works", Tags: []string{"platform"},
	}, func(context.Context, *health) (*api.Health, error) { return &api.Health{Status: "ok"}, nil })
	h.registerSubmit(a)
	operation(h, a, huma.Operation{
		OperationID: "listBatches", Method: http.MethodGet, Path: "/batches",
		Summary: "List batches, the latest first", Tags: []string{"batches"},
	}, h.batches)
	operation(h, a, huma.Operation{
		OperationID: "getBatch", Method: http.MethodGet, Path: "/batches/{batch_id}",
		Summary:     "A batch with its jobs counted by state",
		Description: "With wait and revision, the answer is held back until there is something new.",
		Tags:        []string{"batches"},
	}, h.batch)
	operation(h, a, huma.Operation{
		OperationID: "getBatchResults", Method: http.MethodGet, Path: "/batches/{batch_id}/results",
		Summary: "One row for each run of a batch, by run index", Tags: []string{"batches"},
	}, h.batchResults)
	operation(h, a, huma.Operation{
		OperationID: "cancelBatch", Method: http.MethodPost, Path: "/batches/{batch_id}/cancel",
		Summary:     "Cancel a batch",
		Description: "Jobs that wait are cancelled at once; those that run are killed by their runners, and what they wrote is kept. A batch that is over stays as it is.",
		Tags:        []string{"batches"},
	}, h.cancelBatch)
}

func (h *handler) batches(ctx context.Context, in *PageQuery) (*api.Page[api.Batch], error) {
	batches, next, err := h.svc.Batches(ctx, in.page())
	if err != nil {
		return nil, err
	}
	return pageOf(batches, next, viewBatch), nil
}

func (h *handler) batch(ctx context.Context, in *batchStatus) (*api.BatchStatus, error) {
	if (in.Wait == 0) != (in.Revision == "") {
		return nil, &platform.InvalidError{Field: "query", Message: "wait and revision belong together; give both or none"}
	}
	if in.Wait == 0 {
		return viewStatus(h.svc.Batch(ctx, in.BatchID))
	}
	since, err := parseRevision(in.Revision)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, min(time.Duration(in.Wait)*time.Second, maxWait))
	defer cancel()
	return viewStatus(h.svc.WaitBatch(ctx, in.BatchID, since))
}

func (h *handler) batchResults(ctx context.Context, in *batchResults) (*api.BatchResults, error) {
	b, err := h.svc.Batch(ctx, in.BatchID)
	if err != nil {
		return nil, err
	}
	runs, next, err := h.svc.BatchResults(ctx, in.BatchID, in.page())
	if err != nil {
		return nil, err
	}
	rows := make([]api.RunRow, len(runs))
	for i := range runs {
		artifacts, err := h.viewArtifacts(ctx, &runs[i])
		if err != nil {
			return nil, err
		}
		rows[i] = viewRow(&runs[i], artifacts)
	}
	return &api.BatchResults{BatchID: b.ID, Units: viewUnits(b.Spec), Items: rows, NextCursor: text(next)}, nil
}

func (h *handler) cancelBatch(ctx context.Context, in *BatchPath) (*api.BatchStatus, error) {
	return viewStatus(h.svc.CancelBatch(ctx, in.BatchID))
}

// pageOf translates one page of a list.
func pageOf[R, T any](records []R, next string, view func(*R) T) *api.Page[T] {
	p := &api.Page[T]{Items: make([]T, len(records)), NextCursor: text(next)}
	for i := range records {
		p.Items[i] = view(&records[i])
	}
	return p
}
