package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/strictyaml"
	"github.com/tetryx/lynx-runner/internal/study"
)

const (
	// documentName is what errors about a submission call it.
	documentName = "study"
	// submitPath is documented as it is, though it makes a batch.
	submitPath = "/jobs"
)

// submission is the input of POST /jobs. Huma reads the body, with a bound, and
// leaves it alone.
type submission struct {
	ContentType string `header:"Content-Type"`
	RawBody     []byte
}

func (h *handler) registerSubmit(a huma.API) {
	schema := &huma.Schema{
		Type:                 huma.TypeObject,
		Description:          "A study: the whole request with its part config, or the part config alone. docs/study.md describes each field. Unknown fields are errors.",
		AdditionalProperties: true,
	}
	operation(h, a, huma.Operation{
		OperationID:   "submit",
		Method:        http.MethodPost,
		Path:          submitPath,
		Summary:       "Submit a study",
		Description:   "Makes a batch with one job for each run. A study with anything wrong in it is refused with status 422, and every error is listed with its path, line and column.",
		Tags:          []string{"batches"},
		DefaultStatus: http.StatusCreated,
		MaxBodyBytes:  strictyaml.MaxBytes + 1,
		// The study package checks the body; huma knows no YAML.
		SkipValidateBody: true,
		RequestBody: &huma.RequestBody{
			Required: true,
			Content:  map[string]*huma.MediaType{api.JSON: {Schema: schema, Example: exampleStudy()}, api.YAML: {Schema: schema}},
		},
	}, h.submit)
}

// exampleStudy is a small study, as JSON.
func exampleStudy() any {
	type object = map[string]any
	return object{
		"name": "my-first-batch",
		"config": object{
			"simulation":  object{"name": "My Simulation", "version": "1.0.0"},
			"monte_carlo": object{"runs": 5, "sampling_method": "latin_hypercube", "seed": 42},
			"dispersions": object{"mass_kg": object{
				"distribution": object{"type": "normal", "mean": 100, "std_dev": 5}, "units": "kg",
			}},
			"compute": object{"max_parallel_jobs": 5, "job_timeout_seconds": 600},
		},
	}
}

func (h *handler) submit(ctx context.Context, in *submission) (*api.Submission, error) {
	media, err := studyMedia(in.ContentType)
	if err != nil {
		return nil, err
	}
	if media == api.JSON {
		if err := checkJSON(in.RawBody); err != nil {
			return nil, err
		}
	}
	request, err := study.Parse(in.RawBody, documentName)
	if err != nil {
		return nil, err
	}
	b, err := h.svc.Submit(ctx, request)
	if err != nil {
		return nil, err
	}
	return &api.Submission{
		BatchID:   b.ID,
		TotalJobs: b.Spec.Runs,
		Seed:      b.Spec.Seed,
		Warnings:  list(b.Spec.Warnings),
	}, nil
}

// studyMedia takes the media types that a study may have, in UTF-8.
func studyMedia(contentType string) (string, error) {
	media, params, err := mime.ParseMediaType(contentType)
	charset, other := params["charset"]
	utf8 := !other || strings.EqualFold(charset, "utf-8")
	if err == nil && utf8 && (media == api.JSON || media == api.YAML) {
		return media, nil
	}
	return "", newProblem(http.StatusUnsupportedMediaType, fmt.Sprintf(
		"Content-Type %q; send a study as %s or %s, in UTF-8", contentType, api.JSON, api.YAML))
}

// checkJSON refuses a document that is called JSON and is none, though it may be
// YAML, which is what it is read as.
func checkJSON(data []byte) error {
	var syntax *json.SyntaxError
	var doc json.RawMessage
	if err := json.Unmarshal(data, &doc); !errors.As(err, &syntax) {
		return nil
	}
	before := string(data[:min(max(int(syntax.Offset)-1, 0), len(data))])
	return newProblem(http.StatusUnprocessableEntity, "the study is not valid", api.FieldError{
		Line:    1 + strings.Count(before, "\n"),
		Column:  len(before) - strings.LastIndexByte(before, '\n'),
		Message: fmt.Sprintf("not JSON: %v (a study in YAML is sent as %s)", syntax, api.YAML),
	})
}
