package rest_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/platform/rest"
)

// expect reads events until one of the name comes that suits, and returns it.
func expect(t *testing.T, r *bufio.Reader, name string, suits func(data string) bool) event {
	t.Helper()
	for range 1000 {
		e, ok := nextEvent(t, r)
		if !ok {
			t.Fatalf("the stream ended before an event %s", name)
		}
		if e.id == "" {
			t.Errorf("event without an id: %+v", e)
		}
		if e.name == name && suits(e.data) {
			return e
		}
	}
	t.Fatalf("no event %s that suits", name)
	return event{}
}

func has(part string) func(string) bool {
	return func(data string) bool { return strings.Contains(data, part) }
}

func TestEventsOfABatch(t *testing.T) {
	w := start(t)
	s := w.session("runner-a")
	id := w.submit() // id-2, jobs from id-3
	for _, path := range []string{"/batches/" + id + "/events", "/events?batch_id=" + id} {
		res, r := w.open(path)
		if got := res.Header.Get("Content-Type"); res.StatusCode != 200 || got != "text/event-stream" {
			t.Fatalf("%s %s", res.Status, got)
		}
		first, _ := nextEvent(t, r)
		var b api.BatchStatus
		if err := json.Unmarshal([]byte(first.data), &b); err != nil || first.name != "batch" || b.Batch.BatchID != id {
			t.Errorf("first event %+v, %v", first, err)
		}
		other := w.submit()
		a := w.claim(s, 1)[0]
		job := expect(t, r, "job", has(`"status":"Claimed"`))
		var j api.Job
		if err := json.Unmarshal([]byte(job.data), &j); err != nil || a.GetAttemptId() != j.JobID+"-1" || j.RunConfig.Parameters["mass_kg"] != 2.5 {
			t.Errorf("job %+v, %v", j, err)
		}
		expect(t, r, "batch", has(`"Claimed":1`))
		w.report(s, a, leaves("completed"))
		for e := range eventsUntil(t, r, `"Completed":`) {
			if strings.Contains(e.data, other) || e.name == "runner" {
				t.Errorf("an event of something else: %+v", e)
			}
		}
	}
}

// eventsUntil yields events up to a batch event whose data has the text.
func eventsUntil(t *testing.T, r *bufio.Reader, text string) func(func(event) bool) {
	return func(yield func(event) bool) {
		for {
			e, ok := nextEvent(t, r)
			if !ok {
				t.Error("the stream ended")
				return
			}
			if !yield(e) || e.name == "batch" && strings.Contains(e.data, text) {
				return
			}
		}
	}
}

func TestEventsOfEverything(t *testing.T) {
	w := start(t)
	w.session("runner-a")
	_, r := w.open("/events")
	if e, _ := nextEvent(t, r); e.name != "runner" || !strings.Contains(e.data, `"runner_id":"runner-a"`) {
		t.Errorf("first event %+v", e)
	}
	s := w.session("runner-b")
	expect(t, r, "runner", has("runner-b"))
	id := w.submit()
	expect(t, r, "batch", has(id))
	w.claim(s, 1)
	expect(t, r, "job", has(`"assigned_runner":"runner-b"`))
	w.post("/runners/runner-a/drain")
	expect(t, r, "runner", has(`"status":"Maintenance"`))
	w.post("/batches/" + id + "/cancel")
	expect(t, r, "reset", has(id))
	expect(t, r, "batch", has(`"cancel_requested":true`))
}

// A client that comes back with its last id misses nothing, and gets nothing that
// it has.
func TestEventsGoOn(t *testing.T) {
	w := start(t)
	s := w.session("runner-a")
	id := w.submit()
	path := "/batches/" + id + "/events"
	_, r := w.open(path)
	w.claim(s, 1)
	last := expect(t, r, "batch", has(`"Claimed":1`))
	w.claim(s, 1) // while nobody listens
	_, r = w.open(path, header("Last-Event-ID", last.id))
	jobs := 0
	for e := range eventsUntil(t, r, `"Claimed":2,`) {
		switch e.name {
		case "reset":
			t.Errorf("nothing was missed: %+v", e)
		case "job":
			jobs++
			if !strings.Contains(e.data, `"job_id":"id-4"`) {
				t.Errorf("event %+v", e)
			}
		}
	}
	if jobs != 0 { // the batch comes first, as it is, then what changed
		t.Errorf("%d jobs before the batch", jobs)
	}
	expect(t, r, "job", has(`"job_id":"id-4"`))
}

