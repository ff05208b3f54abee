//go:build engine

package stand

import (
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
)

// PlatformProxy is between the runner and its platform: it speaks HTTP/2 as both do,
// and answers some calls itself.
type PlatformProxy struct {
	path    string
	forward *httputil.ReverseProxy
	server  *http.Server

	mu     sync.Mutex
	faults map[string]*PlatformFault // by the end of the method's name
}

// PlatformFault is what calls of a method get.
type PlatformFault struct {
	// Status is an HTTP status, GRPC a gRPC status; one of them is set, or Hold.
	Status int
	GRPC   string
	// After says that the platform gets the call, and the runner another answer.
	After bool
	// Hold lets the call go on when it is closed: the call itself or, with After, the
	// platform's answer.
	Hold <-chan struct{}
	// Times is how often.
	Times int
}

// NewPlatformProxy listens at path for a platform that listens at another, until
// the test ends.
func NewPlatformProxy(t *testing.T, path, platform string) *PlatformProxy {
	t.Helper()
	target, err := url.Parse("http://platform")
	Must(t, err)
	p := &PlatformProxy{path: path, forward: httputil.NewSingleHostReverseProxy(target), faults: map[string]*PlatformFault{}}
	transport := UnixTransport(platform)
	transport.Protocols = new(http.Protocols)
	transport.Protocols.SetUnencryptedHTTP2(true)
	p.forward.Transport, p.forward.FlushInterval = transport, -1
	p.forward.ErrorLog = log.New(io.Discard, "", 0)
	p.forward.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	p.Back(t)
	t.Cleanup(func() { p.Away(); transport.CloseIdleConnections() })
	return p
}

// Back listens at the socket.
func (p *PlatformProxy) Back(t *testing.T) {
	t.Helper()
	l, err := net.Listen("unix", p.path)
	Must(t, err)
	p.server = &http.Server{Handler: p, ErrorLog: log.New(io.Discard, "", 0), Protocols: new(http.Protocols)}
	p.server.Protocols.SetUnencryptedHTTP2(true)
	go func(s *http.Server) { _ = s.Serve(l) }(p.server)
}

// Away cuts every connection and removes the socket.
func (p *PlatformProxy) Away() { _ = p.server.Close() }

// Set makes the next calls of a method get a fault.
func (p *PlatformProxy) Set(method string, f PlatformFault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults[method] = &f
}

// Left is how often a method's fault has still to strike.
func (p *PlatformProxy) Left(method string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.faults[method].Times
}

func (p *PlatformProxy) take(r *http.Request) *PlatformFault {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.faults[filepath.Base(r.URL.Path)]
	if f == nil || f.Times == 0 {
		return nil
	}
	f.Times--
	return f
}

// ServeHTTP passes a call on, or answers it.
func (p *PlatformProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f := p.take(r)
	if f == nil {
		p.forward.ServeHTTP(w, r)
		return
	}
	if f.Hold != nil {
		p.hold(w, r, f)
		return
	}
	if f.After {
		p.forward.ServeHTTP(&nowhere{header: http.Header{}}, r)
	}
	if f.Status != 0 {
		w.WriteHeader(f.Status)
		return
	}
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Grpc-Status", f.GRPC)
	w.Header().Set("Grpc-Message", "as the test wants it")
}

// hold passes a call on, or its answer back, when it is let go.
func (p *PlatformProxy) hold(w http.ResponseWriter, r *http.Request, f *PlatformFault) {
	if f.After {
		p.forward.ServeHTTP(&late{w, f.Hold}, r)
		return
	}
	select {
	case <-f.Hold:
		p.forward.ServeHTTP(w, r)
	case <-r.Context().Done():
		panic(http.ErrAbortHandler)
	}
}

// late holds an answer back.
type late struct {
	http.ResponseWriter

	hold <-chan struct{}
}

// WriteHeader begins the answer when it may.
func (l *late) WriteHeader(status int) {
	<-l.hold
	l.ResponseWriter.WriteHeader(status)
}

// Unwrap is for what a http.ResponseController can do.
func (l *late) Unwrap() http.ResponseWriter { return l.ResponseWriter }

// nowhere takes an answer that nobody gets.
type nowhere struct{ header http.Header }

// Header is what nobody sees.
func (n *nowhere) Header() http.Header { return n.header }

// Write takes everything.
func (n *nowhere) Write(b []byte) (int, error) { return len(b), nil }

// WriteHeader takes any status.
func (n *nowhere) WriteHeader(int) {}
