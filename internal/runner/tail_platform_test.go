package runner

import (
	"context"
	"sync"

	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// scriptedTail is one stream for live output, at the platform's end.
type scriptedTail struct {
	session string
	stream  runnerv1.RunnerService_TailServer
	cut     context.CancelCauseFunc
	ended   bool

	// got is what came, in order; slow, if set, is waited for before each message
	// is taken.
	got  []*runnerv1.TailRequest
	slow func()
	mu   sync.Mutex // of slow
}

func (p *scriptedPlatform) Tail(stream runnerv1.RunnerService_TailServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	ctx, cut := context.WithCancelCause(stream.Context())
	defer cut(nil)
	tail := &scriptedTail{session: first.GetOpen().GetSessionId(), stream: stream, cut: cut}
	p.change(func() {
		if err = p.refuse("Tail", tail.session); err == nil {
			p.tails = append(p.tails, tail)
		}
	})
	if err != nil {
		return err
	}
	received := make(chan error, 1)
	go func() { received <- p.receiveTail(tail) }()
	select {
	case err = <-received:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	p.change(func() { tail.ended = true })
	return err
}

func (p *scriptedPlatform) receiveTail(tail *scriptedTail) error {
	for {
		tail.mu.Lock()
		slow := tail.slow
		tail.mu.Unlock()
		if slow != nil {
			slow()
		}
		in, err := tail.stream.Recv()
		if err != nil {
			return err
		}
		p.change(func() { tail.got = append(tail.got, in) })
	}
}

// tail waits for the n-th stream, from 0.
func (p *scriptedPlatform) tail(n int) *scriptedTail {
	p.t.Helper()
	p.await("a stream for live output", func() bool { return len(p.tails) > n })
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tails[n]
}

// watch asks for what is watched of an attempt from now on.
func (p *scriptedPlatform) watch(tail *scriptedTail, attempt string, logs, telemetry bool) {
	p.t.Helper()
	if err := tail.stream.Send(&runnerv1.TailResponse{AttemptId: attempt, Logs: logs, Telemetry: telemetry}); err != nil {
		p.t.Errorf("watch: %v", err)
	}
}

// seen is what came of an attempt.
type seen struct {
	stdout, stderr string // gaps are "…"
	times          []float64
	dropped        uint64
	ends           int
}

// seen puts together what came between the end before and the n-th end, from 1.
// The platform's lock is held.
func (tail *scriptedTail) seen(attempt string, n int) (s seen) {
	offsets := map[string]int64{}
	for _, in := range tail.got {
		switch log, samples := in.GetLog(), in.GetTelemetry(); {
		case in.GetEnd().GetAttemptId() == attempt:
			if s.ends++; s.ends == n {
				return s
			}
			s = seen{ends: s.ends}
			offsets = map[string]int64{}
		case log.GetAttemptId() == attempt:
			text := &s.stdout
			if log.GetStream() == "stderr" {
				text = &s.stderr
			}
			if log.GetOffset() != offsets[log.GetStream()] {
				*text += "…"
			}
			*text += string(log.GetData())
			offsets[log.GetStream()] = log.GetOffset() + int64(len(log.GetData()))
		case samples.GetAttemptId() == attempt:
			for _, sample := range samples.GetSamples() {
				s.times = append(s.times, sample.GetTimeSeconds())
			}
			s.dropped = samples.GetDroppedSamples()
		}
	}
	return s
}
