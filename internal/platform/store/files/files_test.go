package files_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tetryx/lynx-runner/internal/platform/store/files"
)

var key = files.AttemptKey{BatchID: "b", RunIndex: 7, Number: 2}

// attemptDir is where the files of key lie.
const attemptDir = "b/00007/attempt-2"

func open(t *testing.T, dir string, o files.Options) *files.Store {
	t.Helper()
	s, err := files.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func begin(t *testing.T, s *files.Store) *files.Upload {
	t.Helper()
	u, err := s.Begin(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func header(path, data string, offset int64) files.Header {
	return files.Header{Path: path, Size: int64(len(data)), SHA256: digest([]byte(data)), Offset: offset}
}

// put hands in a whole file.
func put(u *files.Upload, path, data string) error {
	if err := u.Next(header(path, data, 0)); err != nil || data == "" {
		return err
	}
	return u.Write([]byte(data))
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func list(t *testing.T, s *files.Store) []files.File {
	t.Helper()
	got, err := s.List(t.Context(), key)
	must(t, err)
	return got
}

func whole(path, data string) files.File {
	return files.File{Path: path, Size: int64(len(data)), SHA256: digest([]byte(data)), Complete: true}
}

// content is what Open gives.
func content(t *testing.T, s *files.Store, path string) string {
	t.Helper()
	f, info, err := s.Open(t.Context(), key, path)
	must(t, err)
	defer f.Close()
	data, err := io.ReadAll(f)
	must(t, err)
	if diff := cmp.Diff(whole(path, string(data)), info); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
	return string(data)
}

func TestFilesComeBack(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, files.Options{})
	if got := list(t, s); got != nil {
		t.Errorf("files of an attempt without any: %v", got)
	}
	u := begin(t, s)
	must(t, put(u, "output/a/b.csv", "1,2"), put(u, "log/stdout.log", "hello"), put(u, "output/empty", ""), u.Close())
	want := []files.File{whole("log/stdout.log", "hello"), whole("output/a/b.csv", "1,2"), whole("output/empty", "")}
	if diff := cmp.Diff(want, list(t, s)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := content(t, s, "output/a/b.csv"); got != "1,2" {
		t.Errorf("content %q", got)
	}
	if data, err := os.ReadFile(filepath.Join(dir, attemptDir, "log/stdout.log")); string(data) != "hello" {
		t.Errorf("on disk %q, %v", data, err)
	}
	other, err := s.List(t.Context(), files.AttemptKey{BatchID: "b", RunIndex: 7, Number: 1})
	if err != nil || other != nil {
		t.Errorf("another attempt has %v, %v", other, err)
	}
}

// TestACutUploadGoesOn: the store is opened anew in between, as a platform that was
// killed does.
func TestACutUploadGoesOn(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, files.Options{})
	u := begin(t, s)
	must(t, put(u, "log/stdout.log", "done"), u.Next(header("output/big", "0123456789", 0)), u.Write([]byte("0123")))
	// Nothing is closed: the process is gone.
	s = open(t, dir, files.Options{})
	want := []files.File{whole("log/stdout.log", "done"), {Path: "output/big", Size: 4}}
	if diff := cmp.Diff(want, list(t, s)); diff != "" {
		t.Errorf("after the cut (-want +got):\n%s", diff)
	}
	if _, _, err := s.Open(t.Context(), key, "output/big"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a part of a file was opened: %v", err)
	}
	u = begin(t, s)
	must(t, u.Next(header("output/big", "0123456789", 4)), u.Write([]byte("456")), u.Write([]byte("789")), u.Close())
	if got := content(t, s, "output/big"); got != "0123456789" {
		t.Errorf("content %q", got)
	}
}

func TestFromTheBeginningAgain(t *testing.T) {
	s := open(t, t.TempDir(), files.Options{})
	u := begin(t, s)
	must(t, u.Next(header("output/x", "0123456789", 0)), u.Write([]byte("garbage")))
	must(t, put(u, "output/x", "01234"), u.Close())
	if got := content(t, s, "output/x"); got != "01234" {
		t.Errorf("content %q", got)
	}
}

// TestACrashAtAnyPoint looks at what a machine that lost power may have kept.
func TestACrashAtAnyPoint(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, attempt string){
		"the line is torn": func(t *testing.T, attempt string) {
			name := filepath.Join(attempt, ".complete")
			data, err := os.ReadFile(name)
			must(t, err, os.WriteFile(name, data[:len(data)-9], 0o600))
		},
		"the line is lost": func(t *testing.T, attempt string) {
			must(t, os.Remove(filepath.Join(attempt, ".complete")))
		},
		"the renaming is lost": func(t *testing.T, attempt string) {
			must(t, os.Rename(filepath.Join(attempt, "output/x"), filepath.Join(attempt, ".partial/output/x")))
		},
		"the file is lost": func(t *testing.T, attempt string) {
			must(t, os.Remove(filepath.Join(attempt, "output/x")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir, files.Options{MaxAttemptBytes: 20})
			u := begin(t, s)
			must(t, put(u, "output/x", "0123456789"), u.Close())
			spoil(t, filepath.Join(dir, attemptDir))
			for _, f := range list(t, s) {
				if f.Complete {
					t.Fatalf("complete after all: %+v", f)
				}
			}
			u = begin(t, s)
			must(t, put(u, "output/x", "0123456789"), put(u, "output/y", "y"), u.Close())
			if got := content(t, s, "output/x") + content(t, s, "output/y"); got != "0123456789y" {
				t.Errorf("content %q", got)
			}
			if got := list(t, s); len(got) != 2 {
				t.Errorf("files %v", got)
			}
		})
	}
}

func TestWrongBytesAreDiscarded(t *testing.T) {
	s := open(t, t.TempDir(), files.Options{})
	u := begin(t, s)
	must(t, u.Next(header("output/x", "right", 0)))
	if err := u.Write([]byte("wrong")); !errors.Is(err, files.ErrDigest) {
		t.Errorf("error %v", err)
	}
	if err := u.Next(files.Header{Path: "output/empty", SHA256: digest([]byte("x"))}); !errors.Is(err, files.ErrDigest) {
		t.Errorf("empty: error %v", err)
	}
	if got := list(t, s); got != nil {
		t.Errorf("left: %v", got)
	}
	must(t, put(u, "output/x", "right"), u.Close())
	if got := content(t, s, "output/x"); got != "right" {
		t.Errorf("content %q", got)
	}
}

func TestACompleteFileStays(t *testing.T) {
	s := open(t, t.TempDir(), files.Options{})
	u := begin(t, s)
	must(t, put(u, "output/x", "first"), put(u, "output/x", "first"), put(u, "output/x", "other"), u.Close())
	if got := content(t, s, "output/x"); got != "first" {
		t.Errorf("content %q", got)
	}
}

func TestHostilePaths(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, files.Options{})
	u := begin(t, s)
	must(t, put(u, "output/file", "x"))
	for _, path := range []string{
		"", ".", "/etc/passwd", "output", "output/", "output//x", "output/../x", "output/../../../../x", "../x", "log/x",
		"log/stdout.log/x", ".complete", ".partial/x", "output/./x", "manifest.json/", "output/a\x00b", "attempt-1/output/x",
		"output/" + strings.Repeat("n", 300), "output/file/below",
	} {
		if err := put(u, path, "x"); !errors.Is(err, files.ErrPath) {
			t.Errorf("put %q: error %v", path, err)
		}
		if _, _, err := s.Open(t.Context(), key, path); !errors.Is(err, files.ErrPath) && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("open %q: error %v", path, err)
		}
	}
	must(t, put(u, `output/..\..\x ü *`, "odd but clean"), u.Close())
	entries, err := os.ReadDir(dir)
	must(t, err)
	if len(entries) != 1 || entries[0].Name() != "b" {
		t.Errorf("the directory has %v", entries)
	}
	for _, k := range []files.AttemptKey{{"", 0, 1}, {"..", 0, 1}, {"a/b", 0, 1}, {".", 0, 1}, {"b", -1, 1}, {"b", 0, 0}} {
		if _, err := s.Begin(t.Context(), k); !errors.Is(err, files.ErrPath) {
			t.Errorf("begin %v: %v", k, err)
		}
		if _, err := s.List(t.Context(), k); !errors.Is(err, files.ErrPath) {
			t.Errorf("list %v: %v", k, err)
		}
		if _, _, err := s.Open(t.Context(), k, "log/stdout.log"); !errors.Is(err, files.ErrPath) {
			t.Errorf("open %v: %v", k, err)
		}
	}
}

