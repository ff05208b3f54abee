package rest_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/platform"
)

func TestUnknownIDs(t *testing.T) {
	w := start(t)
	w.submit()
	for _, path := range []string{
		"/batches/none", "/batches/none/results", "/jobs/none", "/jobs/none/results", "/runners/none",
		"/jobs?batch_id=none", "/batches/none?wait=60&revision=0", "/batches/" + strings.Repeat("x", 128),
		"/batches/%2e%2e%2fetc", "/jobs/%00", "/jobs/%ff",
	} {
		p := problem(t, w.get(path), http.StatusNotFound)
		if !strings.Contains(p.Detail, "not found") {
			t.Errorf("%s: %s", path, p.Detail)
		}
	}
	for _, path := range []string{"/batches/none/cancel", "/batches/none/retry", "/jobs/none/cancel", "/jobs/none/retry", "/runners/none/drain", "/runners/none/resume"} {
		problem(t, w.post(path), http.StatusNotFound)
	}
	// A job without a result says so.
	if p := problem(t, w.get("/jobs/id-2/results"), http.StatusNotFound); !strings.Contains(p.Detail, "Pending and has no result") {
		t.Errorf("detail %q", p.Detail)
	}
}

func TestPathsAndMethodsThatDoNotExist(t *testing.T) {
	w := start(t)
	for _, path := range []string{"/", "/nothing", "/jobs/id/nothing", "/docs", "/schemas/Job", "/openapi.yaml"} {
		problem(t, w.get(path), http.StatusNotFound)
	}
	a := w.do(http.MethodDelete, "/jobs", "")
	problem(t, a, http.StatusMethodNotAllowed)
	if got := a.header.Get("Allow"); got != "GET, HEAD, POST" {
		t.Errorf("Allow %q", got)
	}
	problem(t, w.get("/runners/r/drain"), http.StatusMethodNotAllowed)
}

// Nothing in a query is ignored.
func TestQueriesThatAreRefused(t *testing.T) {
	w := start(t)
	id := w.submit()
	for _, c := range []struct{ path, field string }{
		{"/jobs?color=red", "query.color"},
		{"/healthz?x=1", "query.x"},
		{"/jobs?limit=0", "query.limit"},
		{"/jobs?limit=1001", "query.limit"},
		{"/jobs?limit=ten", "query.limit"},
		{"/jobs?limit=", "query.limit"},
		{"/jobs?limit=1&limit=2", "query.limit"},
		{"/jobs?status=Done", "query.status"},
		{"/jobs?run_index=-1", "query.run_index"},
		{"/jobs?run_index=one", "query.run_index"},
		{"/jobs?id_prefix=" + strings.Repeat("x", 129), "query.id_prefix"},
		{"/jobs/id-2/artifacts?attempt=0", "query.attempt"},
		{"/jobs/id-2/artifacts/x?attempt=-1", "query.attempt"},
		{"/jobs/id-2/logs/stdin", "path.stream"},
		{"/jobs/id-2/logs/stdout?follow=maybe", "query.follow"},
		{"/jobs/id-2/telemetry?max_points=3", "query.max_points"},
		{"/jobs/id-2/telemetry?max_points=5001", "query.max_points"},
		{"/jobs/id-2/telemetry?from=NaN", "query.from"},
		{"/jobs/id-2/telemetry?to=-Inf", "query.to"},
		{"/jobs/id-2/telemetry?to=soon", "query.to"},
		{"/jobs?cursor=nonsense", "cursor"},
		{"/jobs?cursor=" + strings.Repeat("1", 257), "query.cursor"},
		{"/batches?cursor=-1", "cursor"},
		{"/batches/" + id + "/results?cursor=x", "cursor"},
		{"/batches/" + id + "?wait=5", "query"},
		{"/batches/" + id + "?revision=5", "query"},
		{"/batches/" + id + "?wait=0&revision=0", "query.wait"},
		{"/batches/" + id + "?wait=61&revision=0", "query.wait"},
		{"/batches/" + id + "?wait=1&revision=-1", "query.revision"},
		{"/batches/" + id + "?wait=1&revision=9999999999999999999", "query.revision"},
		{"/jobs/" + strings.Repeat("x", 129), "path.job_id"},
	} {
		p := problem(t, w.get(c.path), http.StatusUnprocessableEntity)
		if len(p.Errors) != 1 || p.Errors[0].Path != c.field || p.Errors[0].Message == "" {
			t.Errorf("%s: errors %v, want one at %s", c.path, p.Errors, c.field)
		}
	}
	problem(t, w.get("/jobs?a=%zz"), http.StatusUnprocessableEntity)
	problem(t, w.get("/jobs?a;b"), http.StatusUnprocessableEntity)
}

