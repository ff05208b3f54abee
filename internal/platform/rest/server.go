package rest

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/tetryx/lynx-runner/internal/platform"
	"github.com/tetryx/lynx-runner/internal/platform/auth"
)

// Options are what the handler needs besides the platform.
type Options struct {
	// Guard decides who may call.
	Guard *auth.Guard
	// Version is the program's, for the OpenAPI document.
	Version string
	// Files has what attempts left; nil if the platform keeps none.
	Files FileSource
	// Live has what running attempts print and measure; nil if there is none.
	Live LiveSource
	// Heartbeat is how often a stream of events shows that it lives; 0 means 15 s.
	Heartbeat time.Duration
	Log       *slog.Logger
}

// handler holds what the operations share.
type handler struct {
	svc   *platform.Service
	files FileSource
	live  LiveSource
	// tables has an element for each telemetry table that is being read.
	tables    chan struct{}
	heartbeat time.Duration
	logger    *slog.Logger
}

// New makes the handler of every call, guarded. It is safe for concurrent use.
func New(svc *platform.Service, o Options) http.Handler {
	mux := http.NewServeMux()
	h := &handler{
		svc: svc, files: o.Files, live: o.Live, tables: make(chan struct{}, tablesAtOnce),
		heartbeat: cmp.Or(o.Heartbeat, heartbeat), logger: o.Log,
	}
	spec := h.register(humago.New(mux, config(o.Version)))
	mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/openapi+json")
		_, _ = w.Write(spec) // a client that has gone away is its own affair
	})
	return secure(o.Guard.HTTP(problems(mux)))
}

// NewServer makes an HTTP server for the handler whose limits suit it: headers
// must come soon, bodies within a minute, and answers may take as long as the
// longest long poll. The caller serves listeners with it.
func NewServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		WriteTimeout:      maxWait + time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

// config turns off what huma adds to answers or serves by itself: $schema
// fields, pages that load scripts from elsewhere, and an OpenAPI document that is
// made at the first request, without a lock.
func config(version string) huma.Config {
	c := huma.DefaultConfig("Lynx", version)
	c.CreateHooks = nil
	c.DocsPath, c.SchemasPath, c.OpenAPIPath = "", "", ""
	c.RejectUnknownQueryParameters = true
	c.Transformers = []huma.Transformer{toProblem}
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token": {Type: "http", Scheme: "bearer", Description: "The token that the platform wrote to a file at its first start."},
	}
	c.Security = []map[string][]string{{"token": {}}}
	return c
}

// register adds every operation and returns the OpenAPI document.
func (h *handler) register(a huma.API) []byte {
	a.UseMiddleware(strictQuery, noBody)
	h.registerBatches(a)
	h.registerJobs(a)
	h.registerRetries(a)
	h.registerRunners(a)
	h.registerFiles(a)
	h.registerLogs(a)
	h.registerTelemetry(a)
	h.registerEvents(a)
	document(a.OpenAPI())
	spec, err := json.Marshal(a.OpenAPI())
	if err != nil {
		panic(fmt.Sprintf("rest: the OpenAPI document can't be written: %v", err)) // it has no input but our types
	}
	return spec
}

// operation adds one operation whose handler may return errors of the platform.
// Anything else than a refusal is logged and told to the client as status 500.
func operation[I, O any](h *handler, a huma.API, op huma.Operation, call func(context.Context, *I) (O, error)) {
	type output struct{ Body O }
	if op.DefaultStatus == 0 {
		op.DefaultStatus = http.StatusOK
	}
	op.Responses = map[string]*huma.Response{"default": problemResponse(a)}
	huma.Register(a, op, func(ctx context.Context, in *I) (*output, error) {
		body, err := call(ctx, in)
		if err != nil {
			return nil, h.problem(ctx, err)
		}
		return &output{Body: body}, nil
	})
}

// secure sets the headers that keep a browser from making anything but data of
// an answer.
func secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}
