package rest_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/platform"
	"github.com/tetryx/lynx-runner/internal/platform/auth"
	"github.com/tetryx/lynx-runner/internal/platform/rest"
	"github.com/tetryx/lynx-runner/internal/platform/store/sqlite"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	token = "lynx_token-of-the-rest-tests"
	text  = `
name: slice
config:
  simulation: {name: orbit, version: 1.2.0}
  monte_carlo: {runs: 3, seed: 42, max_failed: 1}
  dispersions:
    mass_kg: {distribution: {type: constant, value: 2.5}, units: kg}
    ecc: {distribution: {type: constant, value: 0.25}, units: none}
  compute: {job_timeout_seconds: 60, max_retries: 1}
  telemetry: {sampling_rate_hz: 10}
`
)

// world is a platform with a clock that stands still unless a test moves it.
// Ids are numbers.
type world struct {
	t   *testing.T
	svc *platform.Service
	srv *httptest.Server

	mu  sync.Mutex
	now time.Time
	ids int
}

func start(t *testing.T, edits ...func(*rest.Options)) *world {
	t.Helper()
	store, err := sqlite.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	return startOver(t, store, edits...)
}

func startOver(t *testing.T, store platform.Store, edits ...func(*rest.Options)) *world {
	t.Helper()
	w := &world{t: t, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.FixedZone("CET", 3600))}
	log := slog.New(slog.DiscardHandler)
	w.svc = platform.New(store, platform.Options{Now: w.Now, NewID: w.newID, Seed: func() uint64 { return 1<<53 - 1 }, Log: log})
	guard, err := auth.NewGuard(token)
	if err != nil {
		t.Fatal(err)
	}
	w.srv = httptest.NewUnstartedServer(nil)
	o := rest.Options{Guard: guard, Version: "1.2.3", Log: log}
	for _, edit := range edits {
		edit(&o)
	}
	w.srv.Config = rest.NewServer(rest.New(w.svc, o), log)
	w.srv.Start()
	t.Cleanup(w.srv.Close)
	return w
}

func (w *world) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) newID() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ids++
	return "id-" + strconv.Itoa(w.ids)
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

// do makes a request with the token; edits change it before it is sent.
func (w *world) do(method, path, body string, edits ...func(*http.Request)) answer {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.srv.URL+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	for _, edit := range edits {
		edit(req)
	}
	res, err := w.srv.Client().Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(data)}
}

func (w *world) get(path string) answer  { return w.do(http.MethodGet, path, "") }
func (w *world) post(path string) answer { return w.do(http.MethodPost, path, "") }

func media(contentType string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Content-Type", contentType) }
}

// submit submits the study above and returns the batch's id.
func (w *world) submit() string {
	w.t.Helper()
	a := w.do(http.MethodPost, "/jobs", text, media(api.YAML))
	return decode[api.Submission](w.t, a, http.StatusCreated).BatchID
}

// decode takes the answer apart if it has the status; unknown fields are errors,
// so that nothing is on the wire that package api does not know.
func decode[T any](t *testing.T, a answer, status int) T {
	t.Helper()
	var v T
	if a.status != status {
		t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	d := json.NewDecoder(strings.NewReader(a.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, a.body)
	}
	return v
}

// problem takes the answer apart as a problem of the status.
func problem(t *testing.T, a answer, status int) api.Problem {
	t.Helper()
	if got := a.header.Get("Content-Type"); got != api.ProblemType {
		t.Errorf("Content-Type %q, want a problem's: %s", got, a.body)
	}
	p := decode[api.Problem](t, a, status)
	if p.Status != status || p.Type != "about:blank" || p.Title != http.StatusText(status) || p.Detail == "" {
		t.Errorf("problem %+v", p)
	}
	return p
}

// session registers a runner with the platform.
func (w *world) session(id string) string {
	w.t.Helper()
	s, err := w.svc.Register(w.t.Context(), platform.Registration{
		GPUs: 2, Default: platform.Resources{CPUMillis: 500, MemoryBytes: 1 << 30},
		RunnerID: id, InstallationID: "i-" + id, Version: "0.1", Hostname: "host", Executor: "docker",
		Capabilities: api.Capabilities{MaxConcurrentJobs: 4, CPUCores: 2, MemoryGB: 7.5, SupportedSimulationTypes: []string{"basilisk"}},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return s.ID
}

func (w *world) claim(session string, n int) []*runnerv1.Assignment {
	w.t.Helper()
	got, err := w.svc.Claim(w.t.Context(), session, n, 0)
	if err != nil || len(got) != n {
		w.t.Fatalf("claimed %d, %v; want %d", len(got), err, n)
	}
	return got
}

func (w *world) report(session string, a *runnerv1.Assignment, r *runnerv1.Result) {
	w.t.Helper()
	ref := platform.AttemptRef{
		AttemptID: a.GetAttemptId(),
		Token:     platform.Token{Epoch: a.GetToken().GetEpoch(), Counter: a.GetToken().GetCounter()},
	}
	if err := w.svc.ReportStarted(w.t.Context(), session, ref, w.Now()); err != nil {
		w.t.Fatal(err)
	}
	if r == nil {
		return
	}
	if err := w.svc.ReportResult(w.t.Context(), session, ref, r); err != nil {
		w.t.Fatal(err)
	}
}
