package telemetry

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	telemetryv1 "github.com/tetryx/lynx-runner/proto/lynx/telemetry/v1"

	"github.com/tetryx/lynx-runner/internal/runner/watchdog"
)

// disk is a log in memory whose writes a test can hold or fail.
type disk struct {
	mu      sync.Mutex
	data    []byte
	hold    chan struct{} // writes wait until it is closed, if not nil
	fail    error
	failCut error
}

func (d *disk) Write(p []byte) (int, error) {
	if d.hold != nil {
		<-d.hold
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail != nil {
		// As much as a full disk takes.
		n := len(p) / 2
		d.data = append(d.data, p[:n]...)
		return n, d.fail
	}
	d.data = append(d.data, p...)
	return len(p), nil
}

func (d *disk) Truncate(size int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failCut == nil {
		d.data = d.data[:size]
	}
	return d.failCut
}

func (d *disk) Close() error { return nil }

func (d *disk) failWith(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail = err
}

func (d *disk) reread(t *testing.T) *tally {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	again := newTally()
	good, err := replay(bytes.NewReader(d.data), again)
	if err != nil || good != int64(len(d.data)) {
		t.Fatalf("the log is good to %d of %d: %v", good, len(d.data), err)
	}
	return again
}

// bench is an intake and a writer without a server.
type bench struct {
	t    *testing.T
	in   *intake
	w    *writer
	disk *disk
	done chan struct{}
}

func newBench(t *testing.T, cfg Config, d *disk) *bench {
	t.Helper()
	cfg.AttemptID = attempt
	cfg, err := cfg.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	d.data = encoded(t)
	tl := newTally()
	b := &bench{t: t, in: newIntake(cfg, tl, int64(len(d.data))), disk: d, done: make(chan struct{})}
	b.w = &writer{in: b.in, file: d, size: int64(len(d.data)), tally: tl, log: slog.New(slog.DiscardHandler)}
	go func() {
		defer close(b.done)
		b.w.run()
	}()
	return b
}

func (b *bench) batch(m *telemetryv1.StreamRequest) (full bool) {
	b.t.Helper()
	raw, err := proto.Marshal(m)
	if err != nil {
		b.t.Fatal(err)
	}
	_, full, err = b.in.batch(raw, time.Now())
	if err != nil {
		b.t.Fatal(err)
	}
	return full
}

func (b *bench) finish() (Summary, error) {
	b.in.close()
	<-b.done
	err := b.w.finish(b.in.lastCounters())
	return b.w.tally.summary(), err
}

// big is a batch of about a megabyte in memory.
func big(sequence uint64) *telemetryv1.StreamRequest {
	s := &telemetryv1.Sample{}
	for range 8000 {
		s.Values = append(s.Values, &telemetryv1.Value{Name: "x", Value: 1})
	}
	return batch(sequence, s)
}

// While storage is behind, a stream waits for two seconds, not more, then
// samples are dropped and counted, and memory stays bounded; each of them was
// judged. When storage is back, everything goes on.
func TestBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{hold: make(chan struct{})}
		judged := 0
		b := newBench(t, Config{Evaluate: func(*telemetryv1.Sample) *watchdog.Verdict { judged++; return nil }}, d)
		sequence := uint64(0)
		full := false
		for !full {
			sequence++
			full = b.batch(big(sequence))
		}
		start := time.Now()
		b.in.waitForSpace(t.Context())
		if waited := time.Since(start); waited != stallLimit {
			t.Errorf("the stream waited for %v", waited)
		}
		held, queued := sequence, b.in.queued
		for range 1000 {
			sequence++
			if b.batch(batch(sequence, sample(0, "x", 1, ""))) {
				t.Fatal("a stream is to wait again")
			}
		}
		if b.in.queued != queued || len(b.in.queue) > int(held)+1 {
			t.Errorf("dropping takes memory: %d entries, %d bytes", len(b.in.queue), b.in.queued)
		}
		if written, _ := b.in.acknowledged(); written != 0 {
			t.Errorf("acknowledged %d before anything was written", written)
		}
		close(d.hold)
		synctest.Wait()
		if written, _ := b.in.acknowledged(); written != sequence {
			t.Errorf("acknowledged %d of %d", written, sequence)
		}
		sequence++
		b.batch(big(sequence))
		sum, err := b.finish()
		if err != nil || sum.Samples != held+1 || sum.Dropped != 1000 || judged != int(sequence) || len(sum.Warnings) != 1 {
			t.Errorf("%+v, %d judged, %v", sum, judged, err)
		}
		if again := d.reread(t); again.counters != b.w.tally.counters || again.samples != sum.Samples {
			t.Errorf("the log says %+v", again.counters)
		}
	})
}

