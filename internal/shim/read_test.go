package shim

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// reading is what a LogReader brought, checked against what was written.
type reading struct {
	*LogReader
	written func() []byte
	seen    []bool
	last    int64
}

// next reads one piece and reports whether there was any.
func (r *reading) next(t *rapid.T, size int) bool {
	p := make([]byte, size)
	offset, n, err := r.Next(p)
	if err != nil {
		t.Fatal(err)
	}
	written := r.written()
	switch end := offset + int64(n); {
	case n == 0:
		return false
	case offset < r.last:
		t.Fatalf("offset %d after %d", offset, r.last)
	case end > int64(len(written)) || !bytes.Equal(p[:n], written[offset:end]):
		t.Fatalf("at %d: %q of %q", offset, p[:n], written)
	default:
		r.last = end
		r.seen = append(r.seen, make([]bool, len(written)-len(r.seen))...)
		for i := offset; i < end; i++ {
			r.seen[i] = true
		}
	}
	return true
}

func (r *reading) missing() (list []int) {
	for i := range r.written() {
		if i >= len(r.seen) || !r.seen[i] {
			list = append(list, i)
		}
	}
	return list
}

// Whenever it reads, a reader gets what was written, at the offset where it was
// written, and never twice; in the end it has had all that the log keeps, and if
// it kept up, everything.
func TestLogReaderFollows(t *testing.T) {
	base := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp(base, "log")
		if err != nil {
			t.Fatal(err)
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		head, tail := rapid.IntRange(0, 40).Draw(t, "head"), rapid.IntRange(0, 40).Draw(t, "tail")
		var written []byte
		r := &reading{LogReader: NewLogReader(root, "stdout.log", int64(head), int64(tail)), written: func() []byte { return written }}
		defer r.Close()
		if r.next(t, 8) {
			t.Fatal("read a log that is not there")
		}
		l, err := openLog(filepath.Join(dir, "stdout.log"), int64(head), int64(tail))
		if err != nil {
			t.Fatal(err)
		}
		keepUp := rapid.Bool().Draw(t, "keep up")
		for range rapid.IntRange(0, 30).Draw(t, "writes") {
			piece := rapid.SliceOfN(rapid.Byte(), 0, 60).Draw(t, "piece")
			if keepUp {
				piece = piece[:min(len(piece), max(tail, 1))]
			}
			l.write(piece)
			written = append(written, piece...)
			reads := rapid.IntRange(0, 3).Draw(t, "reads")
			for i := 0; keepUp || i < reads; i++ {
				if !r.next(t, rapid.IntRange(1, 50).Draw(t, "size")) {
					break
				}
			}
		}
		report := l.close()
		r.Finish(report.Dropped)
		for r.next(t, rapid.IntRange(1, 50).Draw(t, "size")) {
		}
		for _, i := range r.missing() {
			if keepUp && tail > 0 || i < head || i >= len(written)-tail {
				t.Fatalf("byte %d of %d was not read, head %d, tail %d", i, len(written), head, tail)
			}
		}
	})
}

// Read while it is written, a log is what was written, whichever segment is begun
// anew at that moment.
func TestLogReaderBesideTheWriter(t *testing.T) {
	const head, tail, total = 1000, 300, 2 << 20
	content := func(offset int64) byte { return byte(offset*7 + offset/256*13) }
	dir := t.TempDir()
	l, err := openLog(filepath.Join(dir, "stdout.log"), head, tail)
	if err != nil {
		t.Fatal(err)
	}
	r := readerOf(t, dir, head, tail)
	finished := make(chan LogReport)
	go func() {
		piece := make([]byte, 0, 700)
		for at := int64(0); at < total; at += int64(len(piece)) {
			piece = piece[:min(1+at%700, total-at)]
			for i := range piece {
				piece[i] = content(at + int64(i))
			}
			l.write(piece)
		}
		finished <- l.close()
	}()
	p, last, done := make([]byte, 512), int64(0), false
	for {
		offset, n, err := r.Next(p)
		if err != nil {
			t.Fatal(err)
		}
		for i, b := range p[:n] {
			if b != content(offset+int64(i)) {
				t.Fatalf("at %d: %d, want %d", offset+int64(i), b, content(offset+int64(i)))
			}
		}
		if n > 0 && offset < last {
			t.Fatalf("offset %d after %d", offset, last)
		}
		last = max(last, offset+int64(n))
		if n > 0 {
			continue
		}
		if done {
			break
		}
		select {
		case report := <-finished:
			r.Finish(report.Dropped)
			done = true
		default:
		}
	}
	if last != total {
		t.Errorf("read up to %d of %d", last, total)
	}
}

// A job can put anything in the place of its logs: nothing else is read, and no
// more than a log may have.
func TestLogReaderOfStrangeFiles(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, put := range map[string]func(path string) error{
		"link":      func(path string) error { return os.Symlink(secret, path) },
		"hard link": func(path string) error { return os.Link(secret, path) },
		"fifo":      func(path string) error { return unix.Mkfifo(path, 0o600) },
		"directory": func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		for _, suffix := range []string{"", segmentSuffixA} {
			t.Run(name+suffix, func(t *testing.T) {
				dir := t.TempDir()
				r := readerOf(t, dir, 0, 10)
				if suffix != "" {
					write(t, filepath.Join(dir, "stdout.log"), "")
				}
				if err := put(filepath.Join(dir, "stdout.log"+suffix)); err != nil {
					t.Fatal(err)
				}
				if _, n, err := r.Next(make([]byte, 100)); err == nil || n > 0 {
					t.Errorf("%d bytes, error %v", n, err)
				}
			})
		}
	}
}

func TestLogReaderIsBounded(t *testing.T) {
	for dropped, want := range map[int64]int{0: 30, 5: 30, 1 << 62: 30, 1<<63 - 1: 10} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "stdout.log"), strings.Repeat("x", 10_000))
		write(t, filepath.Join(dir, "stdout.log"+segmentSuffixA), "lynx log tail 99999999999999999\n"+strings.Repeat("y", 10_000))
		r := readerOf(t, dir, 10, 20)
		got := 0
		for _, finished := range []bool{false, true} {
			if finished {
				r.Finish(dropped)
			}
			for {
				_, n, err := r.Next(make([]byte, 7))
				if err != nil || got > 1000 {
					t.Fatalf("%d bytes, error %v", got, err)
				}
				if got += n; n == 0 {
					break
				}
			}
		}
		if got != want {
			t.Errorf("dropped %d: %d bytes, want %d", dropped, got, want)
		}
	}
}

func readerOf(t *testing.T, dir string, head, tail int64) *LogReader {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	r := NewLogReader(root, "stdout.log", head, tail)
	t.Cleanup(func() { r.Close(); _ = root.Close() })
	return r
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil && !errors.Is(err, fs.ErrExist) {
		t.Fatal(err)
	}
}
