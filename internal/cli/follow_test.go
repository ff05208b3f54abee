package cli

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tetryx/lynx-runner/api"
)

// failing is a platform whose batch has so many failed jobs; it counts what it is
// asked for.
type failing struct {
	mu        sync.Mutex
	failed    int
	timeouts  int
	refuse    bool
	questions int
	items     int
}

func (f *failing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.questions++
	if f.refuse {
		http.Error(w, "no", http.StatusInternalServerError)
		return
	}
	q := r.URL.Query()
	limit := 100 // the platform's default
	if text := q.Get("limit"); text != "" {
		_, _ = fmt.Sscan(text, &limit)
	}
	state, n := api.JobState(q.Get("status")), f.failed
	if state == api.JobTimeout {
		n = f.timeouts
	}
	page := api.Page[api.Job]{}
	for i := range min(n, limit) {
		message, outcome := "it \x1b[31mfailed", api.OutcomeNonzeroExit
		page.Items = append(page.Items, api.Job{
			JobID: fmt.Sprintf("%s-%d", state, i), RunConfig: api.RunConfig{RunID: fmt.Sprint(i)}, Status: state, Outcome: &outcome, ErrorMessage: &message,
		})
	}
	if n > limit {
		next := "more"
		page.NextCursor = &next
	}
	f.items += len(page.Items)
	reply(w, http.StatusOK, page)
}

// notes is a progress that keeps what it is told.
type notes []string

func (n *notes) update(*api.BatchStatus) {}
func (n *notes) note(line string)        { *n = append(*n, line) }
func (n *notes) done()                   {}

func failingFollower(t *testing.T) (*failing, *follower, *notes) {
	f := &failing{}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	client, err := api.NewClient(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	shown := &notes{}
	return f, &follower{client: client, batch: "b1", show: shown}, shown
}

func (f *failing) set(failed, timeouts int) *api.BatchStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failed, f.timeouts = failed, timeouts
	return progressOf(100_000, 0, failed+timeouts, 2)
}

func TestFailuresAreToldOnce(t *testing.T) {
	f, follow, shown := failingFollower(t)
	follow.tellFailures(t.Context(), f.set(0, 0))
	if f.questions != 0 {
		t.Error("asked although nothing has failed")
	}
	follow.tellFailures(t.Context(), f.set(2, 0))
	follow.tellFailures(t.Context(), f.set(2, 0))
	follow.tellFailures(t.Context(), f.set(2, 1))
	failed, timeout := `: nonzero_exit: it \x1b[31mfailed`, ""
	want := notes{"run 0" + failed, "run 1" + failed, "run 0" + failed + timeout}
	if diff := cmp.Diff(want, *shown); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestManyFailuresAreCheap: a batch with 50,000 failures costs a few small
// questions, and the tenth is not the last that a person hears of.
func TestManyFailuresAreCheap(t *testing.T) {
	f, follow, shown := failingFollower(t)
	for n := 1; n <= 50_000; n += 7 {
		follow.tellFailures(t.Context(), f.set(n, n/10))
	}
	if f.questions > 2*(failureNotes+1) || f.items > 2*(failureNotes+1)*(failureNotes+1) {
		t.Errorf("%d questions with %d items", f.questions, f.items)
	}
	if len(*shown) != failureNotes+1 || !strings.Contains((*shown)[failureNotes], "further failures") {
		t.Errorf("%d notes:\n%s", len(*shown), strings.Join(*shown, "\n"))
	}
}

// TestATroubledQuestionIsAskedAgain: a failure that could not be told is told
// with the next status, although nothing else failed.
func TestATroubledQuestionIsAskedAgain(t *testing.T) {
	f, follow, shown := failingFollower(t)
	f.refuse = true
	follow.tellFailures(t.Context(), f.set(1, 0))
	f.refuse = false
	follow.tellFailures(t.Context(), f.set(1, 0))
	if len(*shown) != 1 {
		t.Errorf("notes %q", *shown)
	}
}
