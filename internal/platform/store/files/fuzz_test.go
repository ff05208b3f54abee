package files_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tetryx/lynx-runner/internal/platform/store/files"
)

// FuzzPath: whatever an attempt and its file are called, a file that is taken lies
// below its attempt's directory and comes back, and one that is refused leaves
// nothing.
func FuzzPath(f *testing.F) {
	for _, p := range []string{
		"log/stdout.log", "output/a/b.csv", "output/../x", "output/.partial/x", "output/.complete", ".complete", "output/a\nb", "output/\xff",
		"output//a", "output/", "output", "/etc/passwd", "output/a\x00", "manifest.json/x", "output/" + strings.Repeat("n", 256), "output/" + strings.Repeat("d/", 2000) + "f",
	} {
		f.Add("b", p, "data")
	}
	f.Add("..", "output/a", "")
	f.Add(".hidden", "output/a", "")
	f.Add("a/b", "output/a", "")
	f.Fuzz(func(t *testing.T, batch, path, data string) {
		top := t.TempDir()
		s := open(t, filepath.Join(top, "store"), files.Options{MaxAttemptBytes: 1 << 20})
		k := files.AttemptKey{BatchID: batch, RunIndex: 7, Number: 2}
		u, err := s.Begin(t.Context(), k)
		if err == nil {
			err = put(u, path, data)
			must(t, u.Close())
		}
		if err != nil {
			// A batch's id that no directory can have is the disk's to refuse.
			if u != nil && !errors.Is(err, files.ErrPath) && !errors.Is(err, files.ErrTooLarge) {
				t.Fatalf("%q, %q: %v", batch, path, err)
			}
			if _, _, err := s.Open(t.Context(), k, path); err == nil {
				t.Fatalf("%q of %q was refused and is there", path, batch)
			}
			for p := range regular(t, top) {
				if !strings.HasSuffix(p, "/.complete") {
					t.Fatalf("%q, %q left %q", batch, path, p)
				}
			}
			return
		}
		at := filepath.Join("store", batch, "00007/attempt-2", path)
		found := regular(t, top)
		if got, ok := found[at]; !ok || got != data || len(found) != 2 || strings.Contains("/"+at+"/", "/../") {
			t.Fatalf("%q, %q: the files are %q", batch, path, found)
		}
		list, err := s.List(t.Context(), k)
		must(t, err)
		if len(list) != 1 || list[0] != whole(list[0].Path, data) {
			t.Fatalf("%q is listed as %+v", path, list)
		}
	})
}

// regular are the regular files below a directory, with what is in them.
func regular(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	must(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(p)
		found[strings.TrimPrefix(p, dir+"/")] = string(data)
		return err
	}))
	return found
}

// FuzzHeaders: however a runner announces and sends a file, and goes on with it,
// what is complete has the announced digest, and the bound holds.
func FuzzHeaders(f *testing.F) {
	f.Add("hello", int64(5), int64(0), int64(2), "llo")
	f.Add("hello", int64(4), int64(0), int64(0), "hello")
	f.Add("hello", int64(-1), int64(0), int64(-5), "")
	f.Add("", int64(0), int64(1), int64(1), "")
	f.Add("hello", int64(1)<<62, int64(3), int64(2), "lo")
	f.Fuzz(func(t *testing.T, data string, size, offset, again int64, rest string) {
		const most = 64
		s := open(t, t.TempDir(), files.Options{MaxAttemptBytes: most, Space: func() (uint64, uint64, error) { return 1 << 40, 1 << 41, nil }})
		sum := digest([]byte(data))
		for _, part := range []struct {
			offset int64
			data   string
		}{{offset, data}, {again, rest}} {
			u := begin(t, s)
			err := u.Next(files.Header{Path: "output/f", Size: size, SHA256: sum, Offset: part.offset})
			if err == nil {
				err = u.Write([]byte(part.data))
			}
			must(t, u.Close())
			kinds := []error{files.ErrOffset, files.ErrSize, files.ErrTooLarge, files.ErrDigest}
			known := err == nil
			for _, k := range kinds {
				known = known || errors.Is(err, k)
			}
			if !known {
				t.Fatal(err)
			}
		}
		for _, file := range list(t, s) {
			if file.Size < 0 || file.Size > most {
				t.Fatalf("%+v is kept", file)
			}
			if file.Complete && (file != whole("output/f", content(t, s, "output/f")) || file.SHA256 != sum) {
				t.Fatalf("%+v is complete", file)
			}
		}
	})
}

// FuzzIndex: whatever a disk made of the list of complete files, listing goes on,
// and only what is there in its size is complete; a file can still be handed in.
func FuzzIndex(f *testing.F) {
	f.Add([]byte("{\"path\":\"output/a\",\"size\":4,\"sha256\":\"x\"}\n{\"path\":\"output/b\""))
	f.Add([]byte("{\"path\":\"../../x\",\"size\":0}\n"))
	f.Add([]byte("{\"path\":\"../attempt-2/output/a\",\"size\":4}\n"))
	f.Add([]byte("null\n{}\n\x00\n"))
	f.Fuzz(func(t *testing.T, lines []byte) {
		dir := t.TempDir()
		at := filepath.Join(dir, attemptDir)
		must(t, os.MkdirAll(filepath.Join(at, "output"), 0o700), os.WriteFile(filepath.Join(at, "output/a"), []byte("data"), 0o600),
			os.WriteFile(filepath.Join(at, ".complete"), lines, 0o600))
		s := open(t, dir, files.Options{})
		for _, file := range list(t, s) {
			info, err := os.Lstat(filepath.Join(at, file.Path))
			if files.CheckPath(file.Path) != nil || err != nil || info.Size() != file.Size {
				t.Fatalf("%+v is listed", file)
			}
		}
		u := begin(t, s)
		must(t, put(u, "output/new", "more"), u.Close())
		if got := content(t, s, "output/new"); got != "more" && !strings.Contains(string(lines), "output/new") {
			t.Fatalf("content %q", got)
		}
	})
}
