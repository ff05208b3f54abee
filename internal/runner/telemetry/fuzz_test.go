package telemetry

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	telemetryv1 "github.com/tetryx/lynx-runner/proto/lynx/telemetry/v1"
)

// framed puts batches behind each other, each after its length.
func framed(batches ...[]byte) []byte {
	var out []byte
	for _, b := range batches {
		out = append(binary.AppendUvarint(out, uint64(len(b))), b...)
	}
	return out
}

func marshalled(f *testing.F, messages ...*telemetryv1.StreamRequest) []byte {
	f.Helper()
	var all [][]byte
	for _, m := range messages {
		raw, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, raw)
	}
	return framed(all...)
}

// FuzzStream: whatever batches a job sends, what is refused is the job's fault and
// changes nothing; what is kept is within the bounds, and reads back from the log
// as it was queued.
func FuzzStream(f *testing.F) {
	f.Add(marshalled(f, batch(1, sample(0, "x", 1, "km"), sample(1, "y", 2, "")), batch(2), batch(2, sample(3, "x", 1, "m"))))
	f.Add(marshalled(f, batch(7, sample(math.NaN(), "x", 1, "")), batch(3, sample(0, "x", math.Inf(1), ""))))
	f.Add(marshalled(f, batch(math.MaxUint64, sample(-1, "", 0, "km")), batch(1)))
	f.Add(marshalled(f, &telemetryv1.StreamRequest{AttemptId: "another-1", Sequence: 1}, &telemetryv1.StreamRequest{AttemptId: attempt, Sequence: 1, ClientDroppedSamples: 9}))
	f.Add(framed([]byte("\x0a\xff"), []byte("\x10\x01\x1a\x04\x12\x02\x0a\x00"), nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		in := newIntake(Config{AttemptID: attempt, MaxLogBytes: 1 << 16}, newTally(), 0)
		for len(data) > 0 {
			raw, n := protowire.ConsumeBytes(data)
			if n < 0 {
				return
			}
			data = data[n:]
			before, queued := in.counters, len(in.queue)
			sequence, _, err := in.batch(raw, time.Unix(0, 0))
			switch {
			case err != nil:
				if status.Code(err) != codes.InvalidArgument || in.counters != before || len(in.queue) != queued {
					t.Fatalf("%v: counters %+v, before %+v", err, in.counters, before)
				}
				continue
			case sequence == 0 || in.counters.LastSequence < max(sequence, before.LastSequence):
				t.Fatalf("batch %d makes the last sequence number %d", sequence, in.counters.LastSequence)
			}
		}
		checkQueue(t, in)
	})
}

// checkQueue checks what is to be written, and that a log of it adds up to the same.
func checkQueue(t *testing.T, in *intake) {
	t.Helper()
	log := appendRecord([]byte(logMagic), recordAttempt, []byte(attempt))
	names, samples := map[string]bool{}, uint64(0)
	for _, e := range in.queue {
		for _, s := range e.samples {
			samples++
			if x := s.GetTimeSeconds(); math.IsNaN(x) || math.IsInf(x, 0) {
				t.Fatalf("a sample at %v is kept", x)
			}
			for _, v := range s.GetValues() {
				if names[v.GetName()] = true; v.GetName() == "" || len(v.GetName()) > maxName || len(v.GetUnit()) > maxUnit {
					t.Fatalf("%v is kept", v)
				}
			}
		}
		if e.batch != nil {
			log = appendRecord(log, recordBatch, e.batch)
		}
	}
	if len(names) > maxVariables || in.logPending > in.maxLog {
		t.Fatalf("%d variables and %d bytes are kept", len(names), in.logPending)
	}
	read := newTally()
	if good, err := replay(bytes.NewReader(log), read); err != nil || good != int64(len(log)) || read.samples != samples || len(read.variables) != len(names) {
		t.Fatalf("of %d bytes %d can be read back, %v: %d samples of %d", len(log), good, err, read.samples, samples)
	}
}

// FuzzCountFields: a batch that is let through to be decoded has no more values and
// samples than were counted before it was.
func FuzzCountFields(f *testing.F) {
	f.Add([]byte("\x1a\x04\x12\x02\x0a\x00\x1a\x00"))
	f.Add(bytes.Repeat([]byte{0x1a, 0}, 100))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var b telemetryv1.StreamRequest
		if len(raw) > maxMessage || proto.Unmarshal(raw, &b) != nil {
			return
		}
		n := len(b.GetSamples())
		for _, s := range b.GetSamples() {
			n += len(s.GetValues())
		}
		if counted := countFields(raw, 1); counted < n {
			t.Errorf("%d values and samples are counted as %d", n, counted)
		}
		var p telemetryv1.PublishRequest
		if err := newCodec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(raw)}, &p); err == nil && len(p.GetSample().GetValues()) > maxPublishValues {
			t.Errorf("a Publish of %d values is decoded", len(p.GetSample().GetValues()))
		}
	})
}

// FuzzRecord: whatever follows the head of a log, records are read whole or not at
// all, and none is longer than its file or than a record may be.
func FuzzRecord(f *testing.F) {
	f.Add(appendRecord(nil, recordVerdict, []byte("12345678")))
	f.Add(append(appendRecord(nil, recordBatch, nil), 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0))
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		l := newLogReader(io.MultiReader(bytes.NewReader([]byte(logMagic)), bytes.NewReader(data)))
		want := []byte(logMagic)
		for {
			kind, payload, err := l.next()
			if err != nil {
				if !errors.Is(err, io.EOF) && !errors.Is(err, errTorn) {
					t.Fatal(err)
				}
				break
			}
			if len(payload) >= maxRecord {
				t.Fatalf("a record of %d bytes", len(payload))
			}
			want = appendRecord(want, kind, payload)
		}
		// What was read is, written again, the beginning of what was there.
		if int64(len(want)) != l.good || !bytes.HasPrefix(data, want[len(logMagic):]) {
			t.Fatalf("%d of %d bytes are good, %d were read", l.good, len(data), len(want))
		}
	})
}

// FuzzVerdict: what is read as counters or a verdict is written the same.
func FuzzVerdict(f *testing.F) {
	f.Add(counters{LastSequence: 1, Missing: math.MaxUint64, Dropped: [reasons]uint64{1, 2}}.encode())
	f.Add([]byte("12345678\x09\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, err := decodeCounters(data); err == nil && !bytes.Equal(c.encode(), data) {
			t.Errorf("%x is read as %+v", data, c)
		}
		arrived, s, err := decodeVerdict(data)
		if err != nil {
			return
		}
		payload, err := encodeVerdict(arrived, s)
		if err != nil {
			t.Fatal(err)
		}
		again, same, err := decodeVerdict(payload)
		a, _ := proto.Marshal(s)
		b, _ := proto.Marshal(same)
		if err != nil || !again.Equal(arrived) || !bytes.Equal(a, b) {
			t.Errorf("%v, %v became %v, %v, %v", arrived, s, again, same, err)
		}
	})
}
