//go:build engine

package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// point is a call to the engine.
type point string

// The points of a container's life at which the engine is called.
const (
	atCreate  point = "create"
	atStart   point = "start"
	atWait    point = "wait"
	atInspect point = "inspect"
	atRemove  point = "remove"
)

var points = []struct {
	point  point
	method string
	path   *regexp.Regexp
}{
	{atCreate, "POST", regexp.MustCompile(`/containers/create$`)},
	{atStart, "POST", regexp.MustCompile(`/containers/[^/]+/start$`)},
	{atWait, "POST", regexp.MustCompile(`/containers/[^/]+/wait$`)},
	{atInspect, "GET", regexp.MustCompile(`/containers/[^/]+/json$`)},
	{atRemove, "DELETE", regexp.MustCompile(`/containers/[^/]+$`)},
}

func pointOf(r *http.Request) point {
	for _, p := range points {
		if r.Method == p.method && p.path.MatchString(r.URL.Path) {
			return p.point
		}
	}
	return ""
}

// fault is what the proxy does to a call.
type fault string

const (
	// status500 answers 500 and asks the engine nothing.
	status500 fault = "500"
	// truncated asks the engine and passes on half of its answer.
	truncated fault = "truncated"
	// lost asks the engine and passes nothing on.
	lost fault = "lost"
	// hang answers nothing until the caller gives up.
	hang fault = "hang"
	// socketGone takes the engine's socket away, as soon as it has done what was asked,
	// until the test brings it back.
	socketGone fault = "gone"
)

// rule is a fault that the next calls at a point get.
type rule struct {
	point point
	fault fault
	times int
}

// engineProxy passes on calls to an engine, but for those that a fault is set for.
// It notes the containers that are made.
type engineProxy struct {
	path    string
	forward *httputil.ReverseProxy

	mu         sync.Mutex
	rules      []*rule
	hit        chan struct{} // has an element when a rule was applied
	server     *http.Server
	containers []string
}

func newEngineProxy(t *testing.T, path, engine string) *engineProxy {
	t.Helper()
	transport := unixTransport(engine)
	target, err := url.Parse("http://docker")
	must(t, err)
	p := &engineProxy{path: path, forward: httputil.NewSingleHostReverseProxy(target), hit: make(chan struct{}, 64)}
	p.forward.Transport, p.forward.FlushInterval = transport, -1
	p.forward.ErrorLog = log.New(io.Discard, "", 0)
	// An engine that went away closes its connections, and so does this.
	p.forward.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	p.forward.ModifyResponse = p.note
	p.back(t)
	t.Cleanup(func() { p.away(); transport.CloseIdleConnections() })
	return p
}

func unixTransport(path string) *http.Transport {
	return &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}
}

// back listens at the socket.
func (p *engineProxy) back(t *testing.T) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	l, err := net.Listen("unix", p.path)
	must(t, err)
	p.server = &http.Server{Handler: p, ErrorLog: log.New(io.Discard, "", 0)}
	go func(s *http.Server) {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			fmt.Fprintln(os.Stderr, "proxy:", err)
		}
	}(p.server)
}

// away removes the socket and breaks every connection.
func (p *engineProxy) away() {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.server.Close() // the listener's end removes the socket
}

// set makes the next calls at a point get a fault.
func (p *engineProxy) set(at point, f fault, times int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = append(p.rules, &rule{at, f, times})
}

// take is the fault that a call gets; empty if none.
func (p *engineProxy) take(at point) fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.rules {
		if r.point == at && r.times > 0 {
			r.times--
			p.hit <- struct{}{}
			return r.fault
		}
	}
	return ""
}

// untilHit waits until a fault has struck.
func (p *engineProxy) untilHit(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	select {
	case <-p.hit:
	case <-ctx.Done():
		t.Fatal("the fault did not strike")
	}
}

func (p *engineProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch p.take(pointOf(r)) {
	case status500:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = io.WriteString(w, `{"message":"an internal error of the engine"}`)
	case truncated:
		// What a wait answers comes in two parts, the second at the end.
		record := httptest.NewRecorder()
		if pointOf(r) == atWait {
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		p.forward.ServeHTTP(record, r)
		body := record.Body.Bytes()
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", fmt.Sprint(max(len(body), 2)))
		w.WriteHeader(record.Code)
		_, _ = w.Write(body[:len(body)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case lost:
		p.forward.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	case socketGone:
		if pointOf(r) != atWait { // which would end only with the container
			p.forward.ServeHTTP(httptest.NewRecorder(), r)
		}
		p.away()
		panic(http.ErrAbortHandler)
	case hang:
		_, _ = io.Copy(io.Discard, r.Body) // else the end of the connection is not seen
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	default:
		p.forward.ServeHTTP(w, r)
	}
}

// note takes down the container that an answer tells of.
func (p *engineProxy) note(r *http.Response) error {
	if pointOf(r.Request) != atCreate || r.StatusCode != http.StatusCreated {
		return nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	var made struct{ ID string }
	if err := json.Unmarshal(body, &made); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.containers = append(p.containers, made.ID)
	return nil
}
