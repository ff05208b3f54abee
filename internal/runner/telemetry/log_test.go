package telemetry

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	telemetryv1 "github.com/tetryx/lynx-runner/proto/lynx/telemetry/v1"
)

// encoded makes a log of an attempt and batches.
func encoded(tb testing.TB, batches ...*telemetryv1.StreamRequest) []byte {
	tb.Helper()
	data := appendRecord([]byte(logMagic), recordAttempt, []byte(attempt))
	for _, b := range batches {
		raw, err := proto.Marshal(b)
		if err != nil {
			tb.Fatal(err)
		}
		data = appendRecord(data, recordBatch, raw)
	}
	return data
}

// Wherever a crash cuts a log, what was whole is kept, the rest is cut off, and
// writing goes on behind it.
func TestOpenLogCutsATornEnd(t *testing.T) {
	whole := encoded(t, batch(1, sample(0, "x", 1, "")), batch(2, sample(1, "x", 2, "")))
	first := len(encoded(t, batch(1, sample(0, "x", 1, ""))))
	head := len(encoded(t))
	for length := range len(whole) + 1 {
		path := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(path, whole[:length], 0o600); err != nil {
			t.Fatal(err)
		}
		tl := newTally()
		f, size, cut, err := openLog(path, attempt, tl)
		if err != nil {
			t.Fatalf("%d bytes: %v", length, err)
		}
		want := uint64(0)
		if length >= first {
			want = 1
		}
		if length == len(whole) {
			want = 2
		}
		wantSize := max(int64(head), int64(length)-cut)
		if tl.samples != want || tl.counters.LastSequence != want || size != wantSize {
			t.Fatalf("%d bytes: %d samples, size %d, cut %d", length, tl.samples, size, cut)
		}
		if _, err := f.Write(appendRecord(nil, recordCounters, counters{LastSequence: 9}.encode())); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if _, again := readBack(t, path); again.samples != want || again.counters.LastSequence != 9 || again.attemptID != attempt {
			t.Fatalf("%d bytes: read back %+v", length, again)
		}
	}
}

func TestOpenLogNoticesChangedBytes(t *testing.T) {
	whole := encoded(t, batch(1, sample(0, "x", 1, "")), batch(2, sample(1, "x", 2, "")))
	first := len(encoded(t, batch(1, sample(0, "x", 1, ""))))
	for i := first; i < len(whole); i++ {
		changed := bytes.Clone(whole)
		changed[i] ^= 0x10
		tl := newTally()
		good, err := replay(bytes.NewReader(changed), tl)
		if err != nil || tl.samples != 1 || good != int64(first) {
			t.Fatalf("byte %d: %d samples, good %d, %v", i, tl.samples, good, err)
		}
	}
}

func TestOpenLogRefuses(t *testing.T) {
	cases := []struct {
		name, says string
		make       func(path string) error
	}{
		{"another attempt's log", "belongs to attempt", func(path string) error {
			return os.WriteFile(path, appendRecord([]byte(logMagic), recordAttempt, []byte("job-2")), 0o600)
		}},
		{"another file", "not a telemetry log", func(path string) error { return os.WriteFile(path, []byte("something else"), 0o600) }},
		{"a record of another version", "unknown kind", func(path string) error {
			return os.WriteFile(path, appendRecord(encoded(t), 'Z', nil), 0o600)
		}},
		{"a batch that is none", "decoding", func(path string) error {
			return os.WriteFile(path, appendRecord(encoded(t), recordBatch, []byte{0xff}), 0o600)
		}},
		{"counters of another version", "counters", func(path string) error {
			return os.WriteFile(path, appendRecord(encoded(t), recordCounters, []byte{1}), 0o600)
		}},
		{"a second attempt record", "attempt's id", func(path string) error {
			return os.WriteFile(path, appendRecord(encoded(t), recordAttempt, []byte(attempt)), 0o600)
		}},
		{"a link", "too many levels", func(path string) error { return os.Symlink(path+"x", path) }},
		{"no directory", "no such file", func(path string) error { return os.Remove(filepath.Dir(path)) }},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "d", "log")
			if err := errors.Join(os.Mkdir(filepath.Dir(path), 0o700), tc.make(path)); err != nil {
				t.Fatal(err)
			}
			before, _ := os.ReadFile(path)
			if _, _, _, err := openLog(path, attempt, newTally()); err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("error is %v, want %q", err, tc.says)
			}
			if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
				t.Error("the file was changed")
			}
		})
	}
}

func TestReadErrorsAreNotTornEnds(t *testing.T) {
	broken := errors.New("broken disk")
	r := io.MultiReader(bytes.NewReader(encoded(t)[:20]), errReader{broken})
	if _, err := replay(r, newTally()); !errors.Is(err, broken) {
		t.Errorf("error is %v", err)
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

func TestVerdictRecord(t *testing.T) {
	arrived := time.Unix(1700000000, 123456789)
	payload, err := encodeVerdict(arrived, sample(3980, "r", 6362, "km"))
	if err != nil {
		t.Fatal(err)
	}
	when, s, err := decodeVerdict(payload)
	if err != nil || !when.Equal(arrived) || !proto.Equal(s, sample(3980, "r", 6362, "km")) {
		t.Errorf("%v, %v, %v", when, s, err)
	}
	for _, bad := range [][]byte{nil, payload[:7], append(bytes.Clone(payload[:8]), 0xff)} {
		if _, _, err := decodeVerdict(bad); err == nil {
			t.Errorf("%x is taken for a verdict", bad)
		}
	}
}

// Whatever is in the file: no panic, bounded memory, and the part that is called
// good reads the same again, to its end.
func FuzzLogReader(f *testing.F) {
	whole := encoded(f, batch(1, sample(0, "x", 1, "km")), batch(2))
	f.Add(whole)
	f.Add(whole[:len(whole)-3])
	f.Add(appendRecord(bytes.Clone(whole), recordCounters, counters{LastSequence: 7}.encode()))
	f.Add([]byte(logMagic + "\xff\xff\xff\xff\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		first := newTally()
		good, err := replay(bytes.NewReader(data), first)
		if good < 0 || good > int64(len(data)) {
			t.Fatalf("good is %d of %d", good, len(data))
		}
		if err != nil {
			return
		}
		second := newTally()
		again, err := replay(bytes.NewReader(data[:good]), second)
		if err != nil || again != good || first.samples != second.samples || first.counters != second.counters {
			t.Fatalf("the good part reads as %d of %d, %v", again, good, err)
		}
	})
}
