package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tetryx/lynx-runner/api"
)

// secret is the token that the scripted server asks for.
const secret = "lynx_0123456789abcdef"

// far is a scripted platform: it answers each request by its method and URI, and
// any other with 404. A value that is a func answers by itself; a *api.Problem has
// its status.
type far struct {
	server *httptest.Server

	mu    sync.Mutex
	seen  []string
	body  string
	calls map[string]any
}

func newFar(t *testing.T, calls map[string]any) *far {
	t.Helper()
	f := &far{calls: calls}
	f.server = httptest.NewServer(f)
	t.Cleanup(f.server.Close)
	return f
}

func (f *far) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	call := r.Method + " " + r.URL.RequestURI()
	body, _ := io.ReadAll(r.Body)
	f.mu.Lock()
	f.seen = append(f.seen, call)
	if len(body) > 0 {
		f.body = string(body)
	}
	answer, ok := f.calls[call]
	f.mu.Unlock()
	switch answer := answer.(type) {
	case func(http.ResponseWriter):
		answer(w)
		return
	case *api.Problem:
		refuse(w, answer)
		return
	}
	switch {
	case r.Header.Get("Authorization") != "Bearer "+secret:
		refuse(w, &api.Problem{Status: http.StatusUnauthorized, Detail: "a valid token is needed"})
	case !ok:
		refuse(w, &api.Problem{Status: http.StatusNotFound, Detail: r.URL.Path + ": not found"})
	default:
		reply(w, http.StatusOK, answer)
	}
}

func refuse(w http.ResponseWriter, p *api.Problem) {
	w.Header().Set("Content-Type", api.ProblemType)
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p)
}

func (f *far) requests() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.seen...)
}

// clock is when the tests take place.
var clock = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

func at(offset time.Duration) *time.Time {
	t := clock.Add(offset)
	return &t
}

// caller is a person who calls lynxctl.
type caller struct {
	interrupt context.Context
	env       map[string]string
	// token is what is found by itself.
	token string
	now   func() time.Time
	width int
}

// callerOf knows the scripted platform and its token.
func callerOf(f *far) *caller {
	return &caller{env: map[string]string{serverVariable: f.server.URL}, token: secret}
}

func (c *caller) lynxctl(t *testing.T, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	var out, errs bytes.Buffer
	p := &Program{
		Stdout: &out, Stderr: &errs, Interrupt: c.interrupt, Version: "test", Now: c.now, Width: c.width,
		Getenv: func(name string) string { return c.env[name] },
		Token: func(file string) (string, error) {
			if file == "" {
				return c.token, nil
			}
			data, err := os.ReadFile(file)
			return string(data), err
		},
	}
	if c.interrupt == nil {
		p.Interrupt = t.Context()
	}
	if c.now == nil {
		p.Now = func() time.Time { return clock }
	}
	root := Root(p)
	root.SetArgs(args)
	err := root.ExecuteContext(t.Context())
	if message := Message(err); message != "" {
		fmt.Fprintln(&errs, "lynxctl:", message)
	}
	return out.String(), errs.String(), ExitStatus(err)
}