func TestBodiesWhereNoneBelongs(t *testing.T) {
	w := start(t)
	id := w.submit()
	for _, path := range []string{"/batches/" + id + "/cancel", "/jobs/id-2/cancel", "/runners/r/drain"} {
		problem(t, w.do(http.MethodPost, path, "{}", media(api.JSON)), http.StatusUnprocessableEntity)
	}
	if s := decode[api.BatchStatus](t, w.get("/batches/"+id), 200); s.Batch.CancelRequested {
		t.Error("a refused call had an effect")
	}
}

func TestStudiesThatAreRefused(t *testing.T) {
	w := start(t)
	a := w.do(http.MethodPost, "/jobs", `name: x
config:
  simulation: {name: orbit}
  monte_carlo: {runs: 0}
  dispersion: {}
`, media(api.YAML))
	p := problem(t, a, http.StatusUnprocessableEntity)
	got := map[string]api.FieldError{}
	for _, e := range p.Errors {
		got[e.Path] = e
		if e.Line == 0 || e.Column == 0 {
			t.Errorf("no place in %+v", e)
		}
	}
	if e := got["config.dispersion"]; e.Line != 5 || e.Column != 3 || !strings.Contains(e.Message, `did you mean "dispersions"`) {
		t.Errorf("config.dispersion: %+v", e)
	}
	if e := got["config.monte_carlo.runs"]; e.Line != 4 {
		t.Errorf("config.monte_carlo.runs: %+v", e)
	}
	if page := decode[api.Page[api.Batch]](t, w.get("/batches"), 200); len(page.Items) != 0 {
		t.Errorf("a refused study made a batch: %v", page.Items)
	}
}

func TestMediaTypesOfStudies(t *testing.T) {
	const asJSON = `{"name":"j","config":{"simulation":{"name":"orbit"},"monte_carlo":{"runs":1}}}`
	w := start(t)
	for _, c := range []struct {
		contentType, body string
		want              int
	}{
		{"application/yaml", text, 201},
		{"application/yaml; charset=UTF-8", text, 201},
		{"application/yaml", asJSON, 201}, // JSON is YAML
		{"application/json", asJSON, 201},
		{"Application/JSON; charset=utf-8", asJSON, 201},
		{"application/json", text, 422},
		{"application/json", asJSON + "x", 422},
		{"application/yaml; charset=latin1", text, 415},
		{"application/x-www-form-urlencoded", asJSON, 415},
		{"text/plain", text, 415},
		{"multipart/form-data; boundary=x", text, 415},
		{"nonsense/", text, 415},
		{"", text, 415},
		{"application/yaml", "", 400},
		{"application/yaml", "- a list", 422},
	} {
		a := w.do(http.MethodPost, "/jobs", c.body, media(c.contentType))
		if a.status != c.want {
			t.Errorf("%q: status %d, want %d: %s", c.contentType, a.status, c.want, a.body)
		}
		if c.want >= 400 {
			problem(t, a, c.want)
		}
	}
	p := problem(t, w.do(http.MethodPost, "/jobs", "{\n  \"name\": oops}", media(api.JSON)), 422)
	if len(p.Errors) != 1 || p.Errors[0].Line != 2 || p.Errors[0].Column != 11 {
		t.Errorf("place of the syntax error: %+v", p.Errors)
	}
}

func TestStudyThatIsTooLarge(t *testing.T) {
	w := start(t)
	large := text + "#" + strings.Repeat("x", 1<<20-len(text)-1)
	if a := w.do(http.MethodPost, "/jobs", large, media(api.YAML)); a.status != 201 {
		t.Errorf("the largest study: %d %s", a.status, a.body)
	}
	problem(t, w.do(http.MethodPost, "/jobs", large+"x", media(api.YAML)), http.StatusRequestEntityTooLarge)
	problem(t, w.do(http.MethodPost, "/jobs", large+large, media(api.YAML)), http.StatusRequestEntityTooLarge)
}

func TestWhoMayCall(t *testing.T) {
	w := start(t)
	for _, path := range []string{"/healthz", "/jobs", "/openapi.json", "/nothing"} {
		for name, c := range map[string]struct {
			edit func(*http.Request)
			want int
		}{
			"no token":       {func(r *http.Request) { r.Header.Del("Authorization") }, 401},
			"wrong token":    {func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token+"x") }, 401},
			"wrong host":     {func(r *http.Request) { r.Host = "evil.example" }, 403},
			"foreign origin": {func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") }, 403},
		} {
			t.Run(name+path, func(t *testing.T) { problem(t, w.do(http.MethodGet, path, "", c.edit), c.want) })
		}
	}
}

