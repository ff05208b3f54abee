package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tetryx/lynx-runner/api"
)

// The SHA-256 of "abc".
const abcSum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

func bytesOf(body, sum string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("ETag", `"`+sum+`"`)
		_, _ = io.WriteString(w, body)
	}
}

func TestDownload(t *testing.T) {
	end := listen(t, bytesOf("abc", abcSum))
	d, err := end.client.Download(t.Context(), "j", "a b/ü#?.csv", 2)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	data, err := io.ReadAll(d)
	if string(data) != "abc" || err != nil || d.Size != 3 || d.SHA256 != abcSum {
		t.Errorf("%q, %v, %+v", data, err, d)
	}
	if got := (<-end.seen).URI; got != "/jobs/j/artifacts/a%20b%2F%C3%BC%23%3F.csv?attempt=2" {
		t.Errorf("request %s", got)
	}
}

func TestDownloadOfOtherBytes(t *testing.T) {
	d, err := listen(t, bytesOf("abd", abcSum)).client.Download(t.Context(), "j", "x", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if data, err := io.ReadAll(d); !errors.Is(err, api.ErrCorrupt) {
		t.Errorf("%q, %v", data, err)
	}
}

func TestDownloadThatBreaksOff(t *testing.T) {
	end := listen(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10")
		_, _ = io.WriteString(w, "abc")
	})
	d, err := end.client.Download(t.Context(), "j", "x", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := io.ReadAll(d); !errors.Is(err, api.ErrUnreachable) {
		t.Errorf("%v", err)
	}
}

func TestStreamsThatAreRefused(t *testing.T) {
	end := listen(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", api.ProblemType)
		w.WriteHeader(404)
		_ = json.NewEncoder(w).Encode(api.Problem{Detail: "it lies elsewhere"})
	})
	calls := map[string]func(context.Context, *api.Client) error{
		"download": func(ctx context.Context, c *api.Client) error {
			_, err := c.Download(ctx, "j", "x", 0)
			return err
		},
		"logs": func(ctx context.Context, c *api.Client) error {
			_, err := c.Logs(ctx, "j", api.LogQuery{})
			return err
		},
		"telemetry": func(ctx context.Context, c *api.Client) error {
			for _, err := range c.FollowTelemetry(ctx, "j", 0) {
				return err
			}
			return nil
		},
		"events": func(ctx context.Context, c *api.Client) error {
			for _, err := range c.Events(ctx, api.EventQuery{}) {
				return err
			}
			return nil
		},
	}
	for name, call := range calls {
		p, ok := errors.AsType[*api.Problem](call(t.Context(), end.client))
		if !ok || p.Status != 404 || p.Detail != "it lies elsewhere" {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

func TestLogs(t *testing.T) {
	end := listen(t, bytesOf("one\x1b[2J\n", ""))
	for _, c := range []struct {
		q    api.LogQuery
		want string
	}{
		{api.LogQuery{}, "/jobs/j/logs/stdout"},
		{api.LogQuery{Stream: api.Stderr, Attempt: 3, Follow: true}, "/jobs/j/logs/stderr?attempt=3&follow=true"},
	} {
		log, err := end.client.Logs(t.Context(), "j", c.q)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(log)
		log.Close()
		if string(data) != "one\x1b[2J\n" || err != nil {
			t.Errorf("%q, %v", data, err)
		}
		if got := (<-end.seen).URI; got != c.want {
			t.Errorf("request %s, want %s", got, c.want)
		}
	}
}

func TestTelemetryQuery(t *testing.T) {
	from, to := -1.5, 1e-3
	end := listen(t, reply(json.RawMessage(`{"job_id":"j","attempt":1,"variables":[{"name":"h","times":[0,1],"values":[null,2]}]}`)))
	got, err := end.client.Telemetry(t.Context(), "j", api.TelemetryQuery{Attempt: 1, Variables: []string{"h", "é v"}, From: &from, To: &to, MaxPoints: 9})
	if err != nil {
		t.Fatal(err)
	}
	if v := got.Variables[0].Values; len(v) != 2 || !math.IsNaN(float64(v[0])) || v[1] != 2 {
		t.Errorf("values %v", v)
	}
	if got := (<-end.seen).URI; got != "/jobs/j/telemetry?attempt=1&from=-1.5&max_points=9&to=0.001&variables=h%2C%C3%A9+v" {
		t.Errorf("request %s", got)
	}
}

func TestNumbers(t *testing.T) {
	text, err := json.Marshal([]api.Number{1.5, api.Number(math.NaN()), api.Number(math.Inf(-1))})
	if err != nil || string(text) != "[1.5,null,null]" {
		t.Errorf("%s, %v", text, err)
	}
	var n api.Number
	if err := json.Unmarshal([]byte(`"1"`), &n); err == nil {
		t.Error("a text became a number")
	}
}

// events answers with a text as server-sent events.
func events(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, text)
	}
}

func TestEvents(t *testing.T) {
	var last string
	end := listen(t, func(w http.ResponseWriter, r *http.Request) {
		last = r.Header.Get("Last-Event-ID")
		events(":\nid: 1-1\n\nid: 1-2\nevent: batch\ndata: {\"revision\":\ndata: 7}\n\n"+
			"event: job\ndata:{\"job_id\":\"j\"}\n\nevent: invented\ndata: {}\n\nid: 1-9\nevent: runner\ndata: {\"runner_id\":\"r\"}\n\n"+
			"event: reset\ndata: {\"reason\":\"x\"}\n\nevent: job\ndata: cut")(w, r)
	})
	var got []string
	var err error
	for e, failed := range end.client.Events(t.Context(), api.EventQuery{BatchID: "b", LastEventID: "1-0"}) {
		if failed != nil {
			err = failed
			break
		}
		switch {
		case e.Batch != nil:
			got = append(got, fmt.Sprint(e.ID, " batch ", e.Batch.Revision))
		case e.Job != nil:
			got = append(got, e.ID+" job "+e.Job.JobID)
		case e.Runner != nil:
			got = append(got, e.ID+" runner "+e.Runner.RunnerID)
		case e.Reset:
			got = append(got, e.ID+" reset")
		}
	}
	if diff := cmp.Diff([]string{"1-2 batch 7", "1-2 job j", "1-9 runner r", "1-9 reset"}, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if !errors.Is(err, api.ErrUnreachable) || last != "1-0" {
		t.Errorf("%v; Last-Event-ID %q", err, last)
	}
	if got := (<-end.seen).URI; got != "/events?batch_id=b" {
		t.Errorf("request %s", got)
	}
}

func TestEventsThatAreNotJSON(t *testing.T) {
	end := listen(t, events("event: job\ndata: {\n\n"))
	n := 0
	for _, err := range end.client.Events(t.Context(), api.EventQuery{}) {
		n++
		if err == nil || errors.Is(err, api.ErrUnreachable) {
			t.Errorf("error %v", err)
		}
	}
	if n != 1 {
		t.Errorf("%d items, want 1", n)
	}
}

func TestFollowTelemetry(t *testing.T) {
	const chunk = "event: telemetry\ndata: {\"samples\":[{\"time_seconds\":1,\"values\":[{\"name\":\"h\",\"value\":null,\"unit\":\"km\"}]}],\"dropped_samples\":2}\n\n"
	for _, c := range []struct {
		text string
		ends bool
	}{
		{chunk + ":\n\n" + chunk + "event: end\ndata: {}\n\n" + chunk, true},
		{chunk + chunk, false},
	} {
		chunks := 0
		var last error
		for got, err := range listen(t, events(c.text)).client.FollowTelemetry(t.Context(), "j", 0) {
			if last = err; err != nil {
				continue
			}
			chunks++
			if got.DroppedSamples != 2 || got.Samples[0].Values[0].Unit != "km" {
				t.Errorf("chunk %+v", got)
			}
		}
		if chunks != 2 || (last == nil) != c.ends || last != nil && !errors.Is(last, api.ErrUnreachable) {
			t.Errorf("%d chunks, then %v", chunks, last)
		}
	}
}

func TestEventThatIsTooLong(t *testing.T) {
	end := listen(t, events("data: "+strings.Repeat("x", 17<<20)))
	for _, err := range end.client.Events(t.Context(), api.EventQuery{}) {
		if err == nil {
			t.Error("no error")
		}
	}
}
