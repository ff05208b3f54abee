package shim

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// model is what a log must be, computed from everything that was written.
func model(written []byte, head, tail int) []byte {
	if len(written) <= head+tail {
		return written
	}
	cut := fmt.Sprintf("\n[lynx: %d bytes cut here]\n", len(written)-head-tail)
	return bytes.Join([][]byte{written[:head], []byte(cut), written[len(written)-tail:]}, nil)
}

// Whenever the shim ends, or is killed, in whatever pieces the job wrote, the log
// is head, cut and tail.
func TestLogIsHeadCutTail(t *testing.T) {
	base := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp(base, "log")
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "stdout.log")
		head := rapid.IntRange(0, 40).Draw(t, "head")
		tail := rapid.IntRange(1, 40).Draw(t, "tail")
		l, err := openLog(path, int64(head), int64(tail))
		if err != nil {
			t.Fatal(err)
		}
		var written []byte
		for range rapid.IntRange(0, 12).Draw(t, "writes") {
			piece := rapid.SliceOfN(rapid.Byte(), 0, 60).Draw(t, "piece")
			l.write(piece)
			written = append(written, piece...)
		}
		report := end(t, l, rapid.SampledFrom(endings).Draw(t, "ending"), head, tail)
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if want := model(written, head, tail); !bytes.Equal(content, want) {
			t.Fatalf("log %q\nwant %q", content, want)
		}
		want := LogReport{Written: int64(len(written)), Dropped: int64(max(0, len(written)-head-tail))}
		if report != want {
			t.Fatalf("counted %+v, want %+v", report, want)
		}
		if left, _ := os.ReadDir(dir); len(left) != 1 {
			t.Fatalf("files left: %v", left)
		}
	})
}

var endings = []string{"finished", "finished twice", "killed", "killed in the end", "killed before removal"}