// One who was away for too long is told to look for himself.
func TestEventsThatWereMissed(t *testing.T) {
	w := start(t)
	id := w.submit()
	for _, last := range []string{"1-99", "7-0"} {
		_, r := w.open("/batches/"+id+"/events", header("Last-Event-ID", last))
		reset := expect(t, r, "reset", has("reason"))
		if reset.id == last {
			t.Errorf("the id is still %s", last)
		}
		expect(t, r, "batch", has(id))
	}
	for _, last := range []string{"x", "1", "-1-2", strings.Repeat("1", 65)} {
		p := problem(t, w.do("GET", "/events", "", header("Last-Event-ID", last)), http.StatusUnprocessableEntity)
		if len(p.Errors) != 1 || !strings.EqualFold(p.Errors[0].Path, "header.Last-Event-ID") {
			t.Errorf("%q: %+v", last, p.Errors)
		}
	}
	problem(t, w.get("/events?batch_id=none"), 404)
	problem(t, w.get("/batches/none/events"), 404)
}

// A stream with nothing to say shows that it lives, and that a runner does not.
func TestHeartbeats(t *testing.T) {
	w := start(t, func(o *rest.Options) { o.Heartbeat = time.Millisecond })
	w.session("runner-a")
	_, r := w.open("/events")
	expect(t, r, "runner", has(`"status":"Idle"`))
	beats := 0
	for beats < 3 {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if line == ":\n" {
			beats++
		}
	}
	w.advance(time.Hour)
	expect(t, r, "runner", has(`"status":"Offline"`))
}

// A client that reads nothing keeps nobody waiting, and has the latest state when
// it reads again.
func TestSlowReader(t *testing.T) {
	w := start(t)
	s := w.session("runner-a")
	id := w.submit()
	_, r := w.open("/events?batch_id=" + id)
	for range 100 { // changes, of which the stream has no part
		w.submit()
	}
	for _, a := range w.claim(s, 3) {
		w.report(s, a, leaves("completed"))
	}
	e := expect(t, r, "batch", has(`"Completed":3`))
	if !strings.Contains(e.data, `"status":"Completed"`) {
		t.Errorf("event %+v", e)
	}
}

// Every stream ends when its client does and when the server stops: goleak looks
// at what is left.
func TestStreamsEnd(t *testing.T) {
	w := start(t)
	id := w.submit()
	var readers []*bufio.Reader
	for range 5 {
		_, r := w.open("/batches/" + id + "/events")
		expect(t, r, "batch", has(id))
		readers = append(readers, r)
	}
	w.srv.CloseClientConnections()
	for _, r := range readers {
		if _, err := io.ReadAll(r); err == nil {
			t.Error("a stream that was cut ended well")
		}
	}
	if a := w.do(http.MethodHead, "/events", ""); a.status != 200 {
		t.Errorf("HEAD: %d", a.status)
	}
}

func TestClientOfEvents(t *testing.T) {
	w := start(t)
	s := w.session("runner-a")
	id := w.submit()
	var seen []string
	var last string
	for e, err := range w.client().Events(t.Context(), api.EventQuery{BatchID: id}) {
		if err != nil {
			t.Fatal(err)
		}
		last = e.ID
		if e.Batch != nil {
			seen = append(seen, fmt.Sprint(e.Batch.JobsByStatus[api.JobClaimed]))
			if len(seen) == 1 {
				w.claim(s, 2)
				continue
			}
			break
		}
	}
	if len(seen) != 2 || seen[0] != "0" || seen[1] != "2" || last == "" {
		t.Errorf("claimed jobs in batch events: %v, last id %q", seen, last)
	}
}
