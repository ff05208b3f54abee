//go:build engine

package stand

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
	"slices"
	"strings"
	"sync"
	"testing"
)

// Point is a call to the engine.
type Point string

// The points of a container's life at which the engine is called.
const (
	AtCreate  Point = "create"
	AtStart   Point = "start"
	AtWait    Point = "wait"
	AtInspect Point = "inspect"
	AtRemove  Point = "remove"
)

var points = []struct {
	point  Point
	method string
	path   *regexp.Regexp
}{
	{AtCreate, "POST", regexp.MustCompile(`/containers/create$`)},
	{AtStart, "POST", regexp.MustCompile(`/containers/[^/]+/start$`)},
	{AtWait, "POST", regexp.MustCompile(`/containers/[^/]+/wait$`)},
	{AtInspect, "GET", regexp.MustCompile(`/containers/[^/]+/json$`)},
	{AtRemove, "DELETE", regexp.MustCompile(`/containers/[^/]+$`)},
}

func pointOf(r *http.Request) Point {
	for _, p := range points {
		if r.Method == p.method && p.path.MatchString(r.URL.Path) {
			return p.point
		}
	}
	return ""
}

// Fault is what the proxy does to a call.
type Fault string

const (
	// Status500 answers 500 and asks the engine nothing.
	Status500 Fault = "500"
	// Truncated asks the engine and passes on half of its answer.
	Truncated Fault = "truncated"
	// Lost asks the engine and passes nothing on.
	Lost Fault = "lost"
	// Hang answers nothing until the caller gives up.
	Hang Fault = "hang"
	// SocketGone takes the engine's socket away, as soon as it has done what was asked,
	// until the test brings it back.
	SocketGone Fault = "gone"
)

// rule is a fault that the next calls at a point get.
type rule struct {
	point Point
	fault Fault
	times int
}

// EngineProxy passes on calls to an engine, but for those that a fault is set for.
// It notes the containers that are made.
type EngineProxy struct {
	path    string
	forward *httputil.ReverseProxy

	mu         sync.Mutex
	rules      []*rule
	hit        chan struct{} // has an element when a rule was applied
	server     *http.Server
	containers []string
}

// NewEngineProxy listens at path for an engine that listens at another, until the
// test ends.
func NewEngineProxy(t *testing.T, path, engine string) *EngineProxy {
	t.Helper()
	transport := UnixTransport(engine)
	target, err := url.Parse("http://docker")
	Must(t, err)
	p := &EngineProxy{path: path, forward: httputil.NewSingleHostReverseProxy(target), hit: make(chan struct{}, 64)}
	p.forward.Transport, p.forward.FlushInterval = transport, -1
	p.forward.ErrorLog = log.New(io.Discard, "", 0)
	// An engine that went away closes its connections, and so does this.
	p.forward.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	p.forward.ModifyResponse = p.note
	p.Back(t)
	t.Cleanup(func() { p.Away(); transport.CloseIdleConnections() })
	return p
}

// Back listens at the socket.
func (p *EngineProxy) Back(t *testing.T) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	l, err := net.Listen("unix", p.path)
	Must(t, err)
	p.server = &http.Server{Handler: p, ErrorLog: log.New(io.Discard, "", 0)}
	go func(s *http.Server) {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			fmt.Fprintln(os.Stderr, "proxy:", err)
		}
	}(p.server)
}

// Away removes the socket and breaks every connection.
func (p *EngineProxy) Away() {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.server.Close() // the listener's end removes the socket
}

// Set makes the next calls at a point get a fault.
func (p *EngineProxy) Set(at Point, f Fault, times int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = append(p.rules, &rule{at, f, times})
}

// take is the fault that a call gets; empty if none.
func (p *EngineProxy) take(at Point) Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.rules {
		if r.point == at && r.times > 0 {
			r.times--
			select {
			case p.hit <- struct{}{}:
			default: // nobody waits
			}
			return r.fault
		}
	}
	return ""
}

// UntilHit waits until a fault has struck.
func (p *EngineProxy) UntilHit(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	select {
	case <-p.hit:
	case <-ctx.Done():
		t.Fatal("the fault did not strike")
	}
}

// ServeHTTP passes a call on, or does to it what is set.
func (p *EngineProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch p.take(pointOf(r)) {
	case Status500:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = io.WriteString(w, `{"message":"an internal error of the engine"}`)
	case Truncated:
		// What a wait answers comes in two parts, the second at the end.
		record := httptest.NewRecorder()
		if pointOf(r) == AtWait {
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
	case Lost:
		p.forward.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	case SocketGone:
		if pointOf(r) != AtWait { // which would end only with the container
			p.forward.ServeHTTP(httptest.NewRecorder(), r)
		}
		p.Away()
		panic(http.ErrAbortHandler)
	case Hang:
		_, _ = io.Copy(io.Discard, r.Body) // else the end of the connection is not seen
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	default:
		p.forward.ServeHTTP(w, r)
	}
}

// note takes down the container that an answer tells of.
func (p *EngineProxy) note(r *http.Response) error {
	if pointOf(r.Request) != AtCreate || r.StatusCode != http.StatusCreated {
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

// Containers are the ids of those that were made by way of the proxy.
func (p *EngineProxy) Containers() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.containers)
}
