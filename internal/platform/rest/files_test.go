package rest_test

import (
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/platform/store/files"
)

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func TestArtifactShapes(t *testing.T) {
	w := start(t, keeps(t, map[files.AttemptKey]map[string]string{first: {"output/a b/x.csv": "abc", "log/stdout.log": "out"}}))
	w.finish(leaves("completed", "a b/x.csv", "half.csv"))
	golden(t, "artifacts", w.get("/jobs/id-3/artifacts"), 200)
	golden(t, "artifacts_1", w.get("/jobs/id-3/artifacts?attempt=1"), 200)
	// Results name the same places, and following them gives the file.
	result := decode[api.JobResult](t, w.get("/jobs/id-3/results"), 200)
	rows := decode[api.BatchResults](t, w.get("/batches/id-2/results"), 200)
	if !slices.Equal(result.Artifacts, rows.Items[0].Artifacts) || result.Artifacts[1].URL != "" {
		t.Errorf("artifacts %+v, %+v", result.Artifacts, rows.Items[0].Artifacts)
	}
	a := w.get(result.Artifacts[0].URL)
	if a.status != 200 || a.body != "abc" {
		t.Errorf("%s: %d %s", result.Artifacts[0].URL, a.status, a.body)
	}
}

// What a job wrote is bytes to a browser, under a name that does no harm.
func TestArtifactIsNothingThatABrowserRuns(t *testing.T) {
	const name = `evil"; filename=x.html/.ht` + "\u202ea\x01ccess<script>.html"
	w := start(t, keeps(t, map[files.AttemptKey]map[string]string{first: {"output/" + name: "<script>alert(1)</script>"}}))
	w.finish(leaves("completed", name))
	a := w.get("/jobs/id-3/artifacts/" + url.PathEscape(name))
	if a.status != 200 || a.body != "<script>alert(1)</script>" {
		t.Fatalf("%d %s", a.status, a.body)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/octet-stream", "X-Content-Type-Options": "nosniff",
		"ETag": `"` + sum(a.body) + `"`, "Accept-Ranges": "bytes", "Content-Length": "25",
	} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if !strings.Contains(a.header.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("Content-Security-Policy %q", a.header.Get("Content-Security-Policy"))
	}
	kind, params, err := mime.ParseMediaType(a.header.Get("Content-Disposition"))
	if kind != "attachment" || params["filename"] != "_ht_a_ccess_script_.html" || len(params) != 1 || err != nil {
		t.Errorf("Content-Disposition %q: %q %v %v", a.header.Get("Content-Disposition"), kind, params, err)
	}
}

// Only names of the result are looked for: nothing else of the attempt, of other
// attempts or of the host can be named.
func TestNamesThatAreNoArtifacts(t *testing.T) {
	w := start(t, keeps(t, map[files.AttemptKey]map[string]string{
		first: {"output/x": "abc", "log/stdout.log": "out", "manifest.json": "{}", "output/secret": "no artifact"},
	}))
	w.finish(leaves("completed", "x"))
	for _, name := range []string{
		"secret", "../manifest.json", "../log/stdout.log", "/etc/passwd", "x/", "./x", "x\x00", "%2e%2e", "..\\x", "\xff", strings.Repeat("y", 4096),
	} {
		p := problem(t, w.get("/jobs/id-3/artifacts/"+url.PathEscape(name)), 404)
		if !strings.Contains(p.Detail, "not found") {
			t.Errorf("%q: %s", name, p.Detail)
		}
	}
	for _, path := range []string{"/jobs/id-3/artifacts/../manifest.json", "/jobs/id-3/artifacts/", "/jobs/id-3/artifacts/a/b"} {
		if a := w.get(path); a.status == 200 {
			t.Errorf("%s: %s", path, a.body)
		}
	}
}

func TestRanges(t *testing.T) {
	w := start(t, keeps(t, map[files.AttemptKey]map[string]string{first: {"output/x": "0123456789"}}))
	w.finish(leaves("completed", "x"))
	const path = "/jobs/id-3/artifacts/x"
	tag := `"` + sum("0123456789") + `"`
	for _, c := range []struct {
		name, value, extra string
		status             int
		body               string
	}{
		{"Range", "bytes=2-4", "", 206, "234"},
		{"Range", "bytes=-3", "", 206, "789"},
		{"Range", "bytes=8-100", "", 206, "89"},
		{"Range", "bytes=2-4", `"other"`, 200, "0123456789"},
		{"Range", "bytes=2-4", tag, 206, "234"},
		{"If-None-Match", tag, "", 304, ""},
		{"If-None-Match", `"other"`, "", 200, "0123456789"},
		{"If-Match", tag, "", 200, "0123456789"},
	} {
		a := w.do("GET", path, "", header(c.name, c.value), func(r *http.Request) {
			if c.extra != "" {
				r.Header.Set("If-Range", c.extra)
			}
		})
		if a.status != c.status || a.body != c.body {
			t.Errorf("%s %s %s: %d %q, want %d %q", c.name, c.value, c.extra, a.status, a.body, c.status, c.body)
		}
	}
	for name, value := range map[string]string{"Range": "bytes=20-30", "If-Match": `"other"`} {
		a := w.do("GET", path, "", header(name, value))
		want := map[string]int{"Range": 416, "If-Match": 412}[name]
		p := problem(t, a, want)
		if a.header.Get("Content-Disposition") != "" || a.header.Get("ETag") != "" {
			t.Errorf("%s: %v, headers %v", name, p, a.header)
		}
	}
	if a := w.do("HEAD", path, ""); a.status != 200 || a.body != "" || a.header.Get("Content-Length") != "10" {
		t.Errorf("HEAD: %+v", a)
	}
}

