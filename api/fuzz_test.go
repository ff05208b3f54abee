package api

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"
)

// answers is a platform that answers every request the same.
type answers struct {
	status int
	header http.Header
	body   []byte
}

// RoundTrip implements http.RoundTripper.
func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		Status: http.StatusText(a.status), StatusCode: a.status, Header: a.header, Request: r,
		ContentLength: -1, Body: io.NopCloser(bytes.NewReader(a.body)),
	}, nil
}

func client(t *testing.T, a answers) *Client {
	t.Helper()
	if a.header == nil {
		a.header = http.Header{}
	}
	c, err := NewClient("http://platform", WithTransport(a))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// FuzzEvents: whatever comes instead of a stream of events, each event is exactly
// one kind of thing with the id that stands before it, and the error at the end
// is yielded last, once.
func FuzzEvents(f *testing.F) {
	f.Add([]byte("id: 1-2\nevent: job\ndata: {\"job_id\":\"a\"}\n\nid: 1-3\nevent: reset\ndata: {}\n\n"))
	f.Add([]byte(": beat\n\nid: 4-5\n\nevent: batch\ndata: {\"batch_id\":\ndata: \"b\"}\n\nevent: runner\ndata: null\n\n"))
	f.Add([]byte("event: job\ndata: [\n\nevent: job\ndata: {}\n\n"))
	f.Add([]byte("event: from a later version\ndata: x\n\nevent:job\r\ndata:{}\r\n\r\nevent: job"))
	f.Fuzz(func(t *testing.T, body []byte) {
		var last error
		var after bool
		for e, err := range client(t, answers{status: 200, body: body}).Events(t.Context(), EventQuery{}) {
			if after {
				t.Fatal("something follows the error")
			}
			if err != nil {
				last, after = err, true
				continue
			}
			kinds := 0
			for _, is := range []bool{e.Batch != nil, e.Job != nil, e.Runner != nil, e.Reset} {
				if is {
					kinds++
				}
			}
			if kinds != 1 {
				t.Fatalf("%+v is %d kinds of things", e, kinds)
			}
			if e.ID != "" && !bytes.Contains(body, []byte(e.ID)) {
				t.Fatalf("id %q", e.ID)
			}
		}
		var syntax *json.SyntaxError
		var kind *json.UnmarshalTypeError
		if last == nil || !errors.Is(last, ErrUnreachable) && !errors.As(last, &syntax) && !errors.As(last, &kind) && !strings.HasPrefix(last.Error(), "event ") {
			t.Fatalf("it ends with %v", last)
		}
	})
}

// An event is bounded as a whole, not each of its lines alone.
func TestEventsAreBounded(t *testing.T) {
	line := "data: " + strings.Repeat("x", 1<<20) + "\n"
	body := "event: job\n" + strings.Repeat(line, maxEvent>>20+1) + "\n"
	for e, err := range client(t, answers{status: 200, body: []byte(body)}).Events(t.Context(), EventQuery{}) {
		if !errors.Is(err, bufio.ErrTooLong) {
			t.Errorf("%+v, %v", e, err)
		}
	}
}

// FuzzMessage: what is sent as an event is read as that event, in however many
// lines its data are.
func FuzzMessage(f *testing.F) {
	f.Add("1-2", "job", []byte("{\n\"a\": 1}"))
	f.Add("", " x", []byte("\n\n"))
	f.Add("a:b", "reset", []byte(" leading: colon"))
	f.Fuzz(func(t *testing.T, id, event string, data []byte) {
		if strings.ContainsAny(id+event, "\r\n") || event == "" || bytes.ContainsRune(data, '\r') {
			return // no event
		}
		text := "id: " + id + "\nevent: " + event + "\n"
		for line := range bytes.SplitSeq(data, []byte("\n")) {
			text += "data: " + string(line) + "\n"
		}
		var got []message
		for m, err := range client(t, answers{status: 200, body: []byte(text + "\n" + ": more\n")}).messages(t.Context(), "", nil, "events") {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, m)
		}
		if len(got) != 1 || got[0].id != id || got[0].event != event || !bytes.Equal(got[0].data, data) {
			t.Fatalf("%q, %q, %q became %+v", id, event, data, got)
		}
	})
}

