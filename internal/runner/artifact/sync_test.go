package artifact

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
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

// What a job made unreadable, for a runner of the same user too, is no artifact and
// nothing to fail on. The rest is synced.
func TestSyncOfUnreadable(t *testing.T) {
	dir := tree(t, map[string]string{"a": "1", "secret": "2", "closed/b": "3"})
	must(t, os.Chmod(filepath.Join(dir, "secret"), 0))
	closed := filepath.Join(dir, "closed")
	must(t, os.Chmod(closed, 0))
	t.Cleanup(func() { _ = os.Chmod(closed, 0o700) })
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread goes
		if err := withoutOverride(); err != nil {
			result <- err
			return
		}
		if _, err := os.ReadDir(closed); !errors.Is(err, fs.ErrPermission) {
			result <- fmt.Errorf("the directory can be read: %w", err)
			return
		}
		result <- Sync(dir, filepath.Dir(dir))
	}()
	must(t, <-result)
}

// withoutOverride takes root's right to read everything from this thread.
func withoutOverride() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return err
	}
	data[0].Effective &^= 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_DAC_READ_SEARCH
	return unix.Capset(&header, &data[0])
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
