package artifact

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

func collect(t *testing.T, dir string, limits Limits) Collection {
	t.Helper()
	c, err := Collect(t.Context(), dir, limits)
	must(t, err)
	return c
}

func TestCollectListsFilesByName(t *testing.T) {
	dir := tree(t, map[string]string{
		"summary.json": "{}", "b/c.csv": "1,2", "b/a": "", "b.txt": "x", "..data": "dots", "empty/": "",
		strings.Repeat("n", 255): "long",
	})
	want := Collection{Artifacts: []Artifact{
		{Name: "..data", Size: 4, SHA256: sum("dots")},
		{Name: "b.txt", Size: 1, SHA256: sum("x")},
		{Name: "b/a", Size: 0, SHA256: sum("")},
		{Name: "b/c.csv", Size: 3, SHA256: sum("1,2")},
		{Name: strings.Repeat("n", 255), Size: 4, SHA256: sum("long")},
		{Name: "summary.json", Size: 2, SHA256: sum("{}")},
	}}
	if diff := cmp.Diff(want, collect(t, dir, DefaultLimits())); diff != "" {
		t.Error(diff)
	}
}

// Each case makes one hostile entry beside a good file; the good file is
// collected, the other left out with a warning that says why.
func TestCollectLeavesOut(t *testing.T) {
	cases := []struct {
		name, why string
		root      bool
		make      func(t *testing.T, dir string)
	}{
		{name: "link out", why: "symbolic link", make: func(t *testing.T, dir string) {
			must(t, os.Symlink(secret(t), filepath.Join(dir, "bad")))
		}},
		{name: "link in", why: "symbolic link", make: func(t *testing.T, dir string) {
			must(t, os.Symlink("good", filepath.Join(dir, "bad")))
		}},
		{name: "link to directory", why: "symbolic link", make: func(t *testing.T, dir string) {
			must(t, os.Symlink(filepath.Dir(secret(t)), filepath.Join(dir, "bad")))
		}},
		{name: "dangling link", why: "symbolic link", make: func(t *testing.T, dir string) {
			must(t, os.Symlink("nowhere", filepath.Join(dir, "bad")))
		}},
		{name: "hard link", why: "more than one hard link", make: func(t *testing.T, dir string) {
			other := filepath.Join(dir, "..", "outside")
			must(t, os.WriteFile(other, []byte("x"), 0o600))
			t.Cleanup(func() { _ = os.Remove(other) })
			must(t, os.Link(other, filepath.Join(dir, "bad")))
		}},
		{name: "fifo", why: "FIFO", make: func(t *testing.T, dir string) {
			must(t, unix.Mkfifo(filepath.Join(dir, "bad"), 0o666))
		}},
		{name: "socket", why: "socket", make: func(t *testing.T, dir string) { socket(t, filepath.Join(dir, "bad")) }},
		{name: "device", why: "device", root: true, make: func(t *testing.T, dir string) {
			must(t, unix.Mknod(filepath.Join(dir, "bad"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))))
		}},
		{name: "newline", why: "control characters", make: func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, "bad\n\x1b[2J"), nil, 0o600))
		}},
		{name: "right to left", why: "control characters", make: func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, "bad\u202egnp.exe"), nil, 0o600))
		}},
		{name: "not utf-8", why: "not valid UTF-8", make: func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, "bad\xff"), nil, 0o600))
		}},
		{name: "directory of such a name", why: "not valid UTF-8", make: func(t *testing.T, dir string) {
			must(t, os.Mkdir(filepath.Join(dir, "bad\xff"), 0o700))
			must(t, os.WriteFile(filepath.Join(dir, "bad\xff", "file"), nil, 0o600))
		}},
		{name: "long path", why: "longer than 1024 bytes", make: func(t *testing.T, dir string) {
			long := filepath.Join(dir, "bad")
			for range 4 {
				long = filepath.Join(long, strings.Repeat("d", 255))
			}
			must(t, os.MkdirAll(long, 0o700))
			must(t, os.WriteFile(filepath.Join(long, "file"), nil, 0o600))
		}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			if tc.root && !root() {
				t.Skip("only root can make this entry")
			}
			dir := tree(t, map[string]string{"good": "x"})
			tc.make(t, dir)
			got := collect(t, dir, DefaultLimits())
			if diff := cmp.Diff([]Artifact{{Name: "good", Size: 1, SHA256: sum("x")}}, got.Artifacts); diff != "" {
				t.Error(diff)
			}
			if len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0], tc.why) || !strings.Contains(got.Warnings[0], "bad") {
				t.Errorf("warnings are %q, want one that says %q", got.Warnings, tc.why)
			}
			if text := strings.Join(got.Warnings, ""); strings.ContainsAny(text, "\n\x1b\u202e") || !utf8.ValidString(text) {
				t.Errorf("warnings are not escaped: %q", got.Warnings)
			}
			if got.LimitExceeded != "" {
				t.Errorf("limit exceeded: %s", got.LimitExceeded)
			}
		})
	}
}