// A Publish is answered when its sample is in the log. While the disk stands still,
// the first one is after two seconds, and the next ones at once.
func TestPublishIsAnsweredWhenWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{hold: make(chan struct{})}
		b := newBench(t, Config{}, d)
		s := &service{in: b.in, now: time.Now}
		publish := func(ctx context.Context) (took time.Duration) {
			start := time.Now()
			if _, err := s.Publish(ctx, &telemetryv1.PublishRequest{Sample: sample(0, "x", 1, "")}); err != nil {
				t.Error(err)
			}
			return time.Since(start)
		}
		gone, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for i, want := range []time.Duration{time.Second, stallLimit, 0} {
			ctx := t.Context()
			if i == 0 {
				ctx = gone
			}
			if took := publish(ctx); took != want {
				t.Errorf("answer %d after %v, want %v", i, took, want)
			}
		}
		go func() { time.Sleep(time.Second); close(d.hold) }()
		b.in.mu.Lock()
		b.in.behind = false // as after a write
		b.in.mu.Unlock()
		if took := publish(t.Context()); took != time.Second {
			t.Errorf("answered %v after a write that took a second", took)
		}
		if got := d.reread(t).samples; got != 4 {
			t.Errorf("%d samples are in the log when the last is answered", got)
		}
		if sum, err := b.finish(); err != nil || sum.Samples != 4 || b.in.behind {
			t.Errorf("%+v, %v", sum, err)
		}
	})
}

func TestBackPressureEndsEarly(t *testing.T) {
	fill := func(b *bench) {
		for n := uint64(1); !b.batch(big(n)); n++ {
		}
	}
	cases := map[string]struct {
		act  func(b *bench, d *disk, cancel context.CancelFunc)
		want time.Duration
	}{
		"storage comes back":  {func(_ *bench, d *disk, _ context.CancelFunc) { close(d.hold) }, time.Second},
		"the stream is gone":  {func(_ *bench, _ *disk, cancel context.CancelFunc) { cancel() }, time.Second},
		"the job has ended":   {func(b *bench, _ *disk, _ context.CancelFunc) { b.in.drain() }, time.Second + drainStallLimit},
		"nothing, for longer": {func(*bench, *disk, context.CancelFunc) {}, stallLimit},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &disk{hold: make(chan struct{})}
				b := newBench(t, Config{}, d)
				fill(b)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go func() {
					time.Sleep(time.Second)
					tc.act(b, d, cancel)
				}()
				start := time.Now()
				b.in.waitForSpace(ctx)
				if got := time.Since(start); got != tc.want {
					t.Errorf("waited for %v, want %v", got, tc.want)
				}
				time.Sleep(time.Second)
				select {
				case <-d.hold:
				default:
					close(d.hold)
				}
				if _, err := b.finish(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A disk that fails costs samples, which are counted, and leaves a log that
// reads well and goes on when the disk does.
func TestFailingDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{}
		b := newBench(t, Config{}, d)
		write := func(sequence uint64) {
			b.batch(batch(sequence, sample(float64(sequence), "x", float64(sequence), "")))
			synctest.Wait()
		}
		write(1)
		d.failWith(errors.New("no space left"))
		write(2)
		write(3)
		d.failWith(nil)
		write(4)
		if written, _ := b.in.acknowledged(); written != 4 {
			t.Errorf("acknowledged %d", written)
		}
		sum, err := b.finish()
		if err == nil || !strings.Contains(err.Error(), "no space left") {
			t.Errorf("error is %v", err)
		}
		if sum.Samples != 2 || sum.Dropped != 2 || sum.Variables[0].Max != 4 {
			t.Errorf("%+v", sum)
		}
		if again := d.reread(t); again.samples != 2 || again.counters != b.w.tally.counters {
			t.Errorf("the log says %+v", again)
		}
	})
}

func TestDiskThatCantEvenCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{failCut: errors.New("cannot cut")}
		b := newBench(t, Config{}, d)
		d.failWith(errors.New("no space left"))
		b.batch(batch(1, sample(1, "x", 1, "")))
		synctest.Wait()
		d.failWith(nil)
		size := len(d.data)
		b.batch(batch(2, sample(2, "x", 2, "")))
		sum, err := b.finish()
		if err == nil || sum.Samples != 0 || sum.Dropped != 2 || len(d.data) != size {
			t.Errorf("%+v, %v, %d bytes after %d", sum, err, len(d.data), size)
		}
	})
}

func TestLogIsBounded(t *testing.T) {
	d := &disk{}
	b := newBench(t, Config{MaxLogBytes: 4000}, d)
	for n := range uint64(100) {
		b.batch(batch(n+1, sample(float64(n), "some.variable.with.a.long.name", 1, "km")))
	}
	sum, err := b.finish()
	if err != nil || sum.Dropped == 0 || sum.Samples == 0 || sum.Samples+sum.Dropped != 100 || len(d.data) > 4000+1000 {
		t.Errorf("%+v, %v, %d bytes", sum, err, len(d.data))
	}
	if len(sum.Warnings) != 1 || !strings.Contains(sum.Warnings[0], "log was full") {
		t.Errorf("%q", sum.Warnings)
	}
}

// What can't be kept is counted by its reason; the rest of its sample is kept.
func TestAdmission(t *testing.T) {
	ok := func(time float64, extra ...*telemetryv1.Value) *telemetryv1.Sample {
		s := sample(time, "ok", time, "m")
		s.Values = append(s.Values, extra...)
		return s
	}
	cases := []struct {
		name          string
		sample        *telemetryv1.Sample
		kept, dropped uint64
		says          string
	}{
		{"as it should be", ok(2), 3, 0, ""},
		{"time goes backwards", ok(-5), 3, 0, ""},
		{"no values", &telemetryv1.Sample{TimeSeconds: 2}, 3, 0, ""},
		{"time NaN", ok(math.NaN()), 2, 1, "simulation time"},
		{"time infinite", ok(math.Inf(1)), 2, 1, "simulation time"},
		{"name empty", ok(2, &telemetryv1.Value{Value: 1}), 3, 1, "empty or longer"},
		{"name too long", ok(2, &telemetryv1.Value{Name: strings.Repeat("n", maxName+1)}), 3, 1, "empty or longer"},
		{"name of the longest", ok(2, &telemetryv1.Value{Name: strings.Repeat("n", maxName), Unit: strings.Repeat("u", maxUnit)}), 3, 0, ""},
		{"unit too long", ok(2, &telemetryv1.Value{Name: "n", Unit: strings.Repeat("u", maxUnit+1)}), 3, 1, "or its unit"},
		{"two bad values are one sample", ok(2, &telemetryv1.Value{}, &telemetryv1.Value{}), 3, 1, "empty or longer"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			d := &disk{}
			b := newBench(t, Config{}, d)
			b.batch(batch(1, ok(0), tc.sample, ok(1)))
			sum, err := b.finish()
			if err != nil || sum.Samples != tc.kept || sum.Dropped != tc.dropped || !strings.Contains(strings.Join(sum.Warnings, ""), tc.says) {
				t.Errorf("%+v, %v", sum, err)
			}
			if again := d.reread(t).summary(); again.Samples != tc.kept || again.Dropped != tc.dropped || again.Variables[0] != sum.Variables[0] {
				t.Errorf("the log says %+v", again)
			}
		})
	}
}

func TestVariablesAreBounded(t *testing.T) {
	d := &disk{}
	b := newBench(t, Config{}, d)
	s := &telemetryv1.Sample{}
	for i := range maxVariables + 50 {
		s.Values = append(s.Values, &telemetryv1.Value{Name: strings.Repeat("v", i%150+1) + string(rune('a'+i/150)), Value: 1})
	}
	b.batch(batch(1, s))
	b.batch(batch(2, s, sample(1, s.Values[0].Name, 7, "")))
	sum, err := b.finish()
	if err != nil || len(sum.Variables) != maxVariables || sum.Samples != 3 || sum.Dropped != 2 || !strings.Contains(sum.Warnings[0], "more than 1000 variables") {
		t.Errorf("%d variables, %d samples, %d dropped, %q, %v", len(sum.Variables), sum.Samples, sum.Dropped, sum.Warnings, err)
	}
}

