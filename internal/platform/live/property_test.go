package live_test

import (
	"slices"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"github.com/tetryx/lynx-runner/internal/platform/live"
)

// message is one that the runner has sent and the platform has not read yet.
type message func(*world)

// runner is a runner that has one attempt and sends as the protocol says: what is
// asked for begins anew at the attempt's beginning, a request for nothing is
// answered by an end. Messages lie in flight until the test delivers them.
type runner struct {
	printed, measured int // by the attempt so far
	what              live.What
	log, sample       int // sent of this generation
	over              bool
	flight            []message
}

func (r *runner) ask(what live.What) {
	end := func(w *world) { w.end() }
	switch {
	case r.over, what == live.What{}:
		r.flight = append(r.flight, end)
	default:
		if what.Logs && !r.what.Logs {
			r.log = 0
		}
		if what.Telemetry && !r.what.Telemetry {
			r.sample = 0
		}
	}
	r.what = what
}

// send sends up to n of what there is of both kinds.
func (r *runner) send(n int) {
	if r.over {
		return
	}
	if upto := min(r.log+n, r.printed); r.what.Logs && upto > r.log {
		from, text := int64(r.log), digits(r.log, upto)
		r.flight = append(r.flight, func(w *world) { w.print(from, text) })
		r.log = upto
	}
	if upto := min(r.sample+n, r.measured); r.what.Telemetry && upto > r.sample {
		var times []float64
		for ; r.sample < upto; r.sample++ {
			times = append(times, float64(r.sample))
		}
		r.flight = append(r.flight, func(w *world) { w.measure(0, times...) })
	}
}

// digits is what the attempt prints: its offset, modulo 10.
func digits(from, upto int) string {
	var b []byte
	for k := from; k < upto; k++ {
		b = append(b, byte('0'+k%10))
	}
	return string(b)
}

// TestEveryWatcherSeesTheStreamFromItsBeginning, whoever comes and goes and
// whatever is on its way meanwhile: a prefix of it, without a gap and without
// repetition, and all of it if it stays to the end.
func TestEveryWatcherSeesTheStreamFromItsBeginning(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		actions := rapid.SliceOfN(rapid.IntRange(0, 6), 1, 40).Draw(rt, "actions")
		sizes := rapid.SliceOfN(rapid.IntRange(1, 7), 40, 40).Draw(rt, "sizes")
		synctest.Test(t, func(t *testing.T) {
			h := live.New()
			w := &world{T: t, hub: h, conn: h.Attach("r")}
			r := &runner{}
			var here, gone []*view
			for i, action := range actions {
				n := sizes[i]
				switch action {
				case 0:
					here = append(here, w.watch([]live.What{logs, telemetry, both}[n%3]))
				case 1:
					if len(here) > 0 {
						here[0].cancel()
						gone, here = append(gone, here[0]), here[1:]
					}
				case 2:
					r.printed, r.measured = r.printed+n, r.measured+n
				case 3:
					r.send(n)
				case 4, 5:
					r.deliver(w, n)
				case 6:
					r.hear(w)
				}
				synctest.Wait()
			}
			r.settle(w)
			for _, v := range slices.Concat(here, gone) {
				v.isPrefix(t, r)
			}
			for _, v := range here {
				v.isWhole(t, r)
			}
			h.Close()
			synctest.Wait()
		})
	})
}

func (r *runner) deliver(w *world, n int) {
	for ; n > 0 && len(r.flight) > 0; n-- {
		m := r.flight[0]
		r.flight = r.flight[1:]
		m(w)
	}
}

// hear takes the requests that there are.
func (r *runner) hear(w *world) {
	for _, q := range w.requests() {
		r.ask(q.What)
	}
}

// settle lets the attempt end in order.
func (r *runner) settle(w *world) {
	r.hear(w)
	r.send(1 << 20)
	r.flight = append(r.flight, func(w *world) { w.end() })
	r.over = true
	for range 4 { // what an end says may have been taken for an answer
		r.deliver(w, 1<<20)
		r.hear(w)
	}
}

func (v *view) isPrefix(t *testing.T, r *runner) {
	if got := v.log["stdout"]; got != digits(0, len(got)) || len(got) > r.printed {
		t.Errorf("log %q", got)
	}
	for k, s := range v.samples {
		if s != float64(k) {
			t.Errorf("samples %v", v.samples)
			break
		}
	}
	if v.dropped != 0 {
		t.Errorf("%d samples dropped", v.dropped)
	}
}

func (v *view) isWhole(t *testing.T, r *runner) {
	log, samples := len(v.log["stdout"]), len(v.samples)
	if !v.closed || log != 0 && log != r.printed || samples != 0 && samples != r.measured || log == 0 && samples == 0 && r.printed > 0 {
		t.Errorf("closed %t with %d of %d bytes and %d of %d samples", v.closed, log, r.printed, samples, r.measured)
	}
}