func TestCollectStopsAtLimits(t *testing.T) {
	small := Limits{TotalBytes: 10, FileBytes: 6, Files: 3, Depth: 2}
	cases := []struct {
		name  string
		files map[string]string
		want  []string
		says  string
	}{
		{"at every limit", map[string]string{"a/b/c": "123456", "d": "1234", "e": ""}, []string{"a/b/c", "d", "e"}, ""},
		{"one file", map[string]string{"a": "1234567", "b": "1"}, []string{"b"}, `"a" has 7 bytes; the limit for a file is 6`},
		{"total", map[string]string{"a": "123456", "b": "12345", "c": "1"}, []string{"a"}, "more than 10 bytes"},
		{"files", map[string]string{"a": "", "b": "", "c": "", "d": ""}, []string{"a", "b", "c"}, "more than 3 files"},
		{"depth", map[string]string{"a/b/c/d": "", "e": ""}, []string{"e"}, `"a/b/c" is nested deeper than 2`},
		{"entries", map[string]string{"a/": "", "b/": "", "c/": "", "d/": "", "e/": "", "f/": "", "g/": "", "h/": ""}, nil, "more than 6 files and directories"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			got := collect(t, tree(t, tc.files), small)
			var names []string
			for _, a := range got.Artifacts {
				names = append(names, a.Name)
			}
			if diff := cmp.Diff(tc.want, names); diff != "" {
				t.Error(diff)
			}
			if (got.LimitExceeded == "") != (tc.says == "") || !strings.Contains(got.LimitExceeded, tc.says) {
				t.Errorf("LimitExceeded is %q, want %q", got.LimitExceeded, tc.says)
			}
		})
	}
}

// A terabyte that occupies nothing is refused by its size, not read.
func TestCollectDoesNotReadASparseTerabyte(t *testing.T) {
	dir := tree(t, map[string]string{"good": "x", "huge": ""})
	must(t, os.Truncate(filepath.Join(dir, "huge"), 1<<40))
	opened := false
	c := newCollector(t.Context(), DefaultLimits())
	c.walker.beforeOpen = func(rel string) { opened = opened || rel == "huge" }
	got, err := c.collect(dir)
	must(t, err)
	if opened || !strings.Contains(got.LimitExceeded, "huge") || len(got.Artifacts) != 1 {
		t.Errorf("opened %t, %+v", opened, got)
	}
}

// What is opened must be what was seen, whatever happens in between.
func TestCollectNoticesSwaps(t *testing.T) {
	cases := map[string]func(t *testing.T, path string){
		"a link out": func(t *testing.T, path string) { must(t, os.Symlink(secret(t), path)) },
		"a link in":  func(t *testing.T, path string) { must(t, os.Symlink("good", path)) },
		"a fifo":     func(t *testing.T, path string) { must(t, unix.Mkfifo(path, 0o666)) },
		"another file": func(t *testing.T, path string) {
			must(t, os.WriteFile(path+".new", []byte("other"), 0o600))
			must(t, os.Rename(path+".new", path))
		},
		"a directory": func(t *testing.T, path string) { must(t, os.Mkdir(path, 0o700)) },
		"nothing":     func(*testing.T, string) {},
	}
	for name, swap := range cases {
		for _, victim := range []string{"file", "dir"} {
			t.Run(name+" for a "+victim, func(t *testing.T) {
				dir := tree(t, map[string]string{"good": "x", "file": "first", "dir/inner": "y"})
				path := filepath.Join(dir, victim)
				c := newCollector(t.Context(), DefaultLimits())
				c.walker.beforeOpen = func(rel string) {
					if rel == victim {
						// Kept, so that its inode number is not used again.
						must(t, os.Rename(path, filepath.Join(t.TempDir(), "old")))
						swap(t, path)
					}
				}
				got, err := c.collect(dir)
				must(t, err)
				for _, a := range got.Artifacts {
					if strings.HasPrefix(a.Name, victim) {
						t.Errorf("collected %+v", a)
					}
				}
				if len(got.Warnings) == 0 || !strings.Contains(got.Warnings[0], victim) {
					t.Errorf("warnings are %q", got.Warnings)
				}
			})
		}
	}
}

