package telemetry

import (
	"context"
	"errors"
	"io"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/tetryx/lynx-runner/internal/runner/watchdog"
	"github.com/tetryx/lynx-runner/internal/study"
	telemetryv1 "github.com/tetryx/lynx-runner/proto/lynx/telemetry/v1"
)

// outcome is everything that must not depend on how samples arrived.
type outcome struct {
	Samples []string
	Summary Summary
	Verdict *watchdog.Verdict
	Calls   int
}

// delivery is one server's life, or several: its log goes on.
type delivery struct {
	t      *rapid.T
	tb     testing.TB
	cfg    Config
	server *Server
	client *client
	calls  int
}

func newDelivery(tb testing.TB, t *rapid.T, w *watchdog.Watchdog) *delivery {
	d := &delivery{t: t, tb: tb, cfg: place(tb)}
	d.cfg.Evaluate = w.Evaluate
	d.cfg.OnVerdict = func(Finding) { d.calls++ }
	d.restart()
	return d
}

// restart ends the server, if there is one, and begins another.
func (d *delivery) restart() {
	if d.server != nil {
		d.stop()
	}
	// An earlier server's verdict is announced again by the next.
	d.calls = 0
	d.server = serve(d.tb, d.cfg)
	d.client = dial(d.tb, d.cfg.Socket)
}

func (d *delivery) stop() Summary {
	_ = d.client.cc.Close()
	sum, err := d.server.Finish(context.Background())
	if err != nil {
		d.t.Fatal(err)
	}
	return sum
}

// deliver sends batches[from:to] on a stream of its own, and ends it in one of
// several ways. It returns how many batches from the first are acknowledged.
func (d *delivery) deliver(batches []*telemetryv1.StreamRequest, from, to int, end string) int {
	ctx, cancel := context.WithCancel(d.tb.Context())
	defer cancel()
	st, err := d.client.Stream(ctx)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, b := range batches[from:to] {
		if err := st.Send(b); err != nil {
			d.t.Fatal(err)
		}
	}
	switch end {
	case "close":
		if err := st.CloseSend(); err != nil {
			d.t.Fatal(err)
		}
		var acked uint64
		for {
			r, err := st.Recv()
			if errors.Is(err, io.EOF) {
				return int(acked)
			}
			if err != nil {
				d.t.Fatal(err)
			}
			acked = r.GetAcknowledgedSequence()
		}
	case "first ack":
		r, err := st.Recv()
		if err != nil {
			d.t.Fatal(err)
		}
		return int(r.GetAcknowledgedSequence())
	}
	return 0
}

func (d *delivery) outcome() outcome {
	o := outcome{Summary: d.stop(), Calls: d.calls}
	o.Summary.DuplicateBatches = 0
	if v, _, ok := d.server.Verdict(); ok {
		o.Verdict = &v
	}
	samples, again := readBack(d.tb, d.cfg.LogPath)
	for _, s := range samples {
		raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(s)
		if err != nil {
			d.t.Fatal(err)
		}
		o.Samples = append(o.Samples, string(raw))
	}
	reread := again.summary()
	reread.DuplicateBatches = 0
	if diff := cmp.Diff(o.Summary, reread); diff != "" {
		d.t.Fatalf("the log does not add up to the summary: %s", diff)
	}
	return o
}

// split makes numbered batches of samples.
func split(t *rapid.T, samples []*telemetryv1.Sample, label string) (batches []*telemetryv1.StreamRequest) {
	for rest := samples; len(rest) > 0; {
		n := rapid.IntRange(1, len(rest)).Draw(t, label)
		batches = append(batches, batch(uint64(len(batches)+1), rest[:n]...))
		rest = rest[n:]
	}
	return batches
}

// Any way of batching, losing connections, resending, repeating and restarting
// the runner ends in the same log, summary and verdict as one clean stream.
func TestDeliveryDoesNotMatter(t *testing.T) {
	w := watchdog.New([]study.Condition{
		{Name: "low", Variable: "a", Operator: study.LT, Threshold: -8},
		{Name: "high", Variable: "b", Operator: study.GT, Threshold: 8, Units: "m"},
	})
	rapid.Check(t, func(rt *rapid.T) {
		values := rapid.OneOf(rapid.Float64Range(-10, 10), rapid.SampledFrom([]float64{math.NaN(), math.Inf(1)}))
		samples := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) *telemetryv1.Sample {
			s := sample(values.Draw(rt, "time"), "a", rapid.Float64Range(-8.5, 10).Draw(rt, "a"), "")
			s.Values = append(s.Values, &telemetryv1.Value{
				Name: rapid.SampledFrom([]string{"b", "c", ""}).Draw(rt, "name"), Value: values.Draw(rt, "value"),
				Unit: rapid.SampledFrom([]string{"m", "m", "km"}).Draw(rt, "unit"),
			})
			return s
		}), 1, 20).Draw(rt, "samples")

		clean := newDelivery(t, rt, w)
		all := split(rt, samples, "clean")
		clean.deliver(all, 0, len(all), "close")
		want := clean.outcome()

		rough := newDelivery(t, rt, w)
		batches := split(rt, samples, "rough")
		acked := 0
		for range rapid.IntRange(0, 5).Draw(rt, "attempts") {
			// A client sends again from anywhere up to what it knows to be taken.
			from := rapid.IntRange(0, acked).Draw(rt, "from")
			to := rapid.IntRange(from, len(batches)).Draw(rt, "to")
			end := "vanish"
			if to > from {
				end = rapid.SampledFrom([]string{"close", "vanish", "first ack"}).Draw(rt, "end")
			}
			acked = max(acked, rough.deliver(batches, from, to, end))
			if rapid.Bool().Draw(rt, "restart") {
				rough.restart()
			}
		}
		rough.deliver(batches, min(acked, len(batches)-1), len(batches), "close")
		got := rough.outcome()
		if diff := cmp.Diff(want, got, cmp.Comparer(sameVerdict)); diff != "" {
			rt.Fatalf("the way of delivery made a difference: %s", diff)
		}
		if !slices.IsSorted([]int{0, got.Calls, 1}) {
			rt.Fatalf("OnVerdict was called %d times", got.Calls)
		}
	})
}

// sameVerdict compares also where a value is NaN.
func sameVerdict(a, b watchdog.Verdict) bool {
	same := func(x, y float64) bool { return x == y || math.IsNaN(x) && math.IsNaN(y) }
	return a.Kind == b.Kind && a.Condition == b.Condition && a.Message == b.Message && same(a.Value, b.Value) && same(a.Time, b.Time)
}
