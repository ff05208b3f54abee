package rest_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/platform"
	"github.com/tetryx/lynx-runner/internal/platform/auth"
	"github.com/tetryx/lynx-runner/internal/platform/rest"
	"github.com/tetryx/lynx-runner/internal/platform/store/memory"
	"github.com/tetryx/lynx-runner/internal/study"
)

// FuzzQuery: whatever is in the path and the query of a call that reads, the answer
// is a document or a problem of the caller's, never a failure of the platform, and
// one part of a query is never read without the rest.
func FuzzQuery(f *testing.F) {
	for _, target := range []string{
		"/jobs?limit=1&cursor=1.2&status=Pending&run_index=1&id_prefix=x", "/jobs?limit=1;cursor=2", "/jobs?run_index=+1", "/jobs?run_index=0x1&limit=1e2",
		"/batches?cursor=9223372036854775807&limit=1000", "/batches/id-1/results?cursor=1.0", "/batches/id-1?wait=1", "/batches/id-1?revision=18446744073709551615&wait=1",
		"/jobs/id-2/telemetry?from=-0&to=1e400&max_points=4&variables=a,,b", "/jobs/id-2/artifacts/..%2F..%2Fetc%2Fpasswd?attempt=1",
		"/jobs/id-2/artifacts?attempt=99999999999999999999", "/jobs/%00", "/jobs/%ff%fe?x=%zz", "/jobs/id-2/logs/stdout?follow=false", "//jobs/../batches", "/runners?",
	} {
		f.Add(target)
	}
	h := handlerWithBatch(f)
	f.Fuzz(func(t *testing.T, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || !strings.HasPrefix(target, "/") || u.Host != "" || u.Query().Has("wait") && u.Query().Has("revision") {
			return // no request, or one whose answer is held back
		}
		if p := path.Clean(u.Path); strings.HasSuffix(p, "/events") || strings.HasSuffix(p, "/live") || u.Query().Has("follow") {
			return // a stream
		}
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		req.URL, req.RequestURI = u, target
		req.Header.Set("Authorization", "Bearer "+token)
		res := httptest.NewRecorder()
		h.ServeHTTP(res, req)
		switch {
		case res.Code >= 500:
			t.Fatalf("%q: status %d: %s", target, res.Code, res.Body)
		case res.Code >= 400:
			var p api.Problem
			if res.Header().Get("Content-Type") != api.ProblemType || json.Unmarshal(res.Body.Bytes(), &p) != nil || p.Status != res.Code || p.Detail == "" {
				t.Fatalf("%q: status %d: %s", target, res.Code, res.Body)
			}
		case res.Code >= 300:
			if to := res.Header().Get("Location"); !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") {
				t.Fatalf("%q: to %q", target, to)
			}
		default:
			q, err := url.ParseQuery(u.RawQuery)
			for name, values := range q {
				if len(values) != 1 || values[0] == "" {
					t.Fatalf("%q: %s is taken as %q", target, name, values)
				}
			}
			if err != nil || !json.Valid(res.Body.Bytes()) {
				t.Fatalf("%q: %v, %s", target, err, res.Body)
			}
		}
	})
}

// handlerWithBatch is a platform with the batch id-1 and its jobs.
func handlerWithBatch(f *testing.F) http.Handler {
	f.Helper()
	ids := 0
	svc := platform.New(memory.New(), platform.Options{Now: time.Now, Log: slog.New(slog.DiscardHandler), NewID: func() string {
		ids++
		return "id-" + strconv.Itoa(ids)
	}})
	r, err := study.Parse([]byte(text), "study.yaml")
	if err != nil {
		f.Fatal(err)
	}
	if _, err := svc.Submit(f.Context(), r); err != nil {
		f.Fatal(err)
	}
	guard, err := auth.NewGuard(token)
	if err != nil {
		f.Fatal(err)
	}
	return rest.New(svc, rest.Options{Guard: guard, Version: "1", Log: slog.New(slog.DiscardHandler)})
}

// FuzzFileName: whatever a job called a file, a browser is told a name that is one
// element of a path, is not hidden and draws nothing.
func FuzzFileName(f *testing.F) {
	for _, name := range []string{"a.csv", "..", ".bashrc", "a\r\nX: y", "\u202egnp.exe", "\xff", `a"b\c:d`, strings.Repeat("é", 300), "a" + strings.Repeat(".", 128), "", "~", "a/b"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		got := rest.Harmless(name)
		if !utf8.ValidString(got) || strings.HasPrefix(got, ".") || utf8.RuneCountInString(got) > 128 ||
			strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) || strings.ContainsRune(`/\:*?"<>|`, r) }) {
			t.Errorf("%q is offered as %q", name, got)
		}
		if again := rest.Harmless(got); again != got {
			t.Errorf("%q becomes %q, then %q", name, got, again)
		}
	})
}
