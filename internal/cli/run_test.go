package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/study"
)

const tutorial = `
simulation: {name: Orbit, version: 1.0.0}
monte_carlo: {runs: 2, sampling_method: latin_hypercube, seed: 42}
dispersions:
  eccentricity: {distribution: {type: uniform, min: 0.1, max: 0.2}, units: none}
early_termination:
  enabled: true
  conditions:
    - {name: impact, variable: orbit.radius_km, operator: lt, threshold: 6371, units: km}
`

// fakePlatform is a scripted platform: every question about the batch is
// answered with the next status of the script, the last one for ever.
type fakePlatform struct {
	t      *testing.T
	server *httptest.Server

	mu        sync.Mutex
	script    []api.BatchStatus
	asked     int
	cancelled bool
	submitted []byte
	// onAsk is called with the number of each question, before its answer.
	onAsk  func(int)
	jobs   []api.Job
	rows   []api.RunRow
	stops  int
	failed chan struct{}
	// earlier are the batches that were there before; aside says that "old" among
	// them was cancelled, retried what was run again.
	earlier []api.Batch
	aside   bool
	retried string
	// given are the options of the last start.
	given LocalOptions
}

func newFakePlatform(t *testing.T, script ...api.BatchStatus) *fakePlatform {
	f := &fakePlatform{t: t, script: script, failed: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /jobs", func(w http.ResponseWriter, r *http.Request) {
		var body bytes.Buffer
		_, _ = body.ReadFrom(r.Body)
		f.submitted = body.Bytes()
		reply(w, http.StatusCreated, api.Submission{BatchID: "b1", TotalJobs: 2, Seed: 42, Warnings: []string{"a field has no effect"}})
	})
	mux.HandleFunc("GET /batches", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, api.Page[api.Batch]{Items: f.earlier})
	})
	mux.HandleFunc("POST /batches/{id}/retry", func(w http.ResponseWriter, r *http.Request) {
		f.retried = r.PathValue("id") + " " + r.URL.Query().Get("status")
		reply(w, http.StatusOK, api.Retry{Jobs: 1, BatchStatus: statusOf(api.BatchRunning, 1, 0, 0)})
	})
	mux.HandleFunc("POST /batches/old/cancel", func(w http.ResponseWriter, _ *http.Request) {
		f.aside = true
		reply(w, http.StatusOK, f.script[0])
	})
	mux.HandleFunc("GET /batches/b1", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, f.next()) })
	mux.HandleFunc("POST /batches/b1/cancel", func(w http.ResponseWriter, _ *http.Request) {
		f.mu.Lock()
		f.cancelled = true
		f.mu.Unlock()
		reply(w, http.StatusOK, f.script[0])
	})
	mux.HandleFunc("GET /batches/b1/results", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, api.BatchResults{BatchID: "b1", Units: map[string]string{}, Items: f.rows})
	})
	mux.HandleFunc("GET /jobs", func(w http.ResponseWriter, r *http.Request) {
		page := api.Page[api.Job]{}
		for _, j := range f.jobs {
			if string(j.Status) == r.URL.Query().Get("status") {
				page.Items = append(page.Items, j)
			}
		}
		reply(w, http.StatusOK, page)
	})
	f.server = httptest.NewServer(mux)
	t.Cleanup(f.server.Close)
	return f
}

func (f *fakePlatform) next() api.BatchStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.onAsk != nil {
		f.onAsk(f.asked)
	}
	status := f.script[min(f.asked, len(f.script)-1)]
	f.asked++
	if f.cancelled {
		return statusOf(api.BatchCancelled, 0, 0, 2)
	}
	return status
}

func reply(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body)
}

func (f *fakePlatform) Client() *api.Client {
	c, err := api.NewClient(f.server.URL)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(c.Close)
	return c
}
func (f *fakePlatform) Failed() <-chan struct{} { return f.failed }
func (f *fakePlatform) Stop() error             { f.stops++; return nil }

func statusOf(state api.BatchState, completed, failed, cancelled int) api.BatchStatus {
	return api.BatchStatus{
		Batch: api.Batch{
			BatchID: "b1", Name: "Orbit", Status: state, TotalJobs: 2,
			CompletedJobs: completed, FailedJobs: failed, CancelledJobs: cancelled,
		},
		JobsByStatus: map[api.JobState]int{api.JobRunning: 2 - completed - failed - cancelled},
	}
}

func row(index int, state api.JobState, outcome api.Outcome, message string) api.RunRow {
	last := 6980.5
	return api.RunRow{
		RunIndex: index, Status: state, Outcome: &outcome, ErrorMessage: &message,
		Parameters:    map[string]float64{"eccentricity": 0.125},
		Usage:         api.Usage{WallSeconds: 1.25},
		TelemetryData: map[string]api.VariableSummary{"orbit.radius_km": {Unit: "km", Last: &last}},
		Metrics:       map[string]float64{"final_radius_km": 6980.25},
	}
}