// TestConnection: where the platform and the token come from, and that a token
// that was found never leaves the machine.
func TestConnection(t *testing.T) {
	named := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(named, []byte("named-"+secret), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		flags connection
		env   map[string]string
		found string

		server       string
		token, alien bool
	}{
		"nothing":                     {server: DefaultServer},
		"found":                       {found: secret, server: DefaultServer, token: true},
		"variable":                    {env: map[string]string{serverVariable: "http://127.1.2.3:1"}, found: secret, server: "http://127.1.2.3:1", token: true},
		"flag wins":                   {flags: connection{server: "unix:///x"}, env: map[string]string{serverVariable: "http://a"}, found: secret, server: "unix:///x", token: true},
		"another host":                {flags: connection{server: "http://192.0.2.1:5969"}, found: secret, server: "http://192.0.2.1:5969", alien: true},
		"a name like localhost":       {flags: connection{server: "localhost.example.org:80"}, found: secret, server: "localhost.example.org:80", alien: true},
		"localhost":                   {flags: connection{server: "localhost:80"}, found: secret, server: "localhost:80", token: true},
		"IPv6 loopback":               {flags: connection{server: "http://[::1]:80"}, found: secret, server: "http://[::1]:80", token: true},
		"a named file goes elsewhere": {flags: connection{server: "http://192.0.2.1:5969", tokenFile: named}, server: "http://192.0.2.1:5969", token: true},
		"a file named by a variable":  {env: map[string]string{tokenFileVariable: named}, server: DefaultServer, token: true},
	} {
		t.Run(name, func(t *testing.T) {
			c.flags.p = &Program{
				Getenv: func(name string) string { return c.env[name] },
				Token: func(file string) (string, error) {
					if file == "" {
						return c.found, nil
					}
					data, err := os.ReadFile(file)
					return string(data), err
				},
			}
			s, err := c.flags.open()
			if err != nil {
				t.Fatal(err)
			}
			if s.server != c.server || s.token != c.token || s.alien != c.alien {
				t.Errorf("server %s, token %v, alien %v", s.server, s.token, s.alien)
			}
		})
	}
}

// TestErrorsSayWhatToDo: an exit status and a way out for each way to fail.
func TestErrorsSayWhatToDo(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("another-platforms-token"), 0o600); err != nil {
		t.Fatal(err)
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	notLynx := httptest.NewServer(http.NotFoundHandler())
	defer notLynx.Close()
	f := newFar(t, map[string]any{
		"GET /batches?limit=1000": api.Page[api.Batch]{},
		"GET /runners?limit=1000": &api.Problem{Status: 500, Detail: "the disk\x1b is full"},
		"GET /batches?limit=1":    &api.Problem{Status: 403, Detail: "the request is for host \"x\""},
	})
	for name, c := range map[string]struct {
		args   []string
		token  string
		status int
		says   []string
	}{
		"nobody listens":  {[]string{"batches", "--server", gone.URL}, secret, ExitUnreachable, []string{gone.URL, "connection refused", "lynx-server", "--server", serverVariable}},
		"no socket":       {[]string{"batches", "--server", "unix:///nowhere/x.sock"}, secret, ExitUnreachable, []string{"unix:///nowhere/x.sock", "no such file", "lynx-server"}},
		"no token":        {[]string{"batches"}, "", ExitUsage, []string{"none was found", "--token-file", tokenFileVariable}},
		"default's token": {[]string{"batches"}, "wrong-token-that-was-found", ExitUsage, []string{"default place", "another platform's"}},
		"named token":     {[]string{"batches", "--token-file", file}, secret, ExitUsage, []string{file, "another platform's"}},
		"no token file":   {[]string{"batches", "--token-file", file + "x"}, secret, ExitUsage, []string{file + "x", "no such file"}},
		"bad address":     {[]string{"batches", "--server", "ftp://x"}, secret, ExitUsage, []string{"scheme", "http, https or unix"}},
		"not a platform":  {[]string{"batches", "--server", notLynx.URL}, secret, ExitUsage, []string{"404", "in no form that a Lynx platform uses"}},
		"the platform's":  {[]string{"runners"}, secret, ExitUnreachable, []string{`the disk\x1b is full`}},
		"refused":         {[]string{"watch", "last"}, secret, ExitUsage, []string{`the request is for host "x"`}},
		"on run":          {[]string{"run", "study.yaml", "--server", "http://x"}, secret, ExitUsage, []string{"--server", "lynxctl submit"}},
		"on validate":     {[]string{"validate", "--token-file", "x", "study.yaml"}, secret, ExitUsage, []string{"--token-file", "lynxctl submit"}},
		"two arguments":   {[]string{"watch", "a", "b"}, secret, ExitUsage, []string{"accepts 1 arg", "usage: lynxctl watch BATCH [flags]", "`lynxctl watch --help`"}},
		"no such flag":    {[]string{"watch", "a", "--jason"}, secret, ExitUsage, []string{"--jason", "usage: lynxctl watch BATCH [flags]"}},
	} {
		t.Run(name, func(t *testing.T) {
			who := callerOf(f)
			who.token = c.token
			stdout, stderr, status := who.lynxctl(t, c.args...)
			if status != c.status || stdout != "" {
				t.Errorf("status %d, stdout %q", status, stdout)
			}
			for _, want := range c.says {
				if !strings.Contains(stderr, want) {
					t.Errorf("stderr does not say %q:\n%s", want, stderr)
				}
			}
			if strings.Contains(stderr, secret) || strings.Contains(stderr, "another-platforms-token") {
				t.Errorf("stderr shows a token:\n%s", stderr)
			}
		})
	}
}

