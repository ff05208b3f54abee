package rest

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/tetryx/lynx-runner/api"
)

// strictQuery refuses queries that huma would read part of: badly escaped ones,
// and parameters that are empty or there twice.
func strictQuery(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		writeProblem(w, newProblem(http.StatusUnprocessableEntity, "the query can't be read: "+err.Error()))
		return
	}
	var bad []api.FieldError
	for _, name := range slices.Sorted(maps.Keys(q)) {
		switch {
		case len(q[name]) > 1:
			bad = append(bad, api.FieldError{Path: "query." + name, Message: "is there more than once"})
		case q[name][0] == "":
			bad = append(bad, api.FieldError{Path: "query." + name, Message: "is empty; leave it out or give it a value"})
		}
	}
	if len(bad) > 0 {
		writeProblem(w, newProblem(http.StatusUnprocessableEntity, "the request is not valid", bad...))
		return
	}
	next(ctx)
}

// noBody refuses a body where the operation has none.
func noBody(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	if ctx.Operation().RequestBody == nil && r.Body != nil {
		var one [1]byte
		if n, _ := io.ReadFull(r.Body, one[:]); n > 0 {
			writeProblem(w, newProblem(http.StatusUnprocessableEntity, "this call takes no body"))
			return
		}
	}
	next(ctx)
}

func writeProblem(w http.ResponseWriter, p *api.Problem) {
	w.Header().Set("Content-Type", api.ProblemType)
	w.WriteHeader(p.Status)
	// A client that has gone away is its own affair.
	_ = json.NewEncoder(w).Encode(p)
}
