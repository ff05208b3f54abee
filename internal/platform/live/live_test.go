package live_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/tetryx/lynx-runner/internal/platform/live"
	telemetryv1 "github.com/tetryx/lynx-runner/proto/lynx/telemetry/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	logs      = live.What{Logs: true}
	telemetry = live.What{Telemetry: true}
	both      = live.What{Logs: true, Telemetry: true}
)

// world is a hub to which runner r is connected.
type world struct {
	*testing.T

	hub  *live.Hub
	conn *live.Conn
}

// inWorld runs a test in a bubble: when Wait returns, everything has settled.
func inWorld(t *testing.T, test func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		h := live.New()
		w := &world{T: t, hub: h, conn: h.Attach("r")}
		test(w)
		h.Close()
		synctest.Wait()
	})
}

// view is what a watcher has got.
type view struct {
	log     map[string]string // by stream; a gap is "…"
	end     map[string]int64
	samples []float64
	dropped uint64
	closed  bool
	cancel  context.CancelFunc
}

// watch watches attempt a, and takes whatever comes.
func (w *world) watch(what live.What) *view {
	w.Helper()
	ctx, cancel := context.WithCancel(w.Context())
	items, err := w.hub.Watch(ctx, "r", "a", what)
	if err != nil {
		w.Fatal(err)
	}
	v := &view{log: map[string]string{}, end: map[string]int64{}, cancel: cancel}
	w.Cleanup(cancel)
	go func() {
		for i := range items {
			v.take(i)
		}
		v.closed = true
	}()
	return v
}

func (v *view) take(i live.Item) {
	switch i := i.(type) {
	case live.LogChunk:
		if i.Offset < v.end[i.Stream] {
			v.log[i.Stream] += "(again)"
		}
		if i.Offset > v.end[i.Stream] {
			v.log[i.Stream] += "…"
		}
		v.log[i.Stream] += string(i.Data)
		v.end[i.Stream] = i.Offset + int64(len(i.Data))
	case live.TelemetryChunk:
		for _, s := range i.Samples {
			v.samples = append(v.samples, s.GetTimeSeconds())
		}
		v.dropped = i.Dropped
	}
}

// requests is what the runner is asked for now.
func (w *world) requests() []live.Request {
	w.Helper()
	ctx, cancel := context.WithCancel(w.Context())
	defer cancel()
	var list []live.Request
	go func() {
		list, _ = w.conn.Next(ctx)
	}()
	synctest.Wait()
	return list
}

// asked checks what the runner is asked about attempt a now.
func (w *world) asked(want ...live.What) {
	w.Helper()
	var reqs []live.Request
	for _, what := range want {
		reqs = append(reqs, live.Request{AttemptID: "a", What: what})
	}
	if diff := cmp.Diff(reqs, w.requests()); diff != "" {
		w.Fatalf("requests (-want +got):\n%s", diff)
	}
}

func (w *world) print(offset int64, text string) {
	w.conn.Log("a", live.LogChunk{Stream: "stdout", Offset: offset, Data: []byte(text)})
	synctest.Wait()
}

// measure sends samples with the times first, first+1, ….
func (w *world) measure(dropped uint64, times ...float64) {
	var list []*telemetryv1.Sample
	for _, s := range times {
		list = append(list, &telemetryv1.Sample{TimeSeconds: s, Values: []*telemetryv1.Value{{Name: "x"}}})
	}
	w.conn.Telemetry("a", list, dropped)
	synctest.Wait()
}

func (w *world) end() {
	w.conn.End("a")
	synctest.Wait()
}