// lynxctl runs the program with a scripted platform and returns what it printed
// and its exit status.
func lynxctl(interrupt context.Context, t *testing.T, f *fakePlatform, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	var out, errs bytes.Buffer
	root := Root(&Program{
		Stdout: &out, Stderr: &errs, Interrupt: interrupt, Now: time.Now, Version: "test",
		Start: func(_ context.Context, o LocalOptions) (Local, error) {
			if f == nil {
				return nil, errors.New("no engine answers")
			}
			f.given = o
			return f, nil
		},
	})
	root.SetArgs(args)
	err := root.ExecuteContext(t.Context())
	if message := Message(err); message != "" {
		fmt.Fprintln(&errs, message)
	}
	return out.String(), errs.String(), ExitStatus(err)
}

func writeStudy(t *testing.T, text string) (study, output string) {
	t.Helper()
	dir := t.TempDir()
	study = filepath.Join(dir, "study.yaml")
	if err := os.WriteFile(study, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	output = filepath.Join(dir, "out")
	if err := os.Mkdir(output, 0o755); err != nil {
		t.Fatal(err)
	}
	return study, output
}

func TestRunOfAStudyThatPasses(t *testing.T) {
	f := newFakePlatform(t, statusOf(api.BatchRunning, 0, 0, 0), statusOf(api.BatchRunning, 1, 0, 0), statusOf(api.BatchCompleted, 2, 0, 0))
	f.rows = []api.RunRow{row(0, api.JobCompleted, api.OutcomeCompleted, ""), row(1, api.JobCompleted, api.OutcomeCompleted, "")}
	study, output := writeStudy(t, tutorial)
	stdout, stderr, status := lynxctl(t.Context(), t, f, "run", study, "--output", output, "--runs", "2")
	if status != ExitOK {
		t.Errorf("exit status %d; stderr:\n%s", status, stderr)
	}
	for _, want := range []string{"eccentricity", "completed", "1.25", "6980.5", "2 runs in", "2 completed", filepath.Join(output, "b1")} {
		if !strings.Contains(stdout, want) {
			t.Errorf("stdout has no %q:\n%s", want, stdout)
		}
	}
	for _, want := range []string{"2 of 2 runs done", "a field has no effect", "seed 42"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("stderr has no %q:\n%s", want, stderr)
		}
	}
	if target, err := os.Readlink(filepath.Join(output, "latest")); err != nil || target != "b1" {
		t.Errorf("latest → %q, %v", target, err)
	}
	if !strings.Contains(string(f.submitted), `"runs_override":2`) {
		t.Errorf("submitted %s", f.submitted)
	}
	if f.stops != 1 {
		t.Errorf("platform and runner were stopped %d times", f.stops)
	}
}

func TestRunOfAStudyThatFails(t *testing.T) {
	f := newFakePlatform(t, statusOf(api.BatchRunning, 1, 1, 0), statusOf(api.BatchFailed, 1, 1, 0))
	message := "the program ended with status 3"
	outcome := api.OutcomeNonzeroExit
	f.jobs = []api.Job{{JobID: "j1", Status: api.JobFailed, Outcome: &outcome, ErrorMessage: &message, RunConfig: api.RunConfig{RunID: "1"}}}
	f.rows = []api.RunRow{row(0, api.JobCompleted, api.OutcomeCompleted, ""), row(1, api.JobFailed, outcome, message)}
	study, output := writeStudy(t, tutorial)
	stdout, stderr, status := lynxctl(t.Context(), t, f, "run", study, "--output", output, "--metrics", "final_radius_km")
	if status != ExitFailed {
		t.Errorf("exit status %d", status)
	}
	if want := "run 1: nonzero_exit: " + message; strings.Count(stderr, want) != 1 || !strings.Contains(stdout, want) {
		t.Errorf("%q must be told once while it runs and again at the end; stderr:\n%s\nstdout:\n%s", want, stderr, stdout)
	}
	if !strings.Contains(stdout, "6980.25") {
		t.Errorf("the chosen metric is missing:\n%s", stdout)
	}
	if !strings.Contains(stderr, "the study failed") {
		t.Errorf("stderr:\n%s", stderr)
	}
}