// TestPages: a listing has every page, and pages are as large as they may be.
func TestPages(t *testing.T) {
	const runs = 2500
	calls := map[string]any{"GET /batches?limit=1": api.Page[api.Batch]{Items: []api.Batch{{BatchID: "b"}}}}
	for from := 0; from < runs; from += pageSize {
		page := api.Page[api.Job]{}
		for i := from; i < min(from+pageSize, runs); i++ {
			page.Items = append(page.Items, sampleJob(fmt.Sprintf("job-%d", i), i))
		}
		call := "GET /jobs?batch_id=b&limit=1000"
		if from > 0 {
			call = fmt.Sprintf("GET /jobs?batch_id=b&cursor=%d&limit=1000", from)
		}
		if from+pageSize < runs {
			next := fmt.Sprint(from + pageSize)
			page.NextCursor = &next
		}
		calls[call] = page
	}
	f := newFar(t, calls)
	stdout, _, status := callerOf(f).lynxctl(t, "jobs", "last", "--json")
	if status != ExitOK || strings.Count(stdout, `"job_id"`) != runs {
		t.Errorf("status %d, %d jobs", status, strings.Count(stdout, `"job_id"`))
	}
	before := len(f.requests())
	stdout, _, _ = callerOf(f).lynxctl(t, "jobs", "last", "--limit", "3", "--json")
	if n := len(f.requests()) - before; n != 2 || strings.Count(stdout, `"job_id"`) != 3 {
		t.Errorf("%d requests for %d jobs", n, strings.Count(stdout, `"job_id"`))
	}
}

func TestInterruptedListing(t *testing.T) {
	ctx, press := context.WithCancel(t.Context())
	over := make(chan struct{})
	f := newFar(t, map[string]any{"GET /batches?limit=1000": func(http.ResponseWriter) { press(); <-over }})
	t.Cleanup(func() { close(over) }) // before the server is closed
	who := callerOf(f)
	who.interrupt = ctx
	if _, stderr, status := who.lynxctl(t, "batches"); status != ExitInterrupted || !strings.Contains(stderr, "interrupted") {
		t.Errorf("status %d: %s", status, stderr)
	}
}

// TestBrokenPipe: output that fails is an error of the output, not of the platform;
// a reader that had enough is none that anybody has to be told of.
func TestBrokenPipe(t *testing.T) {
	f := newFar(t, script())
	unread := &fs.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.EPIPE}
	for _, command := range []string{"batches", "batches --json", "jobs last", "job last/1", "results last", "results last --format csv", "results last --json", "logs last/1", "telemetry last/1", "telemetry last/1 --format csv", "telemetry last/1 -f", "runners", "drain lab-1", "cancel last"} {
		for broken, want := range map[error]int{io.ErrClosedPipe: ExitFailed, unread: ExitUnread} {
			root := Root(&Program{
				Stdout: brokenPipe{broken}, Stderr: io.Discard, Interrupt: t.Context(), Now: func() time.Time { return clock },
				Getenv: func(string) string { return "" }, Token: func(string) (string, error) { return secret, nil },
			})
			root.SetArgs(append(strings.Fields(command), "--server", f.server.URL))
			err := root.ExecuteContext(t.Context())
			if ExitStatus(err) != want || (want == ExitUnread) != (Message(err) == "") {
				t.Errorf("%s: %v: status %d, %v", command, broken, ExitStatus(err), err)
			}
		}
	}
}

type brokenPipe struct{ err error }

func (b brokenPipe) Write([]byte) (int, error) { return 0, b.err }
