package rest

import (
	"context"
	"errors"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/platform"
	"github.com/tetryx/lynx-runner/internal/strictyaml"
)

// problem makes an answer of an error of the platform or of the checks before it.
func (h *handler) problem(ctx context.Context, err error) *api.Problem {
	if p, ok := errors.AsType[*api.Problem](err); ok {
		return p
	}
	if bad, ok := errors.AsType[*strictyaml.Errors](err); ok {
		return studyProblem(bad)
	}
	if bad, ok := errors.AsType[*platform.InvalidError](err); ok {
		return newProblem(http.StatusUnprocessableEntity, "the request is not valid",
			api.FieldError{Path: bad.Field, Message: bad.Message})
	}
	switch {
	case errors.Is(err, platform.ErrNotFound):
		return newProblem(http.StatusNotFound, err.Error())
	case ctx.Err() != nil:
		// Nobody reads the answer any more.
		return newProblem(http.StatusServiceUnavailable, "the request was given up")
	}
	h.logger.ErrorContext(ctx, "request failed", "error", err)
	return newProblem(http.StatusInternalServerError, "the platform could not do this; its log says why")
}

func newProblem(status int, detail string, fields ...api.FieldError) *api.Problem {
	return &api.Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail, Errors: fields}
}

// studyProblem lists everything that is wrong with a study.
func studyProblem(bad *strictyaml.Errors) *api.Problem {
	fields := make([]api.FieldError, len(bad.List))
	for i, e := range bad.List {
		fields[i] = api.FieldError{Path: e.Path, Line: e.Line, Column: e.Column, Message: e.Message}
	}
	return newProblem(http.StatusUnprocessableEntity, "the study is not valid", fields...)
}

// toProblem makes our form of huma's own errors, which are about parameters.
func toProblem(_ huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	p := newProblem(m.Status, m.Detail)
	for _, e := range m.Errors {
		p.Errors = append(p.Errors, api.FieldError{Path: e.Location, Message: e.Message})
	}
	return p, nil
}

// problemResponse documents the answer of every operation that fails.
func problemResponse(a huma.API) *huma.Response {
	schema := a.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[api.Problem](), true, "Problem")
	return &huma.Response{
		Description: "A problem (RFC 9457).",
		Content:     map[string]*huma.MediaType{api.ProblemType: {Schema: schema}},
	}
}

// problems makes problems of the plain-text answers that the mux has for paths
// and methods that do not exist.
func problems(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, pattern := mux.Handler(r)
		if pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		plain := &statusOnly{header: http.Header{}, code: http.StatusOK}
		h.ServeHTTP(plain, r)
		detail := "there is no " + r.URL.Path + " here; /openapi.json lists what is"
		if allow := plain.header.Get("Allow"); allow != "" {
			w.Header().Set("Allow", allow)
			detail = r.Method + " is not possible here; " + r.URL.Path + " takes " + allow
		}
		writeProblem(w, newProblem(plain.code, detail))
	})
}

// statusOnly is a response of which only status and headers are wanted.
type statusOnly struct {
	header http.Header
	code   int
}

// Header implements http.ResponseWriter.
func (s *statusOnly) Header() http.Header { return s.header }

// WriteHeader implements http.ResponseWriter.
func (s *statusOnly) WriteHeader(code int) { s.code = code }

// Write implements http.ResponseWriter; what is written is not wanted.
func (s *statusOnly) Write(b []byte) (int, error) { return len(b), nil }
