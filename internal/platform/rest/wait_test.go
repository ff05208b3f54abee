package rest_test

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/platform/rest"
)

// The answer is held back until the batch has changed.
func TestWaitForProgress(t *testing.T) {
	w := start(t)
	s := w.session("r")
	id := w.submit()
	first := decode[api.BatchStatus](t, w.get("/batches/"+id), 200)
	changed := make(chan answer)
	go func() {
		changed <- w.get("/batches/" + id + "?wait=60&revision=" + strconv.FormatUint(first.Revision, 10))
	}()
	w.claim(s, 1)
	got := decode[api.BatchStatus](t, <-changed, 200)
	if got.Revision <= first.Revision || got.JobsByStatus[api.JobClaimed] != 1 || got.Batch.Status != api.BatchRunning {
		t.Errorf("answer %+v", got)
	}
}

// An older revision, and a batch that is over, are answered at once.
func TestWaitThatIsOverAlready(t *testing.T) {
	w := start(t)
	id := w.submit()
	began := time.Now()
	decode[api.BatchStatus](t, w.get("/batches/"+id+"?wait=60&revision=0"), 200)
	over := decode[api.BatchStatus](t, w.post("/batches/"+id+"/cancel"), 200)
	if over.Batch.Status != api.BatchCancelled || over.Batch.CancelledJobs != 3 {
		t.Fatalf("cancelled batch %+v", over.Batch)
	}
	got := decode[api.BatchStatus](t, w.get("/batches/"+id+"?wait=60&revision="+strconv.FormatUint(over.Revision, 10)), 200)
	if got.Revision != over.Revision {
		t.Errorf("revision %d, want %d", got.Revision, over.Revision)
	}
	if time.Since(began) > 55*time.Second {
		t.Error("an answer that was there was held back")
	}
}

// A wait that runs out gives the batch as it is.
func TestWaitThatRunsOut(t *testing.T) {
	w := start(t)
	id := w.submit()
	first := decode[api.BatchStatus](t, w.get("/batches/"+id), 200)
	got := decode[api.BatchStatus](t, w.get("/batches/"+id+"?wait=1&revision="+strconv.FormatUint(first.Revision, 10)), 200)
	if got.Revision != first.Revision {
		t.Errorf("revision %d, want %d", got.Revision, first.Revision)
	}
}

// The typed client and the platform speak of the same things.
func TestClient(t *testing.T) {
	w := start(t)
	c, err := api.NewClient(w.srv.URL, api.WithToken(token))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx := t.Context()
	sub, err := c.Submit(ctx, []byte(text), api.YAML)
	if err != nil {
		t.Fatal(err)
	}
	if sub.TotalJobs != 3 || sub.Seed != 42 || len(sub.Warnings) != 1 {
		t.Errorf("submission %+v", sub)
	}
	s := w.session("r")
	w.report(s, w.claim(s, 1)[0], completed())
	st, err := c.WaitBatch(ctx, sub.BatchID, 1, 10*time.Second)
	if err != nil || st.JobsByStatus[api.JobCompleted] != 1 {
		t.Errorf("batch %+v, %v", st, err)
	}
	var rows []api.RunRow
	for row, err := range c.AllBatchResults(ctx, sub.BatchID) {
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
	if len(rows) != 3 || rows[0].Metrics["final.radius_km"] != 7000.5 {
		t.Errorf("rows %+v", rows)
	}
	if r, err := c.Drain(ctx, "r"); err != nil || r.Status != api.RunnerMaintenance {
		t.Errorf("drained %+v, %v", r, err)
	}
}

// A study without a seed gets one that survives JSON: 2^53 - 1 here.
func TestSeedIsExact(t *testing.T) {
	w := start(t)
	a := w.do("POST", "/jobs", strings.Replace(text, ", seed: 42", "", 1), media(api.YAML))
	if sub := decode[api.Submission](t, a, 201); sub.Seed != 9007199254740991 {
		t.Errorf("seed %d", sub.Seed)
	}
	var loose map[string]any
	if err := json.Unmarshal([]byte(a.body), &loose); err != nil {
		t.Fatal(err)
	}
	if loose["seed"] != float64(9007199254740991) {
		t.Errorf("seed as a float is %v", loose["seed"])
	}
}

func TestOpenAPI(t *testing.T) {
	w := start(t)
	a := w.get("/openapi.json")
	if a.status != 200 || a.header.Get("Content-Type") != "application/openapi+json" {
		t.Fatalf("%d %s", a.status, a.header.Get("Content-Type"))
	}
	var doc struct {
		OpenAPI    string
		Info       struct{ Version string }
		Paths      map[string]map[string]map[string]any
		Components struct{ Schemas map[string]map[string]any }
	}
	if err := json.Unmarshal([]byte(a.body), &doc); err != nil {
		t.Fatal(err)
	}
	var calls []string
	for path, methods := range doc.Paths {
		for method, op := range methods {
			calls = append(calls, strings.ToUpper(method)+" "+path)
			responses, _ := op["responses"].(map[string]any)
			def, _ := json.Marshal(responses["default"])
			if len(responses) < 2 || responses["200"] == nil && responses["201"] == nil || !strings.Contains(string(def), "#/components/schemas/Problem") {
				t.Errorf("%s %s: responses %v", method, path, responses)
			}
		}
	}
	slices.Sort(calls)
	want := []string{
		"GET /batches", "GET /batches/{batch_id}", "GET /batches/{batch_id}/events", "GET /batches/{batch_id}/results", "GET /events",
		"GET /healthz", "GET /jobs", "GET /jobs/{job_id}", "GET /jobs/{job_id}/artifacts", "GET /jobs/{job_id}/artifacts/{name}",
		"GET /jobs/{job_id}/logs/{stream}", "GET /jobs/{job_id}/results", "GET /jobs/{job_id}/telemetry", "GET /jobs/{job_id}/telemetry/live",
		"GET /runners", "GET /runners/{runner_id}", "POST /batches/{batch_id}/cancel", "POST /batches/{batch_id}/retry", "POST /jobs",
		"POST /jobs/{job_id}/cancel", "POST /jobs/{job_id}/retry", "POST /runners/{runner_id}/drain", "POST /runners/{runner_id}/resume",
	}
	if !slices.Equal(calls, want) {
		t.Errorf("calls %q", calls)
	}
	if doc.OpenAPI != "3.1.0" || doc.Info.Version != "1.2.3" {
		t.Errorf("OpenAPI %s of version %s", doc.OpenAPI, doc.Info.Version)
	}
	body, _ := json.Marshal(doc.Paths["/jobs"]["post"]["requestBody"])
	if s := string(body); !strings.Contains(s, api.YAML) || !strings.Contains(s, api.JSON) || strings.Contains(s, "octet-stream") {
		t.Errorf("body of POST /jobs: %s", s)
	}
	if _, ok := doc.Components.Schemas["ErrorModel"]; ok {
		t.Error("a form of errors is documented that no answer has")
	}
}

// The study that the document shows is accepted.
func TestDocumentedStudyIsOne(t *testing.T) {
	w := start(t)
	example, err := json.Marshal(rest.Document().Paths["/jobs"].Post.RequestBody.Content[api.JSON].Example)
	if err != nil {
		t.Fatal(err)
	}
	got := decode[api.Submission](t, w.do("POST", "/jobs", string(example), media(api.JSON)), 201)
	if got.TotalJobs != 5 || got.Seed != 42 || len(got.Warnings) != 0 {
		t.Errorf("submission %+v", got)
	}
}
