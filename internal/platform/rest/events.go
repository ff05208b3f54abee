package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/platform"
)

const (
	// heartbeat is how often a stream of events shows that it lives.
	heartbeat = 15 * time.Second
	// gather is how long changes are gathered before they are sent, so that what
	// changes often makes one event.
	gather = 200 * time.Millisecond
	// atOnce is how many changes make one round at most, which bounds what is held
	// for a client.
	atOnce = 256
)

// EventsQuery is exported as PageQuery is.
type EventsQuery struct {
	LastEventID string `header:"Last-Event-ID" maxLength:"64" doc:"The id of the last event that was seen, to go on behind it."`
}

type allEvents struct {
	EventsQuery

	BatchID string `query:"batch_id" maxLength:"128" doc:"Only this batch and its jobs."`
}

type batchEvents struct {
	EventsQuery
	BatchPath
}

func (h *handler) registerEvents(a huma.API) {
	description := "Server-sent events batch, job and runner hold the present state of what changed. They are made of what changed since the last ones, " +
		"so a slow client misses intermediate states, never the latest. Event reset says that more was missed, and that lists have to be read again. " +
		"Each event has an id; a client that sends the last one as Last-Event-ID goes on behind it."
	responses := func() map[string]*huma.Response {
		return map[string]*huma.Response{"200": eventResponse(a, "What changes.", map[string]any{
			"batch": api.BatchStatus{}, "job": api.Job{}, "runner": api.Runner{}, "reset": api.EventReset{},
		})}
	}
	streaming(h, a, huma.Operation{
		OperationID: "events", Path: "/events", Summary: "What changes, as it changes",
		Description: description + " It begins with each runner, or with the batch if one is named.",
		Tags:        []string{"platform"}, Responses: responses(),
	}, func(ctx context.Context, in *allEvents) (responder, error) {
		return h.events(ctx, in.BatchID, in.LastEventID)
	})
	streaming(h, a, huma.Operation{
		OperationID: "batchEvents", Path: "/batches/{batch_id}/events", Summary: "What changes about a batch and its jobs, as it changes",
		Description: description + " It begins with the batch.",
		Tags:        []string{"batches"}, Responses: responses(),
	}, func(ctx context.Context, in *batchEvents) (responder, error) {
		return h.events(ctx, in.BatchID, in.LastEventID)
	})
}

func (h *handler) events(ctx context.Context, batchID, last string) (responder, error) {
	f := &follower{h: h, batchID: batchID, at: h.svc.Position(), runners: map[string]api.Runner{}}
	if last != "" {
		p, err := platform.ParsePosition(last)
		if err != nil {
			return nil, &platform.InvalidError{Field: "header.Last-Event-ID", Message: fmt.Sprintf("%q is not the id of an event", last)}
		}
		f.at = p
	}
	if batchID != "" {
		if _, err := h.svc.Batch(ctx, batchID); err != nil {
			return nil, err
		}
	}
	return func(w http.ResponseWriter, r *http.Request) {
		stream, ok := beginEvents(w, r)
		if !ok {
			return
		}
		f.stream = stream
		// Whatever ends a stream, the client asks again with the last id.
		if err := f.run(r.Context()); err != nil && r.Context().Err() == nil {
			h.logger.DebugContext(r.Context(), "stream of events ended", "error", err)
		}
	}, nil
}

// follower sends one client what changes. It keeps nothing that grows but the
// state of each runner: what changed is remembered once for all clients.
type follower struct {
	h      *handler
	stream eventStream
	// batchID restricts it to one batch; empty for all.
	batchID string
	// at is how far in the feed everything was sent.
	at platform.Position
	// runners are as they were sent last.
	runners map[string]api.Runner
}

