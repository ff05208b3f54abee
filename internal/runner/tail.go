package runner

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// tails keeps a stream to the platform open, over which it is shown what running
// jobs print and measure, as long as somebody there watches. It lasts until ctx
// ends. While nobody watches, the stream is silent.
func (r *Runner) tails(ctx context.Context) {
	wait := r.pace.backoff()
	for {
		began := time.Now()
		err := r.session.with(ctx, func(session string) error { return r.tail(ctx, session) })
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > r.pace.backoffMax {
			wait = r.pace.backoff()
		}
		pause := wait.next()
		if status.Code(err) == codes.Unimplemented {
			pause = 20 * r.pace.backoffMax // until it is a newer one
		}
		r.log.Debug("the stream for live output ended; opening another", "error", err, "in", pause)
		if !sleep(ctx, pause) {
			return
		}
	}
}

// tail is one stream, until it breaks.
func (r *Runner) tail(ctx context.Context, session string) error {
	ctx, cancel := context.WithCancel(ctx)
	stream, err := r.deps.Platform.Tail(ctx)
	if err != nil {
		cancel()
		return err
	}
	t := &tailStream{r: r, stream: stream, watched: map[string]*watched{}}
	defer t.running.Wait()
	defer cancel()
	open := &runnerv1.TailOpen{SessionId: session}
	// Where Send fails, Recv says why.
	_ = t.send(&runnerv1.TailRequest{Part: &runnerv1.TailRequest_Open{Open: open}})
	for {
		request, err := stream.Recv()
		if err != nil {
			return err
		}
		t.watch(ctx, request)
	}
}

// tailStream is a stream and what is watched through it.
type tailStream struct {
	r       *Runner
	stream  runnerv1.RunnerService_TailClient
	sending sync.Mutex
	running sync.WaitGroup

	mu      sync.Mutex
	watched map[string]*watched // by attempt
}

// send sends one message. It waits for a platform that is slow.
func (t *tailStream) send(m *runnerv1.TailRequest) error {
	t.sending.Lock()
	defer t.sending.Unlock()
	return t.stream.Send(m)
}

// watch hands a request to whoever looks after its attempt. It never waits.
func (t *tailStream) watch(ctx context.Context, request *runnerv1.TailResponse) {
	t.mu.Lock()
	defer t.mu.Unlock()
	id := request.GetAttemptId()
	w := t.watched[id]
	if w == nil {
		w = &watched{t: t, id: id, wake: make(chan struct{}, 1)}
		t.watched[id] = w
		t.running.Go(func() { w.run(ctx) })
	}
	w.requests = append(w.requests, request)
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// watched is what somebody watches of one attempt. Requests are dealt with in
// order, and what one of them stops has ended before the next begins: all that is
// sent between two answers is of one watch.
type watched struct {
	t    *tailStream
	id   string
	wake chan struct{}
	// requests are those that came and are not dealt with; t.mu guards them.
	requests []*runnerv1.TailResponse

	logs, telemetry *following
}

// following is a stream of an attempt that is being sent.
type following struct {
	cancel context.CancelFunc
	done   chan struct{}
}

// run deals with requests until nothing is watched.
func (w *watched) run(ctx context.Context) {
	for ctx.Err() == nil {
		request, over := w.next()
		switch {
		case over:
			return
		case request != nil:
			w.set(ctx, &w.logs, request.GetLogs(), w.followLogs)
			w.set(ctx, &w.telemetry, request.GetTelemetry(), w.followTelemetry)
			if w.logs == nil && w.telemetry == nil {
				w.end()
			}
		case w.logs.over() && w.telemetry.over():
			w.logs, w.telemetry = nil, nil
			w.end()
		default:
			select {
			case <-w.wake:
			case <-w.logs.ended():
			case <-w.telemetry.ended():
			case <-ctx.Done():
			}
		}
	}
	w.set(ctx, &w.logs, false, nil)
	w.set(ctx, &w.telemetry, false, nil)
}

// next takes the next request; without one, over says that nobody watches any
// more, and that the next one goes to another.
func (w *watched) next() (request *runnerv1.TailResponse, over bool) {
	w.t.mu.Lock()
	defer w.t.mu.Unlock()
	if len(w.requests) > 0 {
		request, w.requests = w.requests[0], w.requests[1:]
		return request, false
	}
	if over = w.logs == nil && w.telemetry == nil; over {
		delete(w.t.watched, w.id)
	}
	return nil, over
}

// set begins or stops a stream, where that is a change.
func (w *watched) set(ctx context.Context, f **following, wanted bool, follow func(context.Context)) {
	switch {
	case wanted == (*f != nil):
	case wanted:
		ctx, cancel := context.WithCancel(ctx)
		begun := &following{cancel: cancel, done: make(chan struct{})}
		go func() {
			defer close(begun.done)
			defer cancel()
			follow(ctx)
		}()
		*f = begun
	default:
		(*f).cancel()
		<-(*f).done
		*f = nil
	}
}

// ended is closed when the stream has ended by itself; it never is where there is
// none.
func (f *following) ended() <-chan struct{} {
	if f == nil {
		return nil
	}
	return f.done
}

// over reports whether there is no more to come.
func (f *following) over() bool {
	select {
	case <-f.ended():
		return true
	default:
		return f == nil
	}
}

// end says that no more comes.
func (w *watched) end() {
	_ = w.t.send(&runnerv1.TailRequest{Part: &runnerv1.TailRequest_End{End: &runnerv1.TailEnd{AttemptId: w.id}}})
}
