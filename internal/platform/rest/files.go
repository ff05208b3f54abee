package rest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
	"time"
	"unicode"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/platform"
	"github.com/tetryx/lynx-runner/internal/platform/store/files"
)

// octets is the media type of whatever a job wrote.
const octets = "application/octet-stream"

// FileSource is where the files of attempts are kept.
type FileSource interface {
	// List lists what there is of an attempt's files.
	List(ctx context.Context, a files.AttemptKey) ([]files.File, error)
	// Open opens a complete file; fs.ErrNotExist if there is none.
	Open(ctx context.Context, a files.AttemptKey, path string) (*os.File, files.File, error)
}

// artifactPath names a file of an attempt.
type artifactPath struct {
	AttemptQuery

	Name string `path:"name" maxLength:"4096" doc:"The artifact's name, with its slashes written as %2F."`
}

func (h *handler) registerFiles(a huma.API) {
	operation(h, a, huma.Operation{
		OperationID: "listArtifacts", Method: http.MethodGet, Path: "/jobs/{job_id}/artifacts",
		Summary:     "The files that an attempt left",
		Description: "Of the latest attempt that has a result, unless one is named. Files that the platform keeps have a url.",
		Tags:        []string{"files"},
	}, h.artifacts)
	streaming(h, a, huma.Operation{
		OperationID: "getArtifact", Path: "/jobs/{job_id}/artifacts/{name}",
		Summary:     "One file that an attempt left",
		Description: "As bytes, never as what a browser would show. The ETag is the file's SHA-256; ranges and conditional requests are answered.",
		Tags:        []string{"files"},
		Responses: map[string]*huma.Response{
			"200": bytesResponse("The file."),
			"206": bytesResponse("A range of the file."),
			"304": {Description: "The file is the one that the client has (If-None-Match)."},
		},
	}, h.artifact)
}

// finished finds the attempt that a call about artifacts means.
func (h *handler) finished(ctx context.Context, q *AttemptQuery) (platform.RunResult, error) {
	if q.Attempt == 0 {
		return h.svc.JobResult(ctx, q.JobID)
	}
	r, err := h.svc.AttemptResult(ctx, q.JobID, q.Attempt)
	if err == nil && r.Result == nil {
		err = fmt.Errorf("attempt %d of job %s has no result: %w", q.Attempt, q.JobID, platform.ErrNotFound)
	}
	return r, err
}

func (h *handler) artifacts(ctx context.Context, in *AttemptQuery) (*api.ArtifactList, error) {
	r, err := h.finished(ctx, in)
	if err != nil {
		return nil, err
	}
	items, err := h.viewArtifacts(ctx, &r)
	if err != nil {
		return nil, err
	}
	return &api.ArtifactList{
		JobID: r.ID, Attempt: r.Attempt.Number, AssignedRunner: r.Attempt.RunnerID,
		Directory: r.Result.GetDirectory(), Items: items,
	}, nil
}

func (h *handler) artifact(ctx context.Context, in *artifactPath) (responder, error) {
	r, err := h.finished(ctx, &in.AttemptQuery)
	if err != nil {
		return nil, err
	}
	for _, a := range r.Result.GetArtifacts() {
		if a.GetName() == in.Name {
			return h.file(ctx, &r, path.Join(outputDir, in.Name))
		}
	}
	return nil, fmt.Errorf("artifact %q of attempt %d of job %s: %w", in.Name, r.Attempt.Number, r.ID, platform.ErrNotFound)
}

// viewArtifacts lists the artifacts of a run's result, with the address of each
// that is kept.
func (h *handler) viewArtifacts(ctx context.Context, r *platform.RunResult) ([]api.Artifact, error) {
	artifacts := make([]api.Artifact, len(r.Result.GetArtifacts()))
	kept := map[string]bool{}
	if h.files != nil && len(artifacts) > 0 {
		stored, err := h.files.List(ctx, keyOf(r))
		if err != nil {
			return nil, err
		}
		for _, f := range stored {
			kept[f.Path] = f.Complete
		}
	}
	for i, a := range r.Result.GetArtifacts() {
		artifacts[i] = api.Artifact{Name: a.GetName(), Size: a.GetSize(), SHA256: a.GetSha256()}
		if kept[path.Join(outputDir, a.GetName())] {
			artifacts[i].URL = artifactURL(r, a.GetName())
		}
	}
	return artifacts, nil
}

func artifactURL(r *platform.RunResult, name string) string {
	return fmt.Sprintf("/jobs/%s/artifacts/%s?attempt=%d", url.PathEscape(r.ID), url.PathEscape(name), r.Attempt.Number)
}

// file answers with a stored file of an attempt.
func (h *handler) file(ctx context.Context, r *platform.RunResult, name string) (responder, error) {
	if h.files == nil {
		return nil, h.notKept(ctx, r, name)
	}
	f, info, err := h.files.Open(ctx, keyOf(r), name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, h.notKept(ctx, r, name)
	}
	if err != nil {
		return nil, err
	}
	return func(w http.ResponseWriter, r *http.Request) {
		defer func() { _ = f.Close() }()
		serveFile(w, r, f, info.SHA256, path.Base(name))
	}, nil
}

// serveFile answers with a file that a job wrote: its bytes under a harmless
// name, and nothing that a browser would run.
func serveFile(w http.ResponseWriter, r *http.Request, f io.ReadSeeker, sha256, name string) {
	h := w.Header()
	h.Set("Content-Type", octets)
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": harmless(name)}))
	h.Set("ETag", `"`+sha256+`"`)
	// It never changes under its tag, but it is nothing for caches that others
	// share.
	h.Set("Cache-Control", "private, no-cache")
	http.ServeContent(&problemWriter{ResponseWriter: w}, r, "", time.Time{}, f)
}

// harmless makes a name that any system can save a file under: no separators,
// control or formatting characters, and nothing hidden.
func harmless(name string) string {
	name = strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) || strings.ContainsRune(`/\:*?"<>|`, r) {
			return '_'
		}
		return r
	}, name)
	if runes := []rune(name); len(runes) > 128 {
		name = string(runes[len(runes)-128:]) // the end has the extension
	}
	if strings.HasPrefix(name, ".") {
		name = "_" + name[1:]
	}
	return name
}

// problemWriter makes problems of the refusals of http.ServeContent.
type problemWriter struct {
	http.ResponseWriter

	refused bool
}

// WriteHeader implements http.ResponseWriter.
func (p *problemWriter) WriteHeader(code int) {
	if code < http.StatusBadRequest {
		p.ResponseWriter.WriteHeader(code)
		return
	}
	p.refused = true
	for _, name := range []string{"Content-Disposition", "Content-Length", "ETag"} {
		p.Header().Del(name)
	}
	detail := "the condition of the request does not hold for this file (ETag and If-Match)"
	if code == http.StatusRequestedRangeNotSatisfiable {
		detail = "the range is not one of this file: " + p.Header().Get("Content-Range")
	}
	writeProblem(p.ResponseWriter, newProblem(code, detail))
}

// Write implements http.ResponseWriter.
func (p *problemWriter) Write(b []byte) (int, error) {
	if p.refused {
		return len(b), nil
	}
	return p.ResponseWriter.Write(b)
}
