package docker

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/types/image"

	"github.com/tetryx/lynx-runner/executor"
)

// answer is a response with a body.
func answer(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, body)
	}
}

func TestNames(t *testing.T) {
	for _, tc := range []struct {
		tags, digests, want []string
	}{
		{nil, nil, nil},
		{[]string{"<none>:<none>"}, []string{"<none>@<none>"}, nil},
		{[]string{"b:1", "a:1"}, []string{"a@sha256:1"}, []string{"a:1", "b:1"}},
		{nil, []string{"a@sha256:1"}, []string{"a@sha256:1"}},
		{[]string{"ab:1"}, []string{"a@sha256:1"}, []string{"a@sha256:1", "ab:1"}},
	} {
		if got := names(image.Summary{RepoTags: tc.tags, RepoDigests: tc.digests}); !slices.Equal(got, tc.want) {
			t.Errorf("%q and %q: %q, want %q", tc.tags, tc.digests, got, tc.want)
		}
	}
}

func TestSameImage(t *testing.T) {
	for _, tc := range []struct {
		ref, name string
		want      bool
	}{
		{"x", "x:latest", true},
		{"x:1", "x:1", true},
		{"x:1", "x:2", false},
		{"x:1", "x@sha256:9", true}, // its tag went to a newer one
		{"x", "y:latest", false},
		{"x@sha256:9", "x@sha256:9", true},
		{"x:1@sha256:9", "x@sha256:9", true},
		{"x@sha256:9", "x:mine", false},
		{"docker.io/library/x", "x:latest", true},
		{"host:5000/x", "host:5000/x:latest", true},
		{"host:5000/x", "host:5000/y@sha256:9", false},
	} {
		if got := sameImage(tc.ref, tc.name); got != tc.want {
			t.Errorf("%s and %s: %v", tc.ref, tc.name, got)
		}
	}
}

// Of all images on the engine, those are told that were built or pulled here: not
// those that somebody made from them, or gave a name of his own.
func TestOwnImages(t *testing.T) {
	d := newDaemon(t)
	dir := t.TempDir()
	e := d.executor(func(c *Config) { c.PullsDir = dir })
	labels := `"Labels":{"org.opencontainers.image.title":"lynx-basilisk","io.tetryx.lynx.inputs":"x"}`
	d.on("GET /images/json", answer(`[
		{"Id":"sha256:b1","Created":100,"Size":7,"RepoTags":["<none>:<none>"],`+labels+`},
		{"Id":"sha256:b2","RepoTags":["lynx-basilisk:latest"],`+labels+`},
		{"Id":"sha256:derived",`+labels+`},
		{"Id":"sha256:imported",`+labels+`},
		{"Id":"sha256:foreign","Labels":{"org.opencontainers.image.title":"lynx-other"}},
		{"Id":"sha256:stage","Labels":{"io.tetryx.lynx.stage":"x"}},
		{"Id":"sha256:p1","RepoTags":["pulled:1"]},
		{"Id":"sha256:p2","RepoTags":["pulled:2","mine:2"]},
		{"Id":"sha256:other","RepoTags":["other:1"]}]`))
	d.on("GET /images/{id}/history", func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.Contains(r.URL.Path, "derived"):
			answer(`[{"CreatedBy":"RUN mine"},{"CreatedBy":"LABEL io.tetryx.lynx.inputs=x"}]`)(w, r)
		case strings.Contains(r.URL.Path, "imported"):
			answer(`[{"Comment":"Imported from -"}]`)(w, r)
		default:
			answer(`[{"CreatedBy":"/bin/sh -c #(nop)  LABEL io.tetryx.lynx.inputs=x"},{"CreatedBy":"RUN x"}]`)(w, r)
		}
	})
	d.on("GET /containers/json", answer(`[{"Id":"c","ImageID":"sha256:b2"}]`))
	used := time.Unix(1000, 0)
	for _, id := range []string{"p1", "p2"} {
		e.notePull("sha256:"+id, "pulled:"+id[1:])
		if err := os.Chtimes(filepath.Join(dir, id), used, used); err != nil {
			t.Fatal(err)
		}
	}
	got, err := e.Images(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	epoch := time.Unix(0, 0)
	want := []executor.Image{
		{ID: "sha256:b1", Title: "lynx-basilisk", Created: time.Unix(100, 0), Bytes: 7},
		{ID: "sha256:b2", Title: "lynx-basilisk", Names: []string{"lynx-basilisk:latest"}, Created: epoch, InUse: true},
		{ID: "sha256:imported", Title: "lynx-basilisk", Created: epoch},
		{ID: "sha256:stage", Stage: true, Created: epoch},
		{ID: "sha256:p1", Names: []string{"pulled:1"}, Pulled: true, Used: used, Created: epoch},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("images (-want +got):\n%s", diff)
	}
}

