package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/tetryx/lynx-runner/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// request is what the far end saw.
type request struct {
	Method, URI, Auth, ContentType, Body string
}

// farEnd is a platform on a unix socket that answers every call the same way.
type farEnd struct {
	client *api.Client
	seen   chan request
}

func listen(t *testing.T, answer http.HandlerFunc) *farEnd {
	t.Helper()
	dir, err := os.MkdirTemp("", "lynx") // a short path: it must fit a socket's
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "api.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	end := &farEnd{seen: make(chan request, 100)}
	srv := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		end.seen <- request{r.Method, r.RequestURI, r.Header.Get("Authorization"), r.Header.Get("Content-Type"), string(body)}
		answer(w, r)
	})}}
	srv.Start()
	t.Cleanup(srv.Close)
	end.client, err = api.NewClient("unix://"+socket, api.WithToken("lynx_secret"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(end.client.Close)
	return end
}

func reply(v any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
}

// Every method makes the documented request and gives back what was answered.
func TestCalls(t *testing.T) {
	const id = "b-1"
	batch := api.BatchStatus{Batch: api.Batch{BatchID: id, Status: api.BatchRunning}, Revision: 7}
	for _, c := range []struct {
		name   string
		answer any
		call   func(context.Context, *api.Client) (any, error)
		want   request
	}{
		{"health", &api.Health{Status: "ok"}, func(ctx context.Context, c *api.Client) (any, error) { return c.Health(ctx) },
			request{Method: "GET", URI: "/healthz"}},
		{"submit", &api.Submission{BatchID: id, TotalJobs: 5, Seed: 1<<53 - 1}, func(ctx context.Context, c *api.Client) (any, error) {
			return c.Submit(ctx, []byte("name: x"), api.YAML)
		}, request{Method: "POST", URI: "/jobs", ContentType: "application/yaml", Body: "name: x"}},
		{"batch", &batch, func(ctx context.Context, c *api.Client) (any, error) { return c.Batch(ctx, id) },
			request{Method: "GET", URI: "/batches/b-1"}},
		{"batch with a strange id", &batch, func(ctx context.Context, c *api.Client) (any, error) { return c.Batch(ctx, "a/b ?é") },
			request{Method: "GET", URI: "/batches/a%2Fb%20%3F%C3%A9"}},
		{"wait", &batch, func(ctx context.Context, c *api.Client) (any, error) {
			return c.WaitBatch(ctx, id, 6, 2500*time.Millisecond)
		}, request{Method: "GET", URI: "/batches/b-1?revision=6&wait=2"}},
		{"wait too long", &batch, func(ctx context.Context, c *api.Client) (any, error) {
			return c.WaitBatch(ctx, id, 6, time.Hour)
		}, request{Method: "GET", URI: "/batches/b-1?revision=6&wait=60"}},
		{"wait not at all", &batch, func(ctx context.Context, c *api.Client) (any, error) {
			return c.WaitBatch(ctx, id, 6, 900*time.Millisecond)
		}, request{Method: "GET", URI: "/batches/b-1"}},
		{"batches", &api.Page[api.Batch]{Items: []api.Batch{batch.Batch}}, func(ctx context.Context, c *api.Client) (any, error) {
			return c.Batches(ctx, api.List{Cursor: "a&b", Limit: 3})
		}, request{Method: "GET", URI: "/batches?cursor=a%26b&limit=3"}},
		{"results", &api.BatchResults{BatchID: id}, func(ctx context.Context, c *api.Client) (any, error) {
			return c.BatchResults(ctx, id, api.List{})
		}, request{Method: "GET", URI: "/batches/b-1/results"}},
		{"cancel batch", &batch, func(ctx context.Context, c *api.Client) (any, error) { return c.CancelBatch(ctx, id) },
			request{Method: "POST", URI: "/batches/b-1/cancel"}},
		{"retry batch", &api.Retry{}, func(ctx context.Context, c *api.Client) (any, error) { return c.RetryBatch(ctx, id) },
			request{Method: "POST", URI: "/batches/b-1/retry"}},
		{"retry some of a batch", &api.Retry{}, func(ctx context.Context, c *api.Client) (any, error) {
			return c.RetryBatch(ctx, id, api.JobFailed, api.JobCancelled)
		}, request{Method: "POST", URI: "/batches/b-1/retry?status=Failed%2CCancelled"}},
		{"retry job", &api.Job{JobID: "j"}, func(ctx context.Context, c *api.Client) (any, error) { return c.RetryJob(ctx, "j") },
			request{Method: "POST", URI: "/jobs/j/retry"}},
		{"artifacts", &api.ArtifactList{}, func(ctx context.Context, c *api.Client) (any, error) { return c.Artifacts(ctx, "j", 0) },
			request{Method: "GET", URI: "/jobs/j/artifacts"}},
		{"artifacts of an attempt", &api.ArtifactList{}, func(ctx context.Context, c *api.Client) (any, error) { return c.Artifacts(ctx, "j", 2) },
			request{Method: "GET", URI: "/jobs/j/artifacts?attempt=2"}},
		{"jobs", &api.Page[api.Job]{}, func(ctx context.Context, c *api.Client) (any, error) {
			return c.Jobs(ctx, api.JobFilter{BatchID: id, Status: api.JobFailed, List: api.List{Limit: 1}})
		}, request{Method: "GET", URI: "/jobs?batch_id=b-1&limit=1&status=Failed"}},
		{"job", &api.Job{JobID: "j"}, func(ctx context.Context, c *api.Client) (any, error) { return c.Job(ctx, "j") },
			request{Method: "GET", URI: "/jobs/j"}},
		{"result", &api.JobResult{JobID: "j"}, func(ctx context.Context, c *api.Client) (any, error) { return c.JobResult(ctx, "j") },
			request{Method: "GET", URI: "/jobs/j/results"}},
		{"cancel job", &api.Job{JobID: "j"}, func(ctx context.Context, c *api.Client) (any, error) { return c.CancelJob(ctx, "j") },
			request{Method: "POST", URI: "/jobs/j/cancel"}},
		{"runners", &api.Page[api.Runner]{}, func(ctx context.Context, c *api.Client) (any, error) { return c.Runners(ctx, api.List{}) },
			request{Method: "GET", URI: "/runners"}},
		{"runner", &api.Runner{RunnerID: "r"}, func(ctx context.Context, c *api.Client) (any, error) { return c.Runner(ctx, "r") },
			request{Method: "GET", URI: "/runners/r"}},
		{"drain", &api.Runner{RunnerID: "r"}, func(ctx context.Context, c *api.Client) (any, error) { return c.Drain(ctx, "r") },
			request{Method: "POST", URI: "/runners/r/drain"}},
		{"resume", &api.Runner{RunnerID: "r"}, func(ctx context.Context, c *api.Client) (any, error) { return c.Resume(ctx, "r") },
			request{Method: "POST", URI: "/runners/r/resume"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			end := listen(t, reply(c.answer))
			got, err := c.call(t.Context(), end.client)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.answer, got); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			c.want.Auth = "Bearer lynx_secret"
			if diff := cmp.Diff(c.want, <-end.seen); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
		})
	}
}