// TestLinksAreNotFollowed, should somebody put them into the data directory.
func TestLinksAreNotFollowed(t *testing.T) {
	dir, secret := t.TempDir(), filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(secret, []byte("secret"), 0o600))
	s := open(t, dir, files.Options{})
	u := begin(t, s)
	must(t, put(u, "output/x", "secret"))
	must(t, os.Remove(filepath.Join(dir, attemptDir, "output/x")), os.Symlink(secret, filepath.Join(dir, attemptDir, "output/x")))
	if _, _, err := s.Open(t.Context(), key, "output/x"); err == nil {
		t.Error("a link was opened")
	}
	must(t, os.MkdirAll(filepath.Join(dir, attemptDir, ".partial/output"), 0o700),
		os.Symlink(secret, filepath.Join(dir, attemptDir, ".partial/output/y")))
	if err := put(u, "output/y", "x"); err == nil {
		t.Error("a link was written through")
	}
	if data, _ := os.ReadFile(secret); string(data) != "secret" {
		t.Errorf("the file behind the link is %q", data)
	}
	must(t, u.Close())
}

func TestOffsets(t *testing.T) {
	s := open(t, t.TempDir(), files.Options{})
	u := begin(t, s)
	must(t, u.Next(header("output/x", "0123456789", 0)), u.Write([]byte("01234")))
	for _, h := range []files.Header{
		header("output/x", "0123456789", 6),  // beyond what is there
		header("output/x", "0123456789", 11), // beyond the file
		header("output/x", "0123456789", -1),
	} {
		if err := u.Next(h); !errors.Is(err, files.ErrOffset) {
			t.Errorf("offset %d: %v", h.Offset, err)
		}
		if err := u.Write([]byte("x")); !errors.Is(err, files.ErrSize) {
			t.Errorf("a write after a refusal: %v", err)
		}
	}
	must(t, u.Next(header("output/x", "0123456789", 3))) // drops what is behind
	if err := u.Write(bytes.Repeat([]byte("x"), 8)); !errors.Is(err, files.ErrSize) {
		t.Errorf("too much: %v", err)
	}
	must(t, u.Write([]byte("3456789")), u.Close())
	if got := content(t, s, "output/x"); got != "0123456789" {
		t.Errorf("content %q", got)
	}
}