// A hash of a file that was written to meanwhile is of nothing that exists.
func TestCollectLeavesOutWhatChangesWhileItIsHashed(t *testing.T) {
	cases := map[string]func(path string) error{
		"grows":   func(path string) error { return os.WriteFile(path, []byte("longer than before"), 0o600) },
		"shrinks": func(path string) error { return os.Truncate(path, 1) },
		"is rewritten": func(path string) error {
			return errors.Join(os.WriteFile(path, []byte("12346"), 0o600), os.Chtimes(path, time.Time{}, time.Unix(1, 0)))
		},
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			dir := tree(t, map[string]string{"file": "12345"})
			c := newCollector(t.Context(), DefaultLimits())
			c.walker.beforeOpen = func(string) { must(t, change(filepath.Join(dir, "file"))) }
			got, err := c.collect(dir)
			must(t, err)
			if len(got.Artifacts) != 0 || len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0], "changed") {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestCollectBoundsItsWarnings(t *testing.T) {
	dir := t.TempDir()
	for i := range 80 {
		must(t, os.Symlink("x", filepath.Join(dir, fmt.Sprint(i))))
	}
	got := collect(t, dir, DefaultLimits())
	if len(got.Warnings) != maxWarnings+1 || !strings.Contains(got.Warnings[maxWarnings], "30 more") {
		t.Errorf("%d warnings, the last %q", len(got.Warnings), got.Warnings[len(got.Warnings)-1])
	}
}

func TestCollectErrors(t *testing.T) {
	if _, err := Collect(t.Context(), filepath.Join(t.TempDir(), "none"), DefaultLimits()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing directory gives %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Collect(ctx, tree(t, map[string]string{"a": ""}), DefaultLimits()); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled context gives %v", err)
	}
}

// Whatever the tree and the limits: what is collected is there, within the
// limits, and right; and if no limit is exceeded, nothing is missing.
func TestCollectProperties(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		files := rapid.MapOfN(
			rapid.StringMatching(`[ab]{1,2}(/[ab]{1,2}){0,3}\.f`),
			rapid.StringMatching(`x{0,8}`), 0, 12).Draw(rt, "files")
		limits := Limits{
			TotalBytes: int64(rapid.IntRange(0, 40).Draw(rt, "total")), FileBytes: int64(rapid.IntRange(0, 8).Draw(rt, "file")),
			Files: rapid.IntRange(0, 12).Draw(rt, "count"), Depth: rapid.IntRange(0, 4).Draw(rt, "depth"),
		}
		dir, err := os.MkdirTemp("", "collect")
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		for name, content := range files {
			path := filepath.Join(dir, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o600)); err != nil {
				rt.Fatal(err)
			}
		}
		got, err := Collect(t.Context(), dir, limits)
		if err != nil {
			rt.Fatal(err)
		}
		var total int64
		for i, a := range got.Artifacts {
			content, ok := files[a.Name]
			if !ok || a.Size != int64(len(content)) || a.SHA256 != sum(content) || a.Size > limits.FileBytes {
				rt.Fatalf("artifact %+v of %q", a, content)
			}
			if i > 0 && got.Artifacts[i-1].Name >= a.Name {
				rt.Fatalf("%q after %q", a.Name, got.Artifacts[i-1].Name)
			}
			total += a.Size
		}
		if total > limits.TotalBytes || len(got.Artifacts) > limits.Files {
			rt.Fatalf("beyond the limits: %+v", got)
		}
		if got.LimitExceeded == "" && len(got.Artifacts) != len(files) {
			rt.Fatalf("%d of %d files and no limit", len(got.Artifacts), len(files))
		}
	})
}