// Each attempt has its own files, also one that was followed by another.
func TestArtifactsOfAnEarlierAttempt(t *testing.T) {
	second := first
	second.Number = 2
	w := start(t, keeps(t, map[files.AttemptKey]map[string]string{first: {"output/x": "one"}, second: {"output/x": "two"}}))
	s := w.finish(leaves("nonzero_exit", "x"))
	// The retry waits behind nothing: the job is the first of its batch.
	w.advance(time.Minute)
	if got := w.get("/jobs/id-3/artifacts/x").body; got != "one" {
		t.Errorf("while it waits: %q", got)
	}
	again := w.claim(s, 1)[0]
	if again.GetAttemptId() != "id-3-2" {
		t.Fatalf("claimed %s", again.GetAttemptId())
	}
	problem(t, w.get("/jobs/id-3/artifacts?attempt=2"), 404)
	w.report(s, again, leaves("completed", "x"))
	for attempt, want := range map[string]string{"": "two", "?attempt=1": "one", "?attempt=2": "two"} {
		if got := w.get("/jobs/id-3/artifacts/x" + attempt).body; got != want {
			t.Errorf("%q: %q, want %q", attempt, got, want)
		}
	}
	problem(t, w.get("/jobs/id-3/artifacts/x?attempt=3"), 404)
}

// A file that is not here is told where it is.
func TestFilesThatAreNotKept(t *testing.T) {
	for name, w := range map[string]*world{
		"no store":       start(t),
		"not in a store": start(t, keeps(t, nil)),
	} {
		r := leaves("completed", "x.csv")
		r.Telemetry = breached().Telemetry
		w.finish(r)
		for path, file := range map[string]string{
			"artifacts/x.csv": "output/x.csv", "logs/stderr": "log/stderr.log", "telemetry": "telemetry.parquet",
		} {
			p := problem(t, w.get("/jobs/id-3/"+path), 404)
			for _, part := range []string{"runner-a", "host host", "/srv/runs/b/00000/attempt-1/" + file, "keep"} {
				if !strings.Contains(p.Detail, part) {
					t.Errorf("%s: %s: %q is not in %q", name, path, part, p.Detail)
				}
			}
		}
		for _, a := range decode[api.ArtifactList](t, w.get("/jobs/id-3/artifacts"), 200).Items {
			if a.URL != "" {
				t.Errorf("%s: url %s", name, a.URL)
			}
		}
	}
}

// The file of an attempt that was lost with its runner never came.
func TestFilesOfALostAttempt(t *testing.T) {
	w := start(t, keeps(t, nil))
	w.finish(nil)
	w.advance(2 * time.Minute)
	if err := w.svc.Tick(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p := problem(t, w.get("/jobs/id-3/logs/stdout?attempt=1"), 404); !strings.Contains(p.Detail, "lost with its runner") {
		t.Errorf("%s", p.Detail)
	}
}

// The typed client gets what is served, names and checksums included.
func TestClientOfFiles(t *testing.T) {
	const name = "a/ü ?&#+%2F.csv"
	w := start(t, keeps(t, map[files.AttemptKey]map[string]string{first: {"output/" + name: "abc"}}))
	w.finish(leaves("completed", name))
	c := w.client()
	list, err := c.Artifacts(t.Context(), "id-3", 0)
	if err != nil || len(list.Items) != 1 || list.Attempt != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	d, err := c.Download(t.Context(), "id-3", list.Items[0].Name, list.Attempt)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var b strings.Builder
	if n, err := copyAll(&b, d); err != nil || b.String() != "abc" || d.SHA256 != sum("abc") {
		t.Errorf("%s bytes %q, %v", strconv.Itoa(int(n)), b.String(), err)
	}
	if a := w.get(list.Items[0].URL); a.body != "abc" {
		t.Errorf("%s: %s", list.Items[0].URL, a.body)
	}
}