func TestRefusals(t *testing.T) {
	many := &telemetryv1.Sample{}
	for range maxValues + 1 {
		many.Values = append(many.Values, &telemetryv1.Value{})
	}
	cases := map[string]*telemetryv1.StreamRequest{
		"another attempt":  {AttemptId: "job-2", Sequence: 1},
		"no sequence":      {AttemptId: attempt},
		"too many values":  batch(1, many),
		"too many samples": batch(1, make([]*telemetryv1.Sample, maxValues+1)...),
	}
	for name, m := range cases {
		t.Run(name, func(t *testing.T) {
			for i := range m.GetSamples() {
				if m.Samples[i] == nil {
					m.Samples[i] = &telemetryv1.Sample{}
				}
			}
			raw, err := proto.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			b := newBench(t, Config{}, &disk{})
			if _, _, err := b.in.batch(raw, time.Now()); status.Code(err) != codes.InvalidArgument {
				t.Errorf("error is %v", err)
			}
			if sum, err := b.finish(); err != nil || sum.Samples != 0 {
				t.Errorf("%+v, %v", sum, err)
			}
		})
	}
	t.Run("no message", func(t *testing.T) {
		b := newBench(t, Config{}, &disk{})
		for _, raw := range [][]byte{{0xff}, []byte("\x1a\x05\x12\x03\x0a\x01\xff")} {
			if _, _, err := b.in.batch(raw, time.Now()); status.Code(err) != codes.InvalidArgument {
				t.Errorf("%x: error is %v", raw, err)
			}
		}
		_, _ = b.finish()
	})
}

func TestCountersOfTheClient(t *testing.T) {
	b := newBench(t, Config{}, &disk{})
	for _, m := range []*telemetryv1.StreamRequest{
		{Sequence: 1, ClientDroppedSamples: 3}, {Sequence: 4, ClientDroppedSamples: 7}, {Sequence: 4, ClientDroppedSamples: 9}, {Sequence: 2},
	} {
		b.batch(m)
	}
	sum, err := b.finish()
	if err != nil || sum.ClientDropped != 9 || sum.MissingBatches != 2 || sum.DuplicateBatches != 2 || len(sum.Warnings) != 2 {
		t.Errorf("%+v, %v", sum, err)
	}
	if again := b.disk.reread(t); again.counters != b.w.tally.counters {
		t.Errorf("the log says %+v, not %+v", again.counters, b.w.tally.counters)
	}
}

func TestNonFiniteValuesAreCountedApart(t *testing.T) {
	b := newBench(t, Config{}, &disk{})
	b.batch(batch(1, sample(0, "x", math.NaN(), "m"), sample(1, "x", -3, "m"), sample(2, "x", 4, "km"), sample(3, "x", math.Inf(1), "m"), sample(4, "y", math.NaN(), "")))
	sum, err := b.finish()
	want := VariableSummary{Name: "x", Unit: "m", Count: 2, NonFinite: 2, Min: -3, Max: 4, Last: 4}
	if err != nil || sum.Variables[0] != want || sum.Variables[1] != (VariableSummary{Name: "y", NonFinite: 1}) {
		t.Errorf("%+v, %v", sum.Variables, err)
	}
	if len(sum.Warnings) != 1 || !strings.Contains(sum.Warnings[0], `more than one unit`) {
		t.Errorf("%q", sum.Warnings)
	}
}

func TestCountFieldsIsSafeAndFindsHiddenSize(t *testing.T) {
	if n := countFields(bytes.Repeat([]byte{0x1a, 0}, 1000), 1); n != 1000 {
		t.Errorf("counted %d empty samples of 1000", n)
	}
	for _, raw := range [][]byte{nil, {0x1a}, {0x1a, 0x05, 1}, bytes.Repeat([]byte{0xff}, 100), {0x0b, 0x0b}} {
		if n := countFields(raw, 1); n != 0 {
			t.Errorf("%x has %d", raw, n)
		}
	}
}