func TestRunPrintsJSON(t *testing.T) {
	f := newFakePlatform(t, statusOf(api.BatchCompleted, 2, 0, 0))
	f.rows = []api.RunRow{row(0, api.JobCompleted, api.OutcomeCompleted, ""), row(1, api.JobCompleted, api.OutcomeCompleted, "")}
	study, output := writeStudy(t, tutorial)
	stdout, _, status := lynxctl(t.Context(), t, f, "run", study, "--output", output, "--json")
	var got struct {
		Batch api.Batch    `json:"batch"`
		Runs  []api.RunRow `json:"runs"`
	}
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || status != ExitOK {
		t.Fatalf("status %d, %v:\n%s", status, err, stdout)
	}
	if got.Batch.BatchID != "b1" || len(got.Runs) != 2 || got.Runs[1].RunIndex != 1 {
		t.Errorf("got %+v", got)
	}
}

// TestRunInterrupted: Ctrl-C cancels the batch, waits for its end, prints what
// there is and ends with 130.
func TestRunInterrupted(t *testing.T) {
	interrupt, press := context.WithCancel(t.Context())
	f := newFakePlatform(t, statusOf(api.BatchRunning, 0, 0, 0))
	f.onAsk = func(n int) {
		if n == 1 {
			press()
		}
	}
	f.rows = []api.RunRow{row(0, api.JobCancelled, api.OutcomeCancelled, "cancelled"), row(1, api.JobCancelled, api.OutcomeCancelled, "cancelled")}
	study, output := writeStudy(t, tutorial)
	stdout, stderr, status := lynxctl(interrupt, t, f, "run", study, "--output", output)
	if status != ExitInterrupted || !f.cancelled || f.stops != 1 {
		t.Errorf("status %d, cancelled %v, stopped %d times", status, f.cancelled, f.stops)
	}
	if !strings.Contains(stdout, "2 cancelled") || !strings.Contains(stderr, "interrupted") {
		t.Errorf("stdout:\n%s\nstderr:\n%s", stdout, stderr)
	}
}

// TestRunWhosePlatformDies must end, although the batch never does.
func TestRunWhosePlatformDies(t *testing.T) {
	f := newFakePlatform(t, statusOf(api.BatchRunning, 0, 0, 0))
	f.onAsk = func(n int) {
		if n == 1 {
			close(f.failed)
		}
	}
	study, output := writeStudy(t, tutorial)
	_, stderr, status := lynxctl(t.Context(), t, f, "run", study, "--output", output)
	if status != ExitUnreachable || !strings.Contains(stderr, "ended before the study did") {
		t.Errorf("status %d:\n%s", status, stderr)
	}
}

func TestRunUsageErrors(t *testing.T) {
	study, output := writeStudy(t, tutorial)
	for name, c := range map[string]struct {
		args   []string
		status int
		says   string
	}{
		"no study":         {[]string{"run"}, ExitUsage, "accepts 1 arg"},
		"no such file":     {[]string{"run", study + "x"}, ExitUsage, "no such file"},
		"negative runs":    {[]string{"run", study, "--runs", "-1"}, ExitUsage, "--runs -1"},
		"bad max-failed":   {[]string{"run", study, "--max-failed", "many"}, ExitUsage, "--max-failed many"},
		"unknown flag":     {[]string{"run", study, "--rnus", "3"}, ExitUsage, "unknown flag"},
		"no engine":        {[]string{"run", study, "--output", output}, ExitUnreachable, "no engine answers"},
		"unknown command":  {[]string{"rnu"}, ExitUsage, "unknown command"},
		"validate, no arg": {[]string{"validate"}, ExitUsage, "accepts 1 arg"},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, status := lynxctl(t.Context(), t, nil, c.args...)
			if status != c.status || !strings.Contains(stderr, c.says) || stdout != "" {
				t.Errorf("status %d, stderr %q, stdout %q", status, stderr, stdout)
			}
		})
	}
}

// runProgram is lynxctl with a Program of the test's.
func runProgram(t *testing.T, p *Program, args ...string) (stderr string, status int) {
	t.Helper()
	var errs bytes.Buffer
	p.Stderr = &errs
	if p.Stdout == nil {
		p.Stdout = &bytes.Buffer{}
	}
	if p.Interrupt == nil {
		p.Interrupt = t.Context()
	}
	p.Now, p.Getenv = time.Now, func(string) string { return "" }
	root := Root(p)
	root.SetArgs(args)
	err := root.ExecuteContext(t.Context())
	return errs.String() + Message(err), ExitStatus(err)
}

// TestInterruptedStart: Ctrl-C reaches a start that waits for its engine.
func TestInterruptedStart(t *testing.T) {
	interrupt, press := context.WithCancel(t.Context())
	study, output := writeStudy(t, tutorial)
	p := &Program{Interrupt: interrupt, Start: func(ctx context.Context, _ LocalOptions) (Local, error) {
		press()
		<-ctx.Done()
		return nil, fmt.Errorf("no engine: %w", ctx.Err())
	}}
	stderr, status := runProgram(t, p, "run", study, "--output", output)
	if status != ExitInterrupted || !strings.Contains(stderr, "interrupted before the study began") {
		t.Errorf("status %d: %s", status, stderr)
	}
}

