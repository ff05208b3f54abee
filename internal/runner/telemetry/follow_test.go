package telemetry

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"

	telemetryv1 "github.com/tetryx/lynx-runner/proto/lynx/telemetry/v1"
)

// followed is what a follower handed over.
type followed struct {
	times   []float64
	dropped uint64
}

func (f *followed) take(samples []*telemetryv1.Sample, dropped uint64) error {
	if dropped < f.dropped {
		return fmt.Errorf("%d dropped after %d", dropped, f.dropped)
	}
	for _, s := range samples {
		f.times = append(f.times, s.GetTimeSeconds())
	}
	f.dropped = dropped
	return nil
}

func follower(tb testing.TB, s *Server) *Follower {
	tb.Helper()
	f, err := s.Follower()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = f.Close() })
	return f
}

// Whenever somebody begins to watch, he gets every sample once and in order, and
// the end; also where the log is removed meanwhile.
func TestFollowersMissNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		cfg := place(t)
		s := serve(t, cfg)
		st := dial(t, cfg.Socket).open(t)
		type watcher struct {
			followed
			done chan error
		}
		var watchers []*watcher
		sent := 0
		for i := range rapid.IntRange(1, 12).Draw(rt, "batches") {
			if rapid.Bool().Draw(rt, "a watcher comes") {
				w, f := &watcher{done: make(chan error, 1)}, follower(t, s)
				watchers = append(watchers, w)
				go func() { w.done <- f.Follow(context.Background(), w.take) }()
			}
			var samples []*telemetryv1.Sample
			for range rapid.IntRange(0, 5).Draw(rt, "samples") {
				samples = append(samples, sample(float64(sent), "x", 1, ""))
				sent++
			}
			send(t, st, batch(uint64(i+1), samples...))
			if rapid.Bool().Draw(rt, "wait") {
				eventually(t, "written", func() bool { n, _ := s.in.acknowledged(); return n == uint64(i+1) })
			}
		}
		if err := st.CloseSend(); err != nil {
			rt.Fatal(err)
		}
		finish(t, s)
		if err := os.Remove(cfg.LogPath); err != nil {
			rt.Fatal(err)
		}
		for _, w := range watchers {
			if err := <-w.done; err != nil || len(w.times) != sent || w.dropped > 0 {
				rt.Fatalf("%d samples, %d dropped, of %d; error %v", len(w.times), w.dropped, sent, err)
			}
			for i, at := range w.times {
				if at != float64(i) {
					rt.Fatalf("sample %d is of time %g", i, at)
				}
			}
		}
	})
}

// A watcher that stands still keeps nobody waiting: batches are judged, written
// and acknowledged. What was there before it came it gets whole; of what came
// meanwhile it may miss some, and is told how many.
func TestSlowFollower(t *testing.T) {
	cfg := place(t)
	s := serve(t, cfg)
	st := dial(t, cfg.Socket).open(t)
	sequence, sent := uint64(0), 0
	deliver := func(batches int) {
		for range batches {
			var samples []*telemetryv1.Sample
			for range 200 {
				samples = append(samples, sample(float64(sent), strings.Repeat("x", maxName), 1, ""))
				sent++
			}
			sequence++
			send(t, st, batch(sequence, samples...))
		}
		awaitAck(t, st, sequence)
	}
	deliver(2 * maxBehind / (200 * maxName))
	history := sent
	f := follower(t, s)
	stands, goes, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	var got followed
	go func() {
		first := true
		done <- f.Follow(context.Background(), func(samples []*telemetryv1.Sample, dropped uint64) error {
			if first {
				close(stands)
				<-goes
				first = false
			}
			return got.take(samples, dropped)
		})
	}()
	<-stands
	deliver(3 * maxBehind / (200 * maxName))
	close(goes)
	if err := st.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if sum := finish(t, s); int(sum.Samples) != sent || sum.Dropped > 0 {
		t.Errorf("kept %d of %d", sum.Samples, sent)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got.dropped == 0 || len(got.times)+int(got.dropped) != sent {
		t.Errorf("%d handed over and %d dropped of %d", len(got.times), got.dropped, sent)
	}
	last := -1.0
	for i, at := range got.times {
		if i < history && at != float64(i) {
			t.Fatalf("sample %d of the history is of time %g", i, at)
		}
		if at <= last {
			t.Fatalf("time %g after %g", at, last)
		}
		last = at
	}
	if last != float64(sent-1) {
		t.Errorf("the last sample is of time %g, want %d", last, sent-1)
	}
}

func TestFollowerEnds(t *testing.T) {
	cfg := place(t)
	s := serve(t, cfg)
	if _, err := dial(t, cfg.Socket).Publish(t.Context(), &telemetryv1.PublishRequest{Sample: sample(0, "x", 1, "")}); err != nil {
		t.Fatal(err)
	}
	full := errors.New("full")
	if err := follower(t, s).Follow(t.Context(), func([]*telemetryv1.Sample, uint64) error { return full }); !errors.Is(err, full) {
		t.Errorf("send failed: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := follower(t, s).Follow(ctx, func([]*telemetryv1.Sample, uint64) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("ended: %v", err)
	}
	finish(t, s)
	if err := os.Remove(cfg.LogPath); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Follower(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a log that is gone: %v", err)
	}
}
