package api_test

import (
	"errors"
	"net/http"
	"strconv"
	"testing"

	"github.com/tetryx/lynx-runner/api"
)

// pages serves n rows, size a page; the cursor is the index of the next row.
func pages(n, size int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		from, _ := strconv.Atoi(r.FormValue("cursor"))
		p := api.BatchResults{}
		for i := from; i < min(from+size, n); i++ {
			p.Items = append(p.Items, api.RunRow{RunIndex: i})
		}
		if from+size < n {
			next := strconv.Itoa(from + size)
			p.NextCursor = &next
		}
		reply(&p)(w, r)
	}
}

func TestAllBatchResults(t *testing.T) {
	for _, c := range []struct{ n, size, calls int }{{0, 3, 1}, {3, 3, 1}, {7, 3, 3}} {
		end := listen(t, pages(c.n, c.size))
		want := 0
		for row, err := range end.client.AllBatchResults(t.Context(), "b") {
			if err != nil {
				t.Fatal(err)
			}
			if row.RunIndex != want {
				t.Fatalf("row %d, want %d", row.RunIndex, want)
			}
			want++
		}
		if want != c.n || len(end.seen) != c.calls {
			t.Errorf("%d rows in %d calls, want %d in %d", want, len(end.seen), c.n, c.calls)
		}
	}
}

func TestAllBatchResultsStopsWhenToldTo(t *testing.T) {
	end := listen(t, pages(100, 10))
	for range end.client.AllBatchResults(t.Context(), "b") {
		break
	}
	if len(end.seen) != 1 {
		t.Errorf("%d calls, want 1", len(end.seen))
	}
}

func TestAllJobsKeepsTheFilterAndEndsWithTheError(t *testing.T) {
	next := "2"
	end := listen(t, func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("cursor") != "" {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		reply(&api.Page[api.Job]{Items: []api.Job{{JobID: "a"}, {JobID: "b"}}, NextCursor: &next})(w, r)
	})
	var jobs []string
	var last error
	for job, err := range end.client.AllJobs(t.Context(), api.JobFilter{BatchID: "x", Status: api.JobFailed}) {
		if err == nil {
			jobs = append(jobs, job.JobID)
		}
		last = err
	}
	if p, ok := errors.AsType[*api.Problem](last); !ok || p.Status != 500 || len(jobs) != 2 {
		t.Errorf("jobs %v, then %v", jobs, last)
	}
	for _, want := range []string{"/jobs?batch_id=x&status=Failed", "/jobs?batch_id=x&cursor=2&status=Failed"} {
		if got := (<-end.seen).URI; got != want {
			t.Errorf("request %s, want %s", got, want)
		}
	}
}

func TestStates(t *testing.T) {
	terminal := 0
	for _, s := range api.JobStates() {
		if s.Terminal() {
			terminal++
		}
	}
	if len(api.JobStates()) != 7 || terminal != 4 {
		t.Errorf("%d states, %d of them terminal", len(api.JobStates()), terminal)
	}
	for s, want := range map[api.BatchState]bool{
		api.BatchPending: false, api.BatchRunning: false,
		api.BatchCompleted: true, api.BatchFailed: true, api.BatchCancelled: true,
	} {
		if s.Terminal() != want {
			t.Errorf("%s: terminal %v", s, !want)
		}
	}
	if !api.OutcomeSignaled.Known() || api.Outcome("melted").Known() {
		t.Error("known outcomes are wrong")
	}
	if !api.OutcomeOutOfMemory.Retryable() || api.OutcomeTimeout.Retryable() || api.OutcomeInfrastructure.Retryable() {
		t.Error("retryable outcomes are wrong")
	}
}