func TestIDsThatAreNone(t *testing.T) {
	end := listen(t, reply(&api.Job{}))
	for _, id := range []string{"", ".", ".."} {
		if _, err := end.client.Job(t.Context(), id); err == nil {
			t.Errorf("job %q: no error", id)
		}
	}
	if len(end.seen) != 0 {
		t.Errorf("a request was made: %v", <-end.seen)
	}
}

func TestProblems(t *testing.T) {
	full := api.Problem{
		Type: "about:blank", Title: "Unprocessable Entity", Status: 422, Detail: "the study is not valid",
		Errors: []api.FieldError{{Path: "config.monte_carlo.runs", Line: 4, Column: 9, Message: "0; must be at least 1"}},
	}
	send := func(code int, media, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", media)
			w.WriteHeader(code)
			_, _ = io.WriteString(w, body)
		}
	}
	fullJSON, err := json.Marshal(full)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		want   api.Problem
	}{
		{"ours", send(422, api.ProblemType, string(fullJSON)), full},
		{"ours, with a charset", send(422, api.ProblemType+"; charset=utf-8", string(fullJSON)), full},
		{"a proxy's page", send(502, "text/html", "<html>bad gateway"), api.Problem{
			Type: "about:blank", Title: "Bad Gateway", Status: 502,
			Detail: "the server answered 502 Bad Gateway, in no form that a Lynx platform uses",
		}},
		{"a problem that is no JSON", send(500, api.ProblemType, "oops"), api.Problem{
			Type: "about:blank", Title: "Internal Server Error", Status: 500,
			Detail: "the server answered 500 Internal Server Error, in no form that a Lynx platform uses",
		}},
		{"a redirect, which is never followed", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://elsewhere.invalid/", http.StatusFound)
		}, api.Problem{
			Type: "about:blank", Title: "Found", Status: 302,
			Detail: "the server answered 302 Found, in no form that a Lynx platform uses",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := listen(t, c.answer).client.Health(t.Context())
			p, ok := errors.AsType[*api.Problem](err)
			if !ok {
				t.Fatalf("error %v, want a problem", err)
			}
			if diff := cmp.Diff(&c.want, p); diff != "" {
				t.Errorf("problem (-want +got):\n%s", diff)
			}
		})
	}
}

