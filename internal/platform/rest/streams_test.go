package rest_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/platform/live"
	"github.com/tetryx/lynx-runner/internal/platform/rest"
)

func copyAll(w io.Writer, r io.Reader) (int64, error) { return io.Copy(w, r) }

func (w *world) client() *api.Client {
	w.t.Helper()
	c, err := api.NewClient(w.srv.URL, api.WithToken(token))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(c.Close)
	return c
}

// tails is a live source: each watch takes the next of its scripts.
type tails struct {
	mu      sync.Mutex
	scripts []chan live.Item
	errs    []error
	asked   []string
}

func tailing(l *tails) func(*rest.Options) { return func(o *rest.Options) { o.Live = l } }

// add makes a script for one more watch.
func (l *tails) add() chan live.Item {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := make(chan live.Item)
	l.scripts = append(l.scripts, c)
	return c
}

func (l *tails) Watch(ctx context.Context, runnerID, attemptID string, what live.What) (<-chan live.Item, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	kind := "logs"
	if what.Telemetry {
		kind = "telemetry"
	}
	l.asked = append(l.asked, runnerID+" "+attemptID+" "+kind)
	if len(l.errs) > 0 {
		return nil, l.errs[0]
	}
	if len(l.scripts) == 0 {
		return nil, live.ErrNotConnected
	}
	script := l.scripts[0]
	l.scripts = l.scripts[1:]
	out := make(chan live.Item)
	go func() {
		defer close(out)
		for {
			select {
			case <-ctx.Done():
				return
			case item, ok := <-script:
				if !ok {
					return
				}
				select {
				case out <- item:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	return out, nil
}

// run makes the first job of a new study run. Its id is id-3, its attempt's id-3-1.
func (w *world) run() (session string, end func()) {
	w.t.Helper()
	session = w.session("runner-a")
	w.submit()
	a := w.claim(session, 1)[0]
	w.report(session, a, nil)
	return session, func() { w.report(session, a, leaves("completed")) }
}

// open begins to read an answer that comes as it likes; it ends with the test.
func (w *world) open(path string, edits ...func(*http.Request)) (*http.Response, *bufio.Reader) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.srv.URL+path, nil)
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
	w.t.Cleanup(func() { res.Body.Close() })
	return res, bufio.NewReader(res.Body)
}

// event is what came of a stream of events.
type event struct{ id, name, data string }

// nextEvent reads the next event; comments and ids alone are passed over. ok is
// false at the end.
func nextEvent(t *testing.T, r *bufio.Reader) (e event, ok bool) {
	t.Helper()
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return e, false
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "id":
			e.id = value
		case "event":
			e.name = value
		case "data":
			e.data = value
		case "":
			if e.name != "" {
				return e, true
			}
		}
	}
}