// end ends a log in one of the ways that a shim can end.
func end(t *rapid.T, l *cappedLog, how string, head, tail int) LogReport {
	finish := func() LogReport {
		report, err := FinishLog(l.path, int64(head), int64(tail))
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
	switch how {
	case "finished":
		return l.close()
	case "finished twice":
		report := l.close()
		if again := finish(); again != report {
			t.Fatalf("the shim counted %+v, FinishLog %+v", report, again)
		}
		return report
	case "killed in the end", "killed before removal":
		if _, err := l.assemble(); err != nil {
			t.Fatal(err)
		}
		info, _ := l.head.Stat()
		if info.Size() > l.headLen && how == "killed in the end" {
			size := rapid.Int64Range(l.headLen, info.Size()).Draw(t, "size when killed")
			_ = l.head.Truncate(size)
		}
	}
	for _, f := range []*os.File{l.head, l.segments[0].file, l.segments[1].file} {
		_ = f.Close()
	}
	report := finish()
	if again := finish(); again != report {
		t.Fatalf("a second FinishLog counted %+v, the first %+v", again, report)
	}
	return report
}

func TestFinishLogTouchesOnlyTheJobsOwnFiles(t *testing.T) {
	segment := fmt.Sprintf(segmentHeader, 1) + "tail"
	cases := map[string]struct {
		make func(path, victim string) error
		bad  bool // an error is returned
		want string
	}{
		"the log is a link":       {func(p, v string) error { return os.Symlink(v, p) }, true, ""},
		"the log is a hard link":  {func(p, v string) error { return os.Link(v, p) }, true, ""},
		"the log is a FIFO":       {func(p, _ string) error { return unix.Mkfifo(p, 0o666) }, true, ""},
		"the log is a directory":  {func(p, _ string) error { return os.Mkdir(p, 0o777) }, true, ""},
		"a segment is a link":     {func(p, v string) error { return errors.Join(put(p, "head"), os.Symlink(v, p+".tail-a")) }, false, "head"},
		"a segment is a FIFO":     {func(p, _ string) error { return errors.Join(put(p, "head"), unix.Mkfifo(p+".tail-b", 0o666)) }, false, "head"},
		"a segment is no segment": {func(p, _ string) error { return errors.Join(put(p, "head"), put(p+".tail-a", "nonsense")) }, false, "head"},
		"a segment of number 0": {func(p, _ string) error {
			return errors.Join(put(p, "head"), put(p+".tail-a", fmt.Sprintf(segmentHeader, 0)))
		}, false, "head"},
		"a segment of huge number": {func(p, _ string) error {
			return errors.Join(put(p, "head"), put(p+".tail-a", "lynx log tail 99999999999999999\nx"))
		}, false, "head"},
		"a true segment": {func(p, _ string) error { return errors.Join(put(p, "head"), put(p+".tail-b", segment)) }, false, "headtail"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path, victim := filepath.Join(dir, "stdout.log"), filepath.Join(dir, "victim")
			if err := errors.Join(put(victim, segment), c.make(path, victim)); err != nil {
				t.Fatal(err)
			}
			_, err := FinishLog(path, 4, 4)
			if (err != nil) != c.bad {
				t.Fatalf("error %v", err)
			}
			if content, _ := os.ReadFile(victim); string(content) != segment {
				t.Errorf("the other file has %q", content)
			}
			if c.bad {
				return
			}
			if content, _ := os.ReadFile(path); string(content) != c.want {
				t.Errorf("the log has %q, want %q", content, c.want)
			}
			if left, _ := filepath.Glob(path + ".tail*"); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

func put(path, content string) error { return os.WriteFile(path, []byte(content), 0o666) }

func TestFinishLogWithoutALog(t *testing.T) {
	for _, path := range []string{filepath.Join(t.TempDir(), "stdout.log"), "/no/such/dir/stdout.log"} {
		if _, err := FinishLog(path, 1, 1); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: error %v", path, err)
		}
	}
}

// Whatever the job left in place of its segments, the log keeps its head and
// stays within its bounds.
// A job that writes a segment's header itself gets no count out of it that isn't
// one.
func TestFinishLogOfForgedSegments(t *testing.T) {
	for _, tail := range []int64{1, 100, 8 << 20, 1 << 40} {
		for _, number := range []int64{2, 1 << 22, 1 << 30, 1 << 40, 99999999999999999} {
			path := filepath.Join(t.TempDir(), "stdout.log")
			for name, content := range map[string]string{
				path:                  strings.Repeat("x", 50),
				path + segmentSuffixA: fmt.Sprintf(segmentHeader, number) + strings.Repeat("a", 100),
				path + segmentSuffixB: fmt.Sprintf(segmentHeader, number-1) + strings.Repeat("b", 100),
			} {
				if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if r, err := FinishLog(path, 50, tail); err != nil || !r.valid() {
				t.Errorf("tail %d, segment %d: %+v, %v", tail, number, r, err)
			}
		}
	}
}

func FuzzFinishLog(f *testing.F) {
	f.Add([]byte("head"), []byte(fmt.Sprintf(segmentHeader, 1)+"tail"), []byte(fmt.Sprintf(segmentHeader, 2)+"more"))
	f.Add([]byte("headand"), []byte(""), []byte("lynx log tail 00000000000000001 "))
	f.Fuzz(func(t *testing.T, log, a, b []byte) {
		path := filepath.Join(t.TempDir(), "stdout.log")
		if err := errors.Join(put(path, string(log)), put(path+".tail-a", string(a)), put(path+".tail-b", string(b))); err != nil {
			t.Fatal(err)
		}
		const head, tail = 8, 16
		report, err := FinishLog(path, head, tail)
		if err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(path)
		if err != nil || !strings.HasPrefix(string(content), string(log[:min(len(log), head)])) {
			t.Fatalf("log %q, %v", content, err)
		}
		if bound := max(len(log), head+tail+60); len(content) > bound || report.Dropped < 0 || report.Dropped > report.Written {
			t.Fatalf("log of %d bytes, counted %+v", len(content), report)
		}
	})
}

// A log that finds no space for a while has everything in the end; one that finds none
// for more than may wait has lost the rest; and both say so.
func TestLogWaitsForSpace(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	for _, much := range []int{10, backlogMax/10*10 + 20} {
		path := filepath.Join(t.TempDir(), "stdout.log")
		l, err := openLog(path, 1<<20, 1<<10)
		if err != nil {
			t.Fatal(err)
		}
		lost := max(0, much-backlogMax)
		want := "before\n" + strings.Repeat("x", much-lost) + "after\n"
		disk := l.head
		l.write([]byte("before\n"))
		l.head = full
		for range much / 10 {
			l.write([]byte("xxxxxxxxxx"))
		}
		l.head = disk
		l.write([]byte("after\n"))
		if got, want := l.close(), (LogReport{Written: int64(len(want) + lost), Dropped: int64(lost), Full: true}); got != want {
			t.Errorf("counted %+v, want %+v", got, want)
		}
		if lost > 0 {
			want += fmt.Sprintf(cutLine, lost)
		}
		if content, err := os.ReadFile(path); err != nil || string(content) != want {
			t.Errorf("%d bytes, want %d: %v", len(content), len(want), err)
		}
	}
}