// FuzzAnswer: an answer is what was asked for or a problem with the answer's own
// status; nothing that a server says makes the client forget how it went.
func FuzzAnswer(f *testing.F) {
	f.Add(200, JSON, []byte(`{"job_id":"a","attempt":1,"variables":[{"name":"x","times":[1],"values":[null,1e3]}]}`))
	f.Add(404, ProblemType, []byte(`{"type":"about:blank","title":"Not Found","status":200,"detail":"d","errors":[{"path":"query.x","line":1,"column":2,"message":"m"}]}`))
	f.Add(422, ProblemType+"; charset=utf-8", []byte(`{"status":"no number"}`))
	f.Add(502, "text/html", []byte(`<html>`))
	f.Add(302, "\x00", []byte(nil))
	f.Fuzz(func(t *testing.T, status int, kind string, body []byte) {
		status = 200 + int(uint(status)%400)
		c := client(t, answers{status: status, header: http.Header{"Content-Type": {kind}}, body: body})
		got, err := c.Telemetry(t.Context(), "a", TelemetryQuery{})
		var p *Problem
		switch ok := status < 300; {
		case ok && err == nil:
			if got == nil || !json.Valid(body) {
				t.Fatalf("%q is taken", body)
			}
			if _, err := json.Marshal(got); err != nil {
				t.Fatal(err)
			}
		case ok && (errors.As(err, &p) || errors.Is(err, ErrUnreachable)), !ok && !errors.As(err, &p):
			t.Fatalf("status %d: %v", status, err)
		case !ok && (p.Status != status || p.Type == "" || p.Error() == ""):
			t.Fatalf("status %d: %+v", status, p)
		}
	})
}

// FuzzNumber: a number is the same after a round through JSON, or NaN if it is not
// finite.
func FuzzNumber(f *testing.F) {
	f.Add([]byte("null"))
	f.Add([]byte("1e-320"))
	f.Add([]byte(`"NaN"`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var n Number
		if json.Unmarshal(data, &n) != nil {
			return
		}
		text, err := json.Marshal(n)
		var again Number
		if err != nil || json.Unmarshal(text, &again) != nil || n == n && again != n {
			t.Errorf("%q is %v, then %s, then %v; %v", data, n, text, again, err)
		}
	})
}

// FuzzRequest: whatever an id or a name is, the request's path has it as one
// element, and the query is what it is.
func FuzzRequest(f *testing.F) {
	f.Add("job-1", "a b/ü#?.csv")
	f.Add("..", "x")
	f.Add("%2e%2e", "%2F\x00\n")
	f.Add("a/../b", ".")
	f.Fuzz(func(t *testing.T, id, name string) {
		c := client(t, answers{})
		req, err := c.request(t.Context(), http.MethodGet, []string{"jobs", id, "artifacts", name}, url.Values{"batch_id": {id}}, nil)
		if err != nil {
			if utf8.ValidString(id+name) && id != "" && name != "" && strings.Trim(id, ".") != "" && strings.Trim(name, ".") != "" {
				t.Fatalf("%q, %q: %v", id, name, err)
			}
			return
		}
		parsed, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET " + req.URL.RequestURI() + " HTTP/1.1\r\nHost: x\r\n\r\n")))
		if err != nil {
			t.Fatal(err)
		}
		var elements []string
		for e := range strings.SplitSeq(parsed.URL.EscapedPath(), "/") {
			plain, err := url.PathUnescape(e)
			if err != nil {
				t.Fatal(err)
			}
			elements = append(elements, plain)
		}
		if len(elements) != 5 || elements[2] != id || elements[4] != name || parsed.URL.Query().Get("batch_id") != id {
			t.Fatalf("%q, %q became %q", id, name, req.URL)
		}
	})
}