func TestHeadersThatKeepBrowsersOut(t *testing.T) {
	w := start(t)
	for _, a := range []answer{w.get("/healthz"), w.get("/nothing"), w.do("GET", "/jobs", "", func(r *http.Request) { r.Host = "evil" })} {
		if a.header.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(a.header.Get("Content-Security-Policy"), "sandbox") ||
			a.header.Get("Cache-Control") != "no-store" || a.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("headers %v", a.header)
		}
	}
}

// broken is a store that fails.
type broken struct{ platform.Store }

func (broken) View(context.Context, func(platform.ReadTx) error) error {
	return errors.New("disk /secret/place is full")
}

func (broken) Epoch() uint64 { return 1 }

func TestFaultOfTheStoreSaysNothingAboutIt(t *testing.T) {
	w := startOver(t, broken{})
	a := w.get("/batches")
	problem(t, a, http.StatusInternalServerError)
	if strings.Contains(a.body, "secret") {
		t.Errorf("answer %s", a.body)
	}
}

// Other forms than JSON are not on offer, and asking for them gives JSON.
func TestAccept(t *testing.T) {
	w := start(t)
	for _, accept := range []string{"", "*/*", "application/json", "application/cbor", "text/html"} {
		a := w.do("GET", "/healthz", "", func(r *http.Request) { r.Header.Set("Accept", accept) })
		if a.status != 200 || a.header.Get("Content-Type") != "application/json" {
			t.Errorf("Accept %q: %d %s", accept, a.status, a.header.Get("Content-Type"))
		}
	}
}

func TestListsInPages(t *testing.T) {
	w := start(t)
	for range 3 {
		w.submit()
	}
	for _, id := range []string{"c", "a", "d", "b"} {
		w.session(id)
	}
	jobs := walk(t, w, "/jobs?limit=2", func(j api.Job) string { return j.BatchID + "/" + j.RunConfig.RunID })
	want := []string{
		"id-9/0", "id-9/1", "id-9/2", "id-5/0", "id-5/1", "id-5/2", "id-1/0", "id-1/1", "id-1/2",
	}
	if diff := cmp.Diff(want, jobs); diff != "" {
		t.Errorf("jobs (-want +got):\n%s", diff)
	}
	batches := walk(t, w, "/batches?limit=1", func(b api.Batch) string { return b.BatchID })
	if !slices.Equal(batches, []string{"id-9", "id-5", "id-1"}) {
		t.Errorf("batches %v", batches)
	}
	rows := walk(t, w, "/batches/id-1/results?limit=2", func(r api.RunRow) string { return r.JobID })
	if !slices.Equal(rows, []string{"id-2", "id-3", "id-4"}) {
		t.Errorf("rows %v", rows)
	}
	for _, limit := range []string{"1", "2", "3", "4", "5"} {
		runners := walk(t, w, "/runners?limit="+limit, func(r api.Runner) string { return r.RunnerID })
		if !slices.Equal(runners, []string{"a", "b", "c", "d"}) {
			t.Errorf("runners in pages of %s: %v", limit, runners)
		}
	}
}

// anyPage is a page of any list, that of results included.
type anyPage[T any] struct {
	api.Page[T]

	BatchID string            `json:"batch_id"`
	Units   map[string]string `json:"units"`
}

// walk follows the cursors of a list.
func walk[T any](t *testing.T, w *world, path string, name func(T) string) []string {
	t.Helper()
	var names []string
	for cursor := ""; ; {
		p := decode[anyPage[T]](t, w.get(path+cursor), 200)
		for _, item := range p.Items {
			names = append(names, name(item))
		}
		if p.NextCursor == nil {
			return names
		}
		if len(p.Items) == 0 {
			t.Fatalf("an empty page that is not the last")
		}
		cursor = "&cursor=" + *p.NextCursor
	}
}

func TestJobsByIndexAndPrefix(t *testing.T) {
	w := start(t)
	for range 2 {
		w.submit() // id-1 with jobs id-2..4, id-5 with jobs id-6..8
	}
	for query, want := range map[string][]string{
		"run_index=1":                 {"id-7", "id-3"},
		"run_index=0&batch_id=id-1":   {"id-2"},
		"id_prefix=id-8":              {"id-8"},
		"id_prefix=id-":               {"id-6", "id-7", "id-8", "id-2", "id-3", "id-4"},
		"id_prefix=id-3&run_index=0":  {},
		"id_prefix=%25&status=Failed": {},
		"run_index=1000":              {},
	} {
		page := decode[api.Page[api.Job]](t, w.get("/jobs?"+query), 200)
		got := []string{}
		for _, j := range page.Items {
			got = append(got, j.JobID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}
}