// failingStop is a platform whose Stop fails.
type failingStop struct{ *fakePlatform }

func (f failingStop) Stop() error { return errors.New("the disk is full") }

// TestStopThatFails: whatever the study did, the status is no success, and what
// was wrong first stays told.
func TestStopThatFails(t *testing.T) {
	for name, tc := range map[string]struct {
		script api.BatchStatus
		die    bool
		status int
		says   []string
	}{
		"after success":       {statusOf(api.BatchCompleted, 2, 0, 0), false, ExitFailed, []string{"stopping: the disk is full"}},
		"after a failure":     {statusOf(api.BatchFailed, 1, 1, 0), false, ExitFailed, []string{"1 of 2 runs failed", "stopping: the disk is full"}},
		"the platform's fate": {statusOf(api.BatchRunning, 0, 0, 0), true, ExitUnreachable, []string{"ended before the study did: the disk is full"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakePlatform(t, tc.script)
			if tc.die {
				f.onAsk = func(n int) {
					if n == 0 {
						close(f.failed)
					}
				}
			}
			study, output := writeStudy(t, tutorial)
			p := &Program{Start: func(context.Context, LocalOptions) (Local, error) { return failingStop{f}, nil }}
			stderr, status := runProgram(t, p, "run", study, "--output", output)
			if status != tc.status {
				t.Errorf("status %d, want %d", status, tc.status)
			}
			for _, want := range tc.says {
				if !strings.Contains(stderr, want) {
					t.Errorf("no %q in:\n%s", want, stderr)
				}
			}
			if strings.Contains(stderr, "exit status") {
				t.Errorf("a status is told as a message:\n%s", stderr)
			}
		})
	}
}

// TestWhatIsStarted: the flags and the study's file reach the start.
func TestWhatIsStarted(t *testing.T) {
	text := strings.Replace(tutorial, "version: 1.0.0", "version: 1.0.0, command: [a, b]", 1)
	file, output := writeStudy(t, text+"compute: {container: {image: mine}}\n")
	var got LocalOptions
	p := &Program{Start: func(_ context.Context, o LocalOptions) (Local, error) { got = o; return nil, errors.New("enough") }}
	_, status := runProgram(t, p, "run", file, "--output", output, "--executor", "docker", "--config", "c.yaml", "--working-directory", "w", "--verbose")
	want := LocalOptions{
		Config: "c.yaml", Executor: "docker", Study: file, WorkingDirectory: "w", Output: output, Verbose: true,
		Simulation: study.Simulation{Type: "command", Name: got.Simulation.Name, Version: "1.0.0", Command: []string{"a", "b"}}, Image: "mine",
	}
	if !reflect.DeepEqual(got, want) || status != ExitUnreachable {
		t.Errorf("status %d, %+v, want %+v", status, got, want)
	}
}

// TestAPipeThatIsClosed: results that nobody reads are a failure, not a success.
func TestAPipeThatIsClosed(t *testing.T) {
	f := newFakePlatform(t, statusOf(api.BatchCompleted, 2, 0, 0))
	f.rows = []api.RunRow{row(0, api.JobCompleted, api.OutcomeCompleted, "")}
	study, output := writeStudy(t, tutorial)
	p := &Program{Stdout: fullDisk{}, Start: func(context.Context, LocalOptions) (Local, error) { return f, nil }}
	stderr, status := runProgram(t, p, "run", study, "--output", output)
	if status != ExitFailed || !strings.Contains(stderr, "no space left") || f.stops != 1 {
		t.Errorf("status %d, stopped %d times: %s", status, f.stops, stderr)
	}
}

// TestParametersKeepTheOrderOfTheStudy in the tables of design and results.
func TestParametersKeepTheOrderOfTheStudy(t *testing.T) {
	text := strings.Replace(tutorial, "  eccentricity:", "  zeta: &z {distribution: {type: uniform, min: 1, max: 2}, units: none}\n  alpha: *z\n  eccentricity:", 1)
	study, output := writeStudy(t, text)
	f := newFakePlatform(t, statusOf(api.BatchCompleted, 2, 0, 0))
	r := row(0, api.JobCompleted, api.OutcomeCompleted, "")
	r.Parameters = map[string]float64{"eccentricity": 0.5, "zeta": 1.5, "alpha": 2.5}
	f.rows = []api.RunRow{r}
	for _, args := range [][]string{{"run", study, "--output", output}, {"sample", study}} {
		stdout, _, _ := lynxctl(t.Context(), t, f, args...)
		fields := strings.Join(strings.Fields(stdout), " ")
		if !strings.Contains(fields, "run zeta alpha eccentricity") {
			t.Errorf("%s:\n%s", args[0], stdout)
		}
	}
}
