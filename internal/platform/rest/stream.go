package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/tetryx/lynx-runner/api"
)

// writeWithin is how long a client may take for each piece of an answer that is
// sent as it comes.
const writeWithin = 30 * time.Second

// responder writes an answer by itself. It must end with the request's context.
type responder func(w http.ResponseWriter, r *http.Request)

// streaming adds an operation that writes its answer as it comes, for as long as
// it takes. Errors of call are answered as those of operation are.
func streaming[I any](h *handler, a huma.API, op huma.Operation, call func(context.Context, *I) (responder, error)) {
	op.Method = http.MethodGet
	op.Responses["default"] = problemResponse(a)
	huma.Register(a, op, func(ctx context.Context, in *I) (*huma.StreamResponse, error) {
		write, err := call(ctx, in)
		if err != nil {
			return nil, h.problem(ctx, err)
		}
		return &huma.StreamResponse{Body: func(ctx huma.Context) {
			r, w := humago.Unwrap(ctx)
			write(newPatient(w), r)
		}}, nil
	})
}

// bytesResponse documents an answer of bytes.
func bytesResponse(description string) *huma.Response {
	return &huma.Response{
		Description: description,
		Content:     map[string]*huma.MediaType{octets: {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}},
	}
}

// patient is a response that may take any time in all, but not for each piece:
// the server's limits are for answers that are made at once.
type patient struct {
	http.ResponseWriter

	control *http.ResponseController
}

func newPatient(w http.ResponseWriter) *patient {
	p := &patient{w, http.NewResponseController(w)}
	// The deadline for reading the request would end its context, and so the
	// answer. A writer without deadlines is one of a test.
	_ = p.control.SetReadDeadline(time.Time{})
	return p
}

// Write implements http.ResponseWriter.
func (p *patient) Write(b []byte) (int, error) {
	_ = p.control.SetWriteDeadline(time.Now().Add(writeWithin))
	return p.ResponseWriter.Write(b)
}

// FlushError sends what was written.
func (p *patient) FlushError() error {
	_ = p.control.SetWriteDeadline(time.Now().Add(writeWithin))
	return p.control.Flush()
}

// Unwrap is for http.ResponseController.
func (p *patient) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// flush sends what was written to a responder's w.
func flush(w http.ResponseWriter) error { return http.NewResponseController(w).Flush() }

// eventStream writes server-sent events.
type eventStream struct{ w http.ResponseWriter }

// beginEvents sends the headers. It returns false if that is all that is wanted.
func beginEvents(w http.ResponseWriter, r *http.Request) (eventStream, bool) {
	w.Header().Set("Content-Type", eventMedia)
	w.WriteHeader(http.StatusOK)
	_ = flush(w) // a client that has gone away is noticed at the first event
	return eventStream{w}, r.Method != http.MethodHead
}

// send sends one event; an id that is not empty becomes the last one seen.
func (s eventStream) send(id, event string, data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("event %s: %w", event, err)
	}
	var b []byte
	if id != "" {
		b = fmt.Appendf(b, "id: %s\n", id)
	}
	b = fmt.Appendf(b, "event: %s\ndata: %s\n\n", event, text)
	return s.write(b)
}

// beat shows that the connection lives, and makes id the last one seen. It is no
// event: clients do not notice.
func (s eventStream) beat(id string) error {
	b := []byte(":\n")
	if id != "" {
		b = fmt.Appendf(b, "id: %s\n\n", id)
	}
	return s.write(b)
}

func (s eventStream) write(b []byte) error {
	if _, err := s.w.Write(b); err != nil {
		return err
	}
	return flush(s.w)
}

// eventMedia is the media type of server-sent events.
const eventMedia = "text/event-stream"

// eventResponse documents a stream of events: from their names to samples of
// what they hold.
func eventResponse(a huma.API, description string, events map[string]any) *huma.Response {
	var kinds []*huma.Schema
	for _, name := range slices.Sorted(maps.Keys(events)) {
		data := a.OpenAPI().Components.Schemas.Schema(reflect.TypeOf(events[name]), true, name)
		kinds = append(kinds, &huma.Schema{
			Type: huma.TypeObject, Title: "Event " + name, Required: []string{"event", "data"},
			Properties: map[string]*huma.Schema{
				"id":    {Type: huma.TypeString, Description: "Opaque; send it as Last-Event-ID to go on behind this event."},
				"event": {Type: huma.TypeString, Enum: []any{name}},
				"data": {Type: huma.TypeString, Extensions: map[string]any{
					"contentMediaType": api.JSON, "contentSchema": data,
				}},
			},
		})
	}
	return &huma.Response{
		Description: description,
		Content: map[string]*huma.MediaType{eventMedia: {Schema: &huma.Schema{
			Type: huma.TypeObject, Title: "Server-sent event", Description: "Each event of the stream.", OneOf: kinds,
		}}},
	}
}

// Optional is a parameter that may be left out; exported as PageQuery is.
type Optional[T any] struct {
	Value T
	IsSet bool
}

// Schema implements huma.SchemaProvider.
func (o Optional[T]) Schema(r huma.Registry) *huma.Schema {
	return r.Schema(reflect.TypeFor[T](), true, "")
}

// Receiver implements huma.ParamWrapper.
func (o *Optional[T]) Receiver() reflect.Value { return reflect.ValueOf(o).Elem().Field(0) }

// OnParamSet implements huma.ParamReactor.
func (o *Optional[T]) OnParamSet(isSet bool, _ any) { o.IsSet = isSet }

// pointer is nil for a parameter that was left out.
func (o Optional[T]) pointer() *T {
	if !o.IsSet {
		return nil
	}
	return &o.Value
}