func TestProblemText(t *testing.T) {
	for _, c := range []struct {
		p    api.Problem
		want string
	}{
		{api.Problem{Status: 404, Title: "Not Found"}, "404 Not Found"},
		{api.Problem{Status: 404, Detail: "batch x: not found"}, "batch x: not found"},
		{api.Problem{Detail: "bad", Errors: []api.FieldError{
			{Path: "a.b", Line: 2, Column: 3, Message: "wrong"}, {Message: "alone"}, {Path: "query.limit", Message: "0"},
		}}, "bad\n2:3: a.b: wrong\nalone\nquery.limit: 0"},
	} {
		if got := c.p.Error(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestAnswerThatIsNotExpected(t *testing.T) {
	_, err := listen(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }).client.Health(t.Context())
	if err == nil || !strings.Contains(err.Error(), "is this a Lynx platform?") {
		t.Errorf("error %v", err)
	}
}

func TestUnreachable(t *testing.T) {
	c, err := api.NewClient("unix://" + filepath.Join(t.TempDir(), "none.sock"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err = c.Health(t.Context()); !errors.Is(err, api.ErrUnreachable) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want ErrUnreachable and its cause", err)
	}
}

// A caller that gives up gets its own reason, and is not told that the platform
// is gone.
func TestContext(t *testing.T) {
	release := make(chan struct{})
	end := listen(t, func(http.ResponseWriter, *http.Request) { <-release })
	t.Cleanup(func() { close(release) }) // before the server is closed
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("interrupted")
	go func() {
		<-end.seen
		cancel(why)
	}()
	_, err := end.client.WaitBatch(ctx, "b", 0, time.Minute)
	if !errors.Is(err, why) || !errors.Is(err, context.Canceled) || errors.Is(err, api.ErrUnreachable) {
		t.Errorf("error %v", err)
	}
}

// An answer that breaks off is no answer.
func TestAnswerThatBreaksOff(t *testing.T) {
	end := listen(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, `{"status":"ok"}`)
	})
	if _, err := end.client.Health(t.Context()); !errors.Is(err, api.ErrUnreachable) {
		t.Errorf("error %v, want ErrUnreachable", err)
	}
}

func TestNewClient(t *testing.T) {
	for _, c := range []struct {
		base string
		want string // in the error; empty if there is none
	}{
		{"127.0.0.1:8080", ""},
		{"http://127.0.0.1:8080/", ""},
		{"https://lynx.example.org/prefix", ""},
		{"unix:/run/lynx.sock", ""},
		{"unix://", "no path"},
		{"ftp://host", `scheme "ftp"`},
		{"http://", "a scheme, a host"},
		{"", "a scheme, a host"},
		{"http://user:secret@host", "a scheme, a host"},
		{"http://host?x=1", "a scheme, a host"},
		{"http://a b", "invalid"},
	} {
		_, err := api.NewClient(c.base)
		if (err == nil) != (c.want == "") || (err != nil && !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%q: error %v, want %q", c.base, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the error repeats the password", c.base)
		}
	}
}

// TCP, a path prefix and no token.
func TestTCP(t *testing.T) {
	seen := make(chan *http.Request, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r
		reply(&api.Health{Status: "ok"})(w, r)
	}))
	defer srv.Close()
	for _, base := range []string{srv.URL + "/lynx/", strings.TrimPrefix(srv.URL, "http://") + "/lynx"} {
		c, err := api.NewClient(base)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Health(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.Close()
		if r := <-seen; r.URL.Path != "/lynx/healthz" || r.Header.Get("Authorization") != "" {
			t.Errorf("%s: path %s, authorization %q", base, r.URL.Path, r.Header.Get("Authorization"))
		}
	}
}
