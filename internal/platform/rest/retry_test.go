package rest_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/tetryx/lynx-runner/api"
)

// TestRetry: what was cancelled is run again, what waits is left alone, and what is
// not a state to run again from is named.
func TestRetry(t *testing.T) {
	w := start(t)
	id := w.submit()
	if a := w.post("/jobs/id-2/retry"); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, "Pending") {
		t.Errorf("a job that waits: %d %s", a.status, a.body)
	}
	w.post("/batches/" + id + "/cancel")
	none := decode[api.Retry](t, w.post("/batches/"+id+"/retry"), 200)
	if none.Jobs != 0 || none.Batch.Status != api.BatchCancelled {
		t.Errorf("nothing failed: %+v", none)
	}
	for _, query := range []string{"?status=Completed", "?status=", "?status=Failed,,Timeout", "?status=failed"} {
		if a := w.post("/batches/" + id + "/retry" + query); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, "status") {
			t.Errorf("%s: %d %s", query, a.status, a.body)
		}
	}
	one := decode[api.Job](t, w.post("/jobs/id-2/retry"), 200)
	if one.Status != api.JobPending || one.CancelRequested || one.CompletedAt != nil {
		t.Errorf("job %+v", one)
	}
	all := decode[api.Retry](t, w.post("/batches/"+id+"/retry?status=Failed,Cancelled"), 200)
	if all.Jobs != all.Batch.TotalJobs-1 || all.JobsByStatus[api.JobPending] != all.Batch.TotalJobs || all.Batch.Status != api.BatchPending || all.Batch.CancelRequested {
		t.Errorf("batch %+v", all)
	}
}