func TestTheBoundOfAnAttempt(t *testing.T) {
	s := open(t, t.TempDir(), files.Options{MaxAttemptBytes: 10})
	u := begin(t, s)
	must(t, put(u, "output/a", "0123"), u.Next(header("output/b", "012345", 0)), u.Write([]byte("01")))
	if err := put(u, "output/c", "x"); !errors.Is(err, files.ErrTooLarge) {
		t.Errorf("beyond the bound: %v", err)
	}
	must(t, put(u, "output/a", "0123"), u.Close()) // what is there already does not count twice
	u = begin(t, s)
	must(t, put(u, "output/c", "0123")) // what was announced and did not come does not count
	if err := u.Next(header("output/b", "012345", 2)); !errors.Is(err, files.ErrTooLarge) {
		t.Errorf("beyond the bound in another upload: %v", err)
	}
	must(t, u.Close())
	other, err := s.Begin(t.Context(), files.AttemptKey{BatchID: "b", RunIndex: 8, Number: 1})
	must(t, err, put(other, "output/a", "0123456789"), other.Close())
}

func TestTheReserve(t *testing.T) {
	for name, c := range map[string]struct{ total, free, fits uint64 }{
		"a small disk": {total: 2000, free: 107, fits: 7},
		"a large disk": {total: 1 << 50, free: 2<<30 + 7, fits: 7},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, t.TempDir(), files.Options{Space: func() (uint64, uint64, error) { return c.free, c.total, nil }})
			u := begin(t, s)
			fits := strings.Repeat("x", int(c.fits))
			must(t, u.Next(header("output/x", fits, 0)))
			if err := u.Next(header("output/y", fits+"x", 0)); !errors.Is(err, files.ErrDiskFull) {
				t.Errorf("announced too much: %v", err)
			}
			must(t, u.Next(header("output/x", fits, 0)))
			c.free-- // somebody else fills the disk
			if err := u.Write([]byte(fits)); !errors.Is(err, files.ErrDiskFull) {
				t.Errorf("written too much: %v", err)
			}
			must(t, u.Close())
		})
	}
}

// TestALaterUploadTakesOver: the connection of the first one may be long dead.
func TestALaterUploadTakesOver(t *testing.T) {
	s := open(t, t.TempDir(), files.Options{})
	first := begin(t, s)
	must(t, put(first, "output/a", "a"), first.Next(header("output/x", "0123", 0)), first.Write([]byte("01")))
	second := begin(t, s)
	for what, err := range map[string]error{
		"write": first.Write([]byte("23")), "next": first.Next(header("output/y", "y", 0)), "close": first.Close(),
	} {
		if !errors.Is(err, files.ErrReplaced) {
			t.Errorf("%s of the first: %v", what, err)
		}
	}
	must(t, second.Next(header("output/x", "0123", 2)), second.Write([]byte("23")), second.Close())
	if got := content(t, s, "output/x") + content(t, s, "output/a"); got != "0123a" {
		t.Errorf("content %q", got)
	}
	must(t, begin(t, s).Close()) // none goes on any more
}

func TestOpenNeedsADirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	if _, err := files.Open(file, files.Options{}); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("error %v", err)
	}
}
