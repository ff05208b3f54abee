package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tetryx/lynx-runner/api"
)

// resultsOf serves the results of a batch in pages as the platform does, and
// fails at a row, if there is such.
func resultsOf(t *testing.T, total, failAt int, row func(int) api.RunRow) *report {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /batches/b1/results", func(w http.ResponseWriter, r *http.Request) {
		from, _ := strconv.Atoi(r.URL.Query().Get("cursor"))
		limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
		if err != nil || limit < 1 || limit > 1000 {
			http.Error(w, "limit", http.StatusBadRequest)
			return
		}
		page := api.BatchResults{BatchID: "b1", Units: map[string]string{"e": "km"}}
		for i := from; i < min(from+limit, total); i++ {
			if i == failAt {
				http.Error(w, "no", http.StatusInternalServerError)
				return
			}
			page.Items = append(page.Items, row(i))
		}
		if next := from + limit; next < total {
			cursor := strconv.Itoa(next)
			page.NextCursor = &cursor
		}
		reply(w, http.StatusOK, page)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	client, err := api.NewClient(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	ended := began.Add(90 * time.Second)
	return &report{
		client: client, dir: "out/b1",
		status: &api.BatchStatus{Batch: api.Batch{
			BatchID: "b1", Name: "Orbit\x1b", TotalJobs: total, SamplingMethod: "latin_hypercube", Seed: 7, CreatedAt: began, CompletedAt: &ended,
		}},
	}
}

// every fails each n-th run.
func every(n int) func(int) api.RunRow {
	return func(i int) api.RunRow {
		outcome, state, message := api.OutcomeCompleted, api.JobCompleted, ""
		if n > 0 && i%n == n-1 {
			outcome, state, message = api.OutcomeNonzeroExit, api.JobFailed, fmt.Sprintf("Because of %d.", i/2*2)
		}
		began := time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC)
		return api.RunRow{
			RunIndex: i, Status: state, Outcome: &outcome, ErrorMessage: &message, Attempt: 1, StartedAt: &began,
			Parameters: map[string]float64{"e": float64(i) / 8}, Directory: fmt.Sprintf("/out/b1/%05d/attempt-1", i),
		}
	}
}

// TestReportOfALargeBatch has few lines, whatever the batch, and says which runs
// these are.
func TestReportOfALargeBatch(t *testing.T) {
	for name, tc := range map[string]struct {
		total, every int
		rows         int // in the table
		says         []string
	}{
		"few, all shown":       {60, 7, 60, []string{"60 runs in 1m30s: 52 completed, 8 nonzero_exit"}},
		"all completed":        {1200, 0, 10, []string{"(the first 10 of 1200 runs; all completed; --json prints all)"}},
		"some failed":          {1200, 100, 12, []string{"(the 12 of 1200 runs that did not complete", "… and more that did not complete"}},
		"more failed than fit": {1200, 2, 60, []string{"(the first 60 of 600 runs that did not complete", "1200 runs in 1m30s: 600 completed, 600 nonzero_exit"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := resultsOf(t, tc.total, -1, every(tc.every))
			var out strings.Builder
			if err := r.write(t.Context(), &out); err != nil {
				t.Fatal(err)
			}
			text := out.String()
			for _, want := range append(tc.says, `Orbit\x1b: `+strconv.Itoa(tc.total)+" runs, latin hypercube sampling, seed 7", "Files: out/b1/<run>/attempt-<n>/", "e [km]") {
				if !strings.Contains(text, want) {
					t.Errorf("no %q in:\n%s", want, text)
				}
			}
			// Each failure has two lines, and a row.
			if n := strings.Count(text, "\n"); n > tc.rows+10+2*failureNotes {
				t.Errorf("%d lines:\n%s", n, text)
			}
			if n := strings.Count(text, "completed\n") + strings.Count(text, "nonzero_exit\n"); n < tc.rows {
				t.Errorf("%d rows in the table, want %d:\n%s", n, tc.rows, text)
			}
			if strings.Count(text, "/attempt-1/log\n") > failureNotes {
				t.Errorf("more than %d failures are told:\n%s", failureNotes, text)
			}
		})
	}
}

// TestResultsKeepFewRows: a batch may be larger than the memory.
func TestResultsKeepFewRows(t *testing.T) {
	var r results
	for i := range 100_000 {
		if err := r.add(nil, every(2)(i)); err != nil {
			t.Fatal(err)
		}
	}
	if kept := len(r.all) + len(r.first) + len(r.bad); kept > 2*tableRows {
		t.Errorf("%d rows are kept", kept)
	}
	if r.summary() != "50000 completed, 50000 nonzero_exit" {
		t.Errorf("summary %q", r.summary())
	}
}

