package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
)

// maxEvent bounds one server-sent event, in bytes.
const maxEvent = 16 << 20

// EventQuery says which events are wanted.
type EventQuery struct {
	// BatchID restricts them to one batch and its jobs.
	BatchID string
	// LastEventID is the ID of the last event that was seen, to go on behind it;
	// empty begins now.
	LastEventID string
}

// Event is something that changed: exactly one of Batch, Job and Runner is not
// nil, or Reset is true. What it holds is the state when the event was sent;
// changes that follow each other closely make one event.
type Event struct {
	// ID goes into [EventQuery.LastEventID] to go on behind this event.
	ID     string
	Batch  *BatchStatus
	Job    *Job
	Runner *Runner
	// Reset says that some events were missed: whoever keeps a picture of the
	// platform has to read it anew.
	Reset bool
}

// EventReset is the data of a reset event.
type EventReset struct {
	Reason string `json:"reason" doc:"Why events are missing, a sentence for people."`
}

// Events yields what changes from now on, or since LastEventID. The events of a
// single batch begin with one of the batch itself. They go on until the context
// ends or the connection breaks, which is the error that is then yielded last;
// ErrUnreachable is wrapped where asking again with the last ID makes sense.
func (c *Client) Events(ctx context.Context, q EventQuery) iter.Seq2[Event, error] {
	query := url.Values{}
	if q.BatchID != "" {
		query.Set("batch_id", q.BatchID)
	}
	return func(yield func(Event, error) bool) {
		for m, err := range c.messages(ctx, q.LastEventID, query, "events") {
			if err != nil {
				yield(Event{}, err)
				return
			}
			e, known, err := m.decode()
			if known && !yield(e, err) || err != nil {
				return
			}
		}
		yield(Event{}, unreachable(ctx, io.ErrUnexpectedEOF))
	}
}

// message is one server-sent event.
type message struct {
	id, event string
	data      []byte
}

// decode makes an event of a message; kinds from a newer platform are not known.
func (m *message) decode() (e Event, known bool, err error) {
	e.ID = m.id
	var into any
	switch m.event {
	case "batch":
		e.Batch = &BatchStatus{}
		into = e.Batch
	case "job":
		e.Job = &Job{}
		into = e.Job
	case "runner":
		e.Runner = &Runner{}
		into = e.Runner
	case "reset":
		e.Reset = true
		return e, true, nil
	default:
		return e, false, nil
	}
	if err := json.Unmarshal(m.data, into); err != nil {
		return e, true, fmt.Errorf("event %s: %w", m.id, err)
	}
	return e, true, nil
}

// messages reads a stream of server-sent events. It ends without an error when
// the stream does.
func (c *Client) messages(ctx context.Context, last string, query url.Values, path ...string) iter.Seq2[message, error] {
	return func(yield func(message, error) bool) {
		header := http.Header{}
		if last != "" {
			header.Set("Last-Event-Id", last)
		}
		res, err := c.stream(ctx, "text/event-stream", header, query, path...)
		if err != nil {
			yield(message{}, err)
			return
		}
		defer func() { _ = res.Body.Close() }()
		lines := bufio.NewScanner(res.Body)
		lines.Buffer(nil, maxEvent)
		m := message{}
		for lines.Scan() {
			ended := m.line(lines.Bytes())
			if len(m.data) > maxEvent {
				yield(message{}, unreachable(ctx, bufio.ErrTooLong))
				return
			}
			if !ended {
				continue
			}
			if m.event != "" && !yield(m, nil) {
				return
			}
			m = message{id: m.id}
		}
		if err := lines.Err(); err != nil {
			yield(message{}, unreachable(ctx, err))
		}
	}
}

// line takes in one line and reports whether it ends the message.
func (m *message) line(line []byte) bool {
	if len(line) == 0 {
		return true
	}
	name, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(name) {
	case "id":
		m.id = string(value)
	case "event":
		m.event = string(value)
	case "data":
		if m.data == nil {
			m.data = []byte{} // an empty first line is one, too
		} else {
			m.data = append(m.data, '\n')
		}
		m.data = append(m.data, value...)
	}
	return false
}
