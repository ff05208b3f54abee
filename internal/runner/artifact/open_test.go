package artifact

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// What is opened is a regular file of the tree, reached through directories, and
// nothing that a job may have put in its place.
func TestOpen(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "dir")
	in := func(name string) string { return filepath.Join(dir, filepath.FromSlash(name)) }
	if err := errors.Join(
		os.MkdirAll(in("a/b"), 0o700),
		os.WriteFile(in("a/b/file"), []byte("deep"), 0o600),
		os.WriteFile(in("file"), []byte("top"), 0o600),
		os.WriteFile(filepath.Join(top, "secret"), []byte("secret"), 0o600),
		os.WriteFile(in("one"), nil, 0o600), os.Link(in("one"), in("two")),
		os.Symlink("../secret", in("out")), os.Symlink("file", in("link")), os.Symlink("a", in("aa")),
		syscall.Mkfifo(in("fifo"), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for name, want := range map[string]string{"file": "top", "a/b/file": "deep"} {
		f, err := Open(root, name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if text, err := io.ReadAll(f); err != nil || string(text) != want {
			t.Errorf("%s: %q, %v", name, text, err)
		}
		f.Close()
	}
	for _, name := range []string{
		"", "none", "a", "a/b/", "../secret", "a/../file", "a//b/file", "out", "link", "aa/b/file", "one", "two", "fifo", "fifo/x", "file/x",
	} {
		if f, err := Open(root, name); err == nil {
			f.Close()
			t.Errorf("opened %q", name)
		}
	}
}