// TestRunsThatNeverBegan have no row, but are counted.
func TestRunsThatNeverBegan(t *testing.T) {
	r := resultsOf(t, 30, -1, func(i int) api.RunRow {
		if i < 3 {
			return every(0)(i)
		}
		outcome := api.OutcomeCancelled
		return api.RunRow{RunIndex: i, Status: api.JobCancelled, Outcome: &outcome, Parameters: map[string]float64{"e": 1}}
	})
	var out strings.Builder
	if err := r.write(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"(without 27 runs that had not begun)", "27 cancelled, 3 completed"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
	if n := strings.Count(out.String(), "\n"); n > 12 {
		t.Errorf("%d lines:\n%s", n, out.String())
	}
}

// TestJSONOfPages: all rows, in order, valid JSON, also of none.
func TestJSONOfPages(t *testing.T) {
	for _, total := range []int{0, 1, pageRows, pageRows + 1, 3 * pageRows} {
		var out strings.Builder
		if err := resultsOf(t, total, -1, every(3)).writeJSON(t.Context(), &out); err != nil {
			t.Fatal(err)
		}
		var got struct {
			Batch api.Batch         `json:"batch"`
			Units map[string]string `json:"units"`
			Runs  []api.RunRow      `json:"runs"`
		}
		decoder := json.NewDecoder(strings.NewReader(out.String()))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&got); err != nil {
			t.Fatalf("%d runs: %v", total, err)
		}
		if len(got.Runs) != total || got.Runs == nil || got.Units == nil || got.Batch.Name != "Orbit\x1b" {
			t.Errorf("%d runs: got %d, batch %+v", total, len(got.Runs), got.Batch)
		}
		for i, row := range got.Runs {
			if diff := cmp.Diff(every(3)(i), row); diff != "" {
				t.Fatalf("run %d:\n%s", i, diff)
			}
		}
	}
}

// TestAPlatformThatFailsHalfWay: both reports end with an error that is not the
// study's.
func TestAPlatformThatFailsHalfWay(t *testing.T) {
	r := resultsOf(t, 3*pageRows, 2*pageRows, every(0))
	var out strings.Builder
	for _, err := range []error{r.write(t.Context(), &out), r.writeJSON(t.Context(), &out)} {
		var status *ExitError
		if !errors.As(err, &status) || status.Status != ExitUnreachable {
			t.Errorf("error %v", err)
		}
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// TestFailuresAlike are told once; those that never ran have no logs to look at.
func TestFailuresAlike(t *testing.T) {
	r := resultsOf(t, 40, -1, func(i int) api.RunRow {
		row := every(1)(i)
		*row.ErrorMessage, row.StartedAt = "no image", nil
		if i == 7 {
			row = every(1)(i)
		}
		return row
	})
	var out strings.Builder
	if err := r.write(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	_, tail, _ := strings.Cut(out.String(), "40 nonzero_exit\n")
	want := `run 0 (and 38 more like it): nonzero_exit: no image
run 7: nonzero_exit: Because of 6.
    /out/b1/00007/attempt-1/log
Files: out/b1/<run>/attempt-<n>/
`
	if diff := cmp.Diff(want, tail); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOutputThatCannotBeWritten(t *testing.T) {
	r := resultsOf(t, 3, -1, every(0))
	for _, err := range []error{r.write(t.Context(), fullDisk{}), r.writeJSON(t.Context(), fullDisk{})} {
		if err == nil || !strings.Contains(err.Error(), "no space") {
			t.Errorf("error %v", err)
		}
	}
}

func TestFormatter(t *testing.T) {
	for _, tc := range []struct {
		values []float64
		want   []string
	}{
		{[]float64{6999418.9, 7027994.25}, []string{"6999419", "7027994"}},
		{[]float64{0.00153775432, 0.000543}, []string{"0.00153775", "0.00054300"}},
		{[]float64{337.6174, 9.5, 0}, []string{"337.617", "9.500", "0.000"}},
		{[]float64{-12, 3, 0}, []string{"-12", "3", "0"}},
		{[]float64{0, 0}, []string{"0", "0"}},
		{[]float64{1.5e-7, 1e-7}, []string{"1.5e-07", "1e-07"}},
		{[]float64{1e6 + 0.5, 0.25}, []string{"1e+06", "0.25"}},
		{[]float64{3.5e12, 1.25e12}, []string{"3500000000000", "1250000000000"}},
		{[]float64{math.NaN(), math.Inf(1), 1.5}, []string{"NaN", "+Inf", "1.50000"}},
		{nil, nil},
	} {
		format := formatter(tc.values)
		for i, v := range tc.values {
			if got := format(v); got != tc.want[i] {
				t.Errorf("%v: %v is %s, want %s", tc.values, v, got, tc.want[i])
			}
		}
	}
}

// TestFormatterKeepsDigits: no number of a column loses more than it should: each
// is within half of the sixth digit of the largest, or of its own.
func TestFormatterKeepsDigits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Float64Range(-1e12, 1e12), 1, 8).Draw(t, "values")
		scale := math.Pow(10, float64(rapid.IntRange(-15, 0).Draw(t, "scale")))
		largest := 0.0
		for i := range values {
			values[i] *= scale
			largest = max(largest, math.Abs(values[i]))
		}
		format := formatter(values)
		for _, v := range values {
			got, err := strconv.ParseFloat(format(v), 64)
			if err != nil || math.Abs(got-v) > max(largest*1e-5, math.SmallestNonzeroFloat64) {
				t.Fatalf("%v in %v is shown as %s", v, values, format(v))
			}
		}
	})
}