// run sends events until ctx ends or the client is gone.
func (f *follower) run(ctx context.Context) error {
	if err := f.snapshot(ctx); err != nil {
		return err
	}
	for {
		wait, cancel := context.WithTimeout(ctx, f.h.heartbeat)
		changes, next, err := f.h.svc.Changes(wait, f.at)
		cancel()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, platform.ErrMissed):
			err = f.reset(ctx, "more changed than is remembered, or the platform was started anew")
		case err == nil && len(changes) == 0:
			err = f.idle(ctx)
		case err == nil && len(changes) > atOnce:
			next.Number -= uint64(len(changes) - atOnce)
			err = f.round(ctx, changes[:atOnce], next)
		case err == nil:
			if err = f.round(ctx, changes, next); err == nil {
				err = pause(ctx, gather)
			}
		}
		if err != nil {
			return err
		}
	}
}

// pause waits unless ctx ends before.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// outgoing is an event that is to be sent.
type outgoing struct {
	event string
	data  any
}

// send sends events. All but the last have the id of what was sent before:
// whoever comes back in between gets some of them again, and misses none.
func (f *follower) send(events []outgoing, next platform.Position) error {
	for i, e := range events {
		if i == len(events)-1 {
			f.at = next
		}
		if err := f.stream.send(f.at.String(), e.event, e.data); err != nil {
			return err
		}
	}
	f.at = next
	return nil
}

// snapshot sends the state of the batch, or of the runners.
func (f *follower) snapshot(ctx context.Context, before ...outgoing) error {
	events, err := f.changedRunners(ctx)
	if err != nil {
		return err
	}
	if f.batchID != "" {
		s, err := viewStatus(f.h.svc.Batch(ctx, f.batchID))
		if err != nil {
			return err
		}
		events = []outgoing{{"batch", s}}
	}
	if err := f.send(append(before, events...), f.at); err != nil {
		return err
	}
	return f.stream.beat(f.at.String())
}

// reset tells the client to look for itself, and goes on from now.
func (f *follower) reset(ctx context.Context, reason string) error {
	f.at = f.h.svc.Position()
	return f.snapshot(ctx, outgoing{"reset", &api.EventReset{Reason: reason}})
}

// idle shows that the stream lives; a runner that fell silent made no change.
func (f *follower) idle(ctx context.Context) error {
	events, err := f.changedRunners(ctx)
	if err != nil {
		return err
	}
	if err := f.send(events, f.at); err != nil {
		return err
	}
	return f.stream.beat(f.at.String())
}

// round sends each record that changed once: jobs, runners, then batches, so that
// a batch that is over comes after its last job.
func (f *follower) round(ctx context.Context, changes []platform.Change, next platform.Position) error {
	var jobs, batches []outgoing
	seen := map[platform.Change]bool{}
	for _, c := range changes {
		if c.BatchID == "" || f.batchID != "" && c.BatchID != f.batchID || seen[c] {
			continue
		}
		seen[c] = true
		switch {
		case c.ManyJobs:
			jobs = append(jobs, outgoing{"reset", &api.EventReset{Reason: "many jobs of batch " + c.BatchID + " changed at once"}})
		case c.JobID != "":
			j, err := f.h.svc.Job(ctx, c.JobID)
			if err != nil {
				return err
			}
			jobs = append(jobs, outgoing{"job", viewJob(&j)})
		default:
			s, err := viewStatus(f.h.svc.Batch(ctx, c.BatchID))
			if err != nil {
				return err
			}
			batches = append(batches, outgoing{"batch", s})
		}
	}
	runners, err := f.changedRunners(ctx)
	if err != nil {
		return err
	}
	return f.send(slices.Concat(jobs, runners, batches), next)
}

// changedRunners has those that are not as they were last, unless there is a batch
// to restrict to. That a runner was heard of is no change.
func (f *follower) changedRunners(ctx context.Context) ([]outgoing, error) {
	if f.batchID != "" {
		return nil, nil
	}
	all, err := f.h.svc.Runners(ctx)
	if err != nil {
		return nil, err
	}
	var changed []outgoing
	for i := range all {
		v := viewRunner(&all[i])
		same := v
		same.LastHeartbeatAt = time.Time{}
		if reflect.DeepEqual(same, f.runners[v.RunnerID]) {
			continue
		}
		f.runners[v.RunnerID] = same
		changed = append(changed, outgoing{"runner", &v})
	}
	return changed, nil
}
