package rpc_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/tetryx/lynx-runner/internal/platform/live"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
	telemetryv1 "github.com/tetryx/lynx-runner/proto/lynx/telemetry/v1"
)

type tail = grpc.BidiStreamingClient[runnerv1.TailRequest, runnerv1.TailResponse]

func tailOpen(session string) *runnerv1.TailRequest {
	return &runnerv1.TailRequest{Part: &runnerv1.TailRequest_Open{Open: &runnerv1.TailOpen{SessionId: session}}}
}

func tailLog(offset int64, text string) *runnerv1.TailRequest {
	return &runnerv1.TailRequest{Part: &runnerv1.TailRequest_Log{Log: &runnerv1.LogChunk{
		AttemptId: "a-1", Stream: "stdout", Offset: offset, Data: []byte(text),
	}}}
}

func tailEnd() *runnerv1.TailRequest {
	return &runnerv1.TailRequest{Part: &runnerv1.TailRequest_End{End: &runnerv1.TailEnd{AttemptId: "a-1"}}}
}

func (r *runner) tail(messages ...*runnerv1.TailRequest) tail {
	r.t.Helper()
	stream, err := r.rpc.Tail(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	send(r.t, stream, messages...)
	return stream
}

func send(t *testing.T, s tail, messages ...*runnerv1.TailRequest) {
	t.Helper()
	for _, m := range messages {
		if err := s.Send(m); err != nil {
			t.Fatal(err)
		}
	}
}

// watch watches attempt a-1 as soon as the runner is connected.
func (w *world) watch(ctx context.Context, t *testing.T, what live.What) <-chan live.Item {
	t.Helper()
	for {
		items, err := w.live.Watch(ctx, "host-1.example", "a-1", what)
		if err == nil {
			return items
		}
		if !errors.Is(err, live.ErrNotConnected) || ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

// hears checks the next request to the runner.
func hears(t *testing.T, s tail, what live.What) {
	t.Helper()
	m, err := s.Recv()
	if err != nil || m.GetAttemptId() != "a-1" || m.GetLogs() != what.Logs || m.GetTelemetry() != what.Telemetry {
		t.Fatalf("asked for %v, %v; want %v", m, err, what)
	}
}

func TestTailBringsWhatIsWatched(t *testing.T) {
	w := start(t, open(t))
	r := w.runner(t)
	s := r.tail(tailOpen(r.session))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	items := w.watch(ctx, t, live.What{Logs: true, Telemetry: true})
	hears(t, s, live.What{Logs: true, Telemetry: true})
	send(t, s, tailLog(3, "hello"), &runnerv1.TailRequest{Part: &runnerv1.TailRequest_Telemetry{Telemetry: &runnerv1.TelemetryChunk{
		AttemptId: "a-1", Samples: []*telemetryv1.Sample{{TimeSeconds: 2.5}}, DroppedSamples: 4,
	}}}, tailEnd())
	if c, ok := (<-items).(live.LogChunk); !ok || c.Stream != "stdout" || c.Offset != 3 || string(c.Data) != "hello" {
		t.Errorf("log %v", c)
	}
	if c, ok := (<-items).(live.TelemetryChunk); !ok || len(c.Samples) != 1 || c.Samples[0].GetTimeSeconds() != 2.5 || c.Dropped != 4 {
		t.Errorf("telemetry %v", c)
	}
	if i, more := <-items; more {
		t.Errorf("after the end: %v", i)
	}
	// Who stops watching is heard of.
	ctx, cancel = context.WithCancel(t.Context())
	w.watch(ctx, t, live.What{Logs: true})
	hears(t, s, live.What{Logs: true})
	cancel()
	hears(t, s, live.What{})
	send(t, s, tailEnd())
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	_, err := s.Recv()
	if err == nil || err.Error() != "EOF" {
		t.Errorf("a stream that the runner ended: %v", err)
	}
}

func TestAnotherTailTakesOver(t *testing.T) {
	w := start(t, open(t))
	r := w.runner(t)
	old := r.tail(tailOpen(r.session))
	items := w.watch(t.Context(), t, live.What{Logs: true})
	hears(t, old, live.What{Logs: true})
	s := r.tail(tailOpen(r.session))
	if i, more := <-items; more {
		t.Errorf("got %v", i)
	}
	_, err := old.Recv()
	refused(t, err, codes.Unavailable, "")
	items = w.watch(t.Context(), t, live.What{Logs: true})
	hears(t, s, live.What{Logs: true})
	w.live.Close() // as a platform that stops
	if i, more := <-items; more {
		t.Errorf("got %v", i)
	}
	_, err = s.Recv()
	refused(t, err, codes.Unavailable, "")
}

func TestARunnerThatIsGone(t *testing.T) {
	w := start(t, open(t))
	r := w.runner(t)
	ctx, cancel := context.WithCancel(t.Context())
	s, err := r.rpc.Tail(ctx)
	if err != nil {
		t.Fatal(err)
	}
	send(t, s, tailOpen(r.session))
	items := w.watch(t.Context(), t, live.What{Logs: true})
	cancel()
	for range items { // until it is closed
	}
}

func TestTailsThatAreRefused(t *testing.T) {
	w := start(t, open(t))
	r := w.runner(t)
	spoilt := func(spoil func(*runnerv1.LogChunk)) *runnerv1.TailRequest {
		m := tailLog(0, "x")
		spoil(m.GetLog())
		return m
	}
	for name, c := range map[string]struct {
		code     codes.Code
		reason   string
		messages []*runnerv1.TailRequest
	}{
		"not opened":      {codes.InvalidArgument, "", []*runnerv1.TailRequest{tailLog(0, "x")}},
		"no session":      {codes.InvalidArgument, "", []*runnerv1.TailRequest{tailOpen("")}},
		"no such session": {codes.Unauthenticated, runnerv1.ReasonUnknownSession, []*runnerv1.TailRequest{tailOpen("x")}},
		"opened twice":    {codes.InvalidArgument, "", []*runnerv1.TailRequest{tailOpen(r.session), tailOpen(r.session)}},
		"no such stream":  {codes.InvalidArgument, "", []*runnerv1.TailRequest{tailOpen(r.session), spoilt(func(c *runnerv1.LogChunk) { c.Stream = "x" })}},
		"below 0":         {codes.InvalidArgument, "", []*runnerv1.TailRequest{tailOpen(r.session), tailLog(-1, "x")}},
		"too large":       {codes.InvalidArgument, "", []*runnerv1.TailRequest{tailOpen(r.session), tailLog(0, strings.Repeat("x", 64<<10+1))}},
		"too many samples": {codes.InvalidArgument, "", []*runnerv1.TailRequest{tailOpen(r.session), {
			Part: &runnerv1.TailRequest_Telemetry{Telemetry: &runnerv1.TelemetryChunk{AttemptId: strings.Repeat("x", 5<<20)}},
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := r.tail(c.messages...).Recv()
			refused(t, err, c.code, c.reason)
		})
	}
}