func equal(t testing.TB, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestWhatIsWatchedIsAskedForAndBrought(t *testing.T) {
	inWorld(t, func(w *world) {
		w.asked()
		w.print(0, "before anybody watches")
		v := w.watch(both)
		w.asked(both)
		w.print(0, "one ")
		w.print(4, "two")
		w.measure(0, 1, 2)
		w.measure(3, 3)
		w.conn.Log("b", live.LogChunk{Stream: "stdout", Data: []byte("of another")})
		w.conn.Log("a", live.LogChunk{Stream: "stderr", Offset: 10, Data: []byte("late")})
		w.end()
		equal(t, "log", v.log, map[string]string{"stdout": "one two", "stderr": "…late"})
		equal(t, "samples", v.samples, []float64{1, 2, 3})
		equal(t, "dropped", v.dropped, uint64(3))
		equal(t, "closed", v.closed, true)
		w.asked() // there is nothing to stop
	})
}

func TestNobodyGetsWhatIsNotWanted(t *testing.T) {
	inWorld(t, func(w *world) {
		v := w.watch(logs)
		w.asked(logs)
		w.print(0, "x")
		w.measure(0, 1)
		v.cancel()
		w.asked(live.What{})
		equal(t, "samples", v.samples, []float64(nil))
		equal(t, "closed", v.closed, true)
		w.end()
		v = w.watch(telemetry)
		w.asked(telemetry)
		w.print(0, "x")
		equal(t, "log", v.log, map[string]string{})
	})
}

// TestALateWatcherGetsAllAndTheFirstNothingTwice, though items of the old
// generation are on their way when it comes.
func TestALateWatcherGetsAllAndTheFirstNothingTwice(t *testing.T) {
	inWorld(t, func(w *world) {
		first := w.watch(both)
		w.asked(both)
		w.print(0, "0123")
		w.measure(0, 1, 2)
		late := w.watch(both)
		w.asked(live.What{}, both)
		w.print(4, "45") // sent before the runner heard of it
		w.measure(1, 4)
		w.end() // its answer to the request for nothing
		w.print(0, "01")
		w.measure(0, 1)
		w.print(2, "234567")
		w.measure(0, 2, 3) // what was dropped in the first generation need not be in the second
		w.measure(0, 4, 5)
		w.end()
		for name, v := range map[string]*view{"first": first, "late": late} {
			equal(t, name+" log", v.log["stdout"], "01234567")
			equal(t, name+" closed", v.closed, true)
		}
		equal(t, "first samples", first.samples, []float64{1, 2, 4, 5})
		equal(t, "first dropped", first.dropped, uint64(1))
		equal(t, "late samples", late.samples, []float64{1, 2, 3, 4, 5})
		equal(t, "late dropped", late.dropped, uint64(0))
	})
}

func TestAWatcherWhoWantsMore(t *testing.T) {
	inWorld(t, func(w *world) {
		first := w.watch(logs)
		w.asked(logs)
		second := w.watch(telemetry)
		w.asked(live.What{}, both)
		w.end()
		w.print(0, "x")
		w.measure(0, 1)
		second.cancel()
		w.asked(logs) // less, without beginning anew
		w.print(1, "y")
		equal(t, "log", first.log["stdout"], "xy")
		equal(t, "samples", second.samples, []float64{1})
	})
}

// TestWatchersComeAndGoBeforeTheRunnerIsAsked leaves no trace.
func TestWatchersComeAndGoBeforeTheRunnerIsAsked(t *testing.T) {
	inWorld(t, func(w *world) {
		w.watch(both).cancel()
		synctest.Wait()
		w.asked()
		first := w.watch(both)
		w.asked(both)
		w.watch(both).cancel()
		w.watch(both).cancel()
		synctest.Wait()
		w.asked(live.What{}, both) // once for both of them
		w.end()
		first.cancel()
		synctest.Wait()
		again := w.watch(both) // before the runner is told that nobody watches
		w.asked(live.What{}, both)
		w.print(0, "old")
		w.end()
		w.print(0, "new")
		equal(t, "log", again.log["stdout"], "new")
	})
}

// TestAnAttemptThatEndsWhileItIsAskedForAnew: its end comes instead of the answer.
func TestAnAttemptThatEndsWhileItIsAskedForAnew(t *testing.T) {
	inWorld(t, func(w *world) {
		first := w.watch(logs)
		w.asked(logs)
		late := w.watch(logs)
		w.asked(live.What{}, logs)
		w.end() // the attempt's
		w.end() // the answer to the request for nothing
		w.end() // the answer to the request: there is no such attempt
		equal(t, "closed", []bool{first.closed, late.closed}, []bool{true, true})
		w.asked()
	})
}

func TestASlowWatcherLosesItemsAndHarmsNobody(t *testing.T) {
	inWorld(t, func(w *world) {
		fast := w.watch(both)
		slow, err := w.hub.Watch(w.Context(), "r", "a", both)
		if err != nil {
			t.Fatal(err)
		}
		w.asked(both)
		const chunk, n = 64 << 10, 100
		for i := range n {
			w.print(int64(i)*chunk, strings.Repeat("x", chunk))
			w.measure(0, slices.Repeat([]float64{float64(i)}, chunk/100)...)
		}
		equal(t, "fast log", fast.end["stdout"], int64(n*chunk))
		equal(t, "fast samples", len(fast.samples), n*(chunk/100))
		v := &view{log: map[string]string{}, end: map[string]int64{}}
		go func() {
			for i := range slow {
				v.take(i)
			}
		}()
		synctest.Wait()
		got := len(v.log["stdout"])
		if got == 0 || got > 2<<20 {
			t.Errorf("the slow watcher was kept %d bytes", got)
		}
		w.print(n*chunk, "and on")
		w.measure(0, n)
		if !strings.HasSuffix(v.log["stdout"], "…and on") || strings.Contains(v.log["stdout"], "again") {
			t.Errorf("the slow watcher's log ends %.20q", v.log["stdout"][len(v.log["stdout"])-20:])
		}
		if uint64(len(v.samples))+v.dropped != n*(chunk/100)+1 || v.dropped == 0 || v.samples[len(v.samples)-1] != n {
			t.Errorf("%d samples and %d dropped; want %d in all", len(v.samples), v.dropped, n*(chunk/100)+1)
		}
	})
}

func TestRunnersThatComeAndGo(t *testing.T) {
	inWorld(t, func(w *world) {
		if _, err := w.hub.Watch(w.Context(), "nobody", "a", logs); !errors.Is(err, live.ErrNotConnected) {
			t.Errorf("error %v", err)
		}
		v := w.watch(logs)
		w.asked(logs)
		old := w.conn
		w.conn = w.hub.Attach("r")
		synctest.Wait()
		equal(t, "closed by another connection", v.closed, true)
		<-old.Done()
		if _, err := old.Next(w.Context()); err == nil {
			t.Error("the old connection goes on")
		}
		old.Close() // does not take the new one with it
		v = w.watch(logs)
		w.asked(logs)
		w.conn.Close()
		w.conn.Close()
		synctest.Wait()
		equal(t, "closed with its connection", v.closed, true)
		if _, err := w.hub.Watch(w.Context(), "r", "a", logs); !errors.Is(err, live.ErrNotConnected) {
			t.Errorf("error %v", err)
		}
		w.conn.Log("a", live.LogChunk{Data: []byte("late")})
		w.conn.End("a")
		w.hub.Close()
		<-w.hub.Attach("r").Done()
	})
}

func TestWatchingNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		v := w.watch(live.What{})
		synctest.Wait()
		equal(t, "closed", v.closed, true)
		w.asked()
	})
}

func TestTheNumberOfWatchersIsBounded(t *testing.T) {
	inWorld(t, func(w *world) {
		ctx, cancel := context.WithCancel(w.Context())
		var err error
		n := 0
		for ; err == nil && n < 10_000; n++ {
			_, err = w.hub.Watch(ctx, "r", fmt.Sprint(n), logs)
		}
		if !errors.Is(err, live.ErrTooManyWatchers) {
			t.Errorf("error %v after %d", err, n)
		}
		cancel()
		synctest.Wait()
		w.watch(logs) // there is room again
	})
}
