package artifact

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Whatever a job left, its tree can be synced, and what the walk meets there is
// neither followed nor waited for. That it is on disk afterwards is shown where a
// host crashes: tests/faults.
func TestSyncOfStrangeTrees(t *testing.T) {
	dir := tree(t, map[string]string{"a": "1", "sub/b": "2", "empty/": "", "linked": "3"})
	must(t, unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
	socket(t, filepath.Join(dir, "socket"))
	must(t, os.Symlink(secret(t), filepath.Join(dir, "link")))
	must(t, os.Symlink("nowhere", filepath.Join(dir, "sub", "broken")))
	must(t, os.Link(filepath.Join(dir, "linked"), filepath.Join(dir, "sub", "linked")))
	must(t, Sync(dir, filepath.Dir(dir)))
}

// What cannot be synced is told.
func TestSyncTellsOfFailure(t *testing.T) {
	if err := Sync(filepath.Join(t.TempDir(), "nowhere")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a tree that is not there: %v", err)
	}
	if err := Sync(t.TempDir(), "/nowhere"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a directory above that is not there: %v", err)
	}
	dir := tree(t, map[string]string{"a": "1"})
	root, err := os.OpenRoot(dir)
	must(t, err)
	defer func() { _ = root.Close() }()
	broken := errors.New("the disk is broken")
	if err := eachFile(root, func(*os.File) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("a file that cannot be synced: %v", err)
	}
}

// Every regular file with one link is visited, and every directory.
func TestSyncVisitsAll(t *testing.T) {
	dir := tree(t, map[string]string{"a": "1", "sub/deep/b": "2", "sub/c": "3"})
	root, err := os.OpenRoot(dir)
	must(t, err)
	defer func() { _ = root.Close() }()
	seen := map[string]bool{}
	must(t, eachFile(root, func(f *os.File) error {
		path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
		seen[path] = true
		return err
	}))
	for _, name := range []string{"a", "sub", "sub/deep", "sub/deep/b", "sub/c"} {
		if !seen[filepath.Join(dir, name)] {
			t.Errorf("%s was not synced", name)
		}
	}
	if len(seen) != 5 {
		t.Errorf("synced %v", seen)
	}
}