// What a pull brings is noted, and each use of it; what was there is not.
func TestPullsAreNoted(t *testing.T) {
	d := newDaemon(t)
	dir := filepath.Join(t.TempDir(), "made", "when needed")
	e := d.executor(func(c *Config) {
		c.PullsDir, c.PullPolicy, c.AllowedImages = dir, PullAlways, []string{"lynx-test", "new"}
	})
	d.on("POST /images/create", func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Query().Get("fromImage"), "new") {
			d.mu.Lock()
			d.images["new"] = "sha256:0123"
			d.mu.Unlock()
		}
		answer(`{"status":"done"}`)(w, r)
	})
	if _, err := e.Resolve(t.Context(), "lynx-test:latest"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("an image that was there is noted as pulled")
	}
	if _, err := e.Resolve(t.Context(), "new"); err != nil {
		t.Fatal(err)
	}
	long := time.Unix(1000, 0)
	if err := os.Chtimes(filepath.Join(dir, "0123"), long, long); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Resolve(t.Context(), "new"); err != nil {
		t.Fatal(err)
	}
	found, err := e.pulled()
	if err != nil {
		t.Fatal(err)
	}
	if p := found["sha256:0123"]; len(found) != 1 || !slices.Equal(p.References, []string{"new"}) || !p.used.After(long) {
		t.Errorf("noted %+v", found)
	}
}

// An image goes with the names that it was listed with, without force; one that
// has another by now stays.
func TestRemoveImage(t *testing.T) {
	d := newDaemon(t)
	dir := t.TempDir()
	e := d.executor(func(c *Config) { c.PullsDir = dir })
	e.notePull("sha256:aaaa", "x:1")
	d.on("GET /images/{id}/json", answer(`{"Id":"sha256:aaaa","RepoTags":["x:1","y:1"]}`))
	var asked []string
	for _, name := range []string{"x:1", "y:1", "sha256:aaaa"} {
		d.on("DELETE /images/"+name, func(w http.ResponseWriter, r *http.Request) {
			asked = append(asked, fmt.Sprint(name, r.URL.Query()["force"]))
			answer(`[]`)(w, r)
		})
	}
	err := e.RemoveImage(t.Context(), executor.Image{ID: "sha256:aaaa", Names: []string{"x:1"}})
	if err == nil || !strings.Contains(err.Error(), "x:1, y:1 by now") || len(asked) > 0 {
		t.Errorf("with another name: %v, asked %q", err, asked)
	}
	if err := e.RemoveImage(t.Context(), executor.Image{ID: "sha256:aaaa", Names: []string{"x:1", "y:1"}}); err != nil || !slices.Equal(asked, []string{"x:1[]", "y:1[]"}) {
		t.Errorf("%v, asked %q", err, asked)
	}
	if left, err := e.pulled(); err != nil || len(left) > 0 {
		t.Errorf("noted %v, %v", left, err)
	}
	d.on("GET /images/{id}/json", status(http.StatusNotFound))
	if err := e.RemoveImage(t.Context(), executor.Image{ID: "sha256:aaaa"}); err != nil {
		t.Errorf("one that is gone: %v", err)
	}
	d.on("GET /images/{id}/json", answer(`{"Id":"sha256:aaaa"}`))
	d.on("DELETE /images/sha256:aaaa", status(http.StatusConflict))
	if err := e.RemoveImage(t.Context(), executor.Image{ID: "sha256:aaaa"}); err == nil {
		t.Error("no error about one in use")
	}
}
