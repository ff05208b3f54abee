package artifact

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
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
	must(t, Sync(t.Context(), opened(t, dir), 1))
}

// What a job made unreadable, for a runner of the same user too, is no artifact and
// nothing to fail on. The rest is synced.
func TestSyncOfUnreadable(t *testing.T) {
	dir := tree(t, map[string]string{"a": "1", "secret": "2", "closed/b": "3"})
	must(t, os.Chmod(filepath.Join(dir, "secret"), 0))
	closed := filepath.Join(dir, "closed")
	must(t, os.Chmod(closed, 0))
	t.Cleanup(func() { _ = os.Chmod(closed, 0o700) })
	handle := opened(t, dir)
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
		result <- Sync(t.Context(), handle, 1)
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

// opened is a directory that is open until the test ends.
func opened(t *testing.T, dir string) *os.File {
	t.Helper()
	f, err := os.Open(dir)
	must(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// rooted is the same as a root.
func rooted(t *testing.T, dir string) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(dir)
	must(t, err)
	t.Cleanup(func() { _ = root.Close() })
	return root
}

// What cannot be synced is told.
func TestSyncTellsOfFailure(t *testing.T) {
	closed := opened(t, t.TempDir())
	must(t, closed.Close())
	if err := Sync(t.Context(), closed, 0); err == nil {
		t.Error("a directory that is not open was synced")
	}
	dir := tree(t, map[string]string{"a": "1"})
	broken := errors.New("the disk is broken")
	fail := func(*os.File) error { return broken }
	if err := eachFile(t.Context(), rooted(t, dir), fail); !errors.Is(err, broken) {
		t.Errorf("a file that cannot be synced: %v", err)
	}
	if err := upwards(t.Context(), opened(t, dir), 1, fail); !errors.Is(err, broken) {
		t.Errorf("a directory that cannot be synced: %v", err)
	}
}

// paths is what a walk does: it notes where each file really is.
type paths []string

func (p *paths) add(f *os.File) error {
	path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	*p = append(*p, path)
	return err
}

// Every regular file with one link is visited, and every directory.
func TestSyncVisitsAll(t *testing.T) {
	dir := tree(t, map[string]string{"a": "1", "sub/deep/b": "2", "sub/c": "3"})
	var seen paths
	must(t, eachFile(t.Context(), rooted(t, dir), seen.add))
	slices.Sort(seen)
	var want paths
	for _, name := range []string{"a", "sub", "sub/c", "sub/deep", "sub/deep/b"} {
		want = append(want, filepath.Join(dir, name))
	}
	if !slices.Equal(seen, want) {
		t.Errorf("synced %q; want %q", seen, want)
	}
}

// The directories above are those that lead to the tree, also when somebody has moved
// one and put a link in its place.
func TestSyncGoesUpFromTheTree(t *testing.T) {
	top, strange := t.TempDir(), t.TempDir()
	attempt := filepath.Join(top, "batch", "run", "attempt")
	must(t, os.MkdirAll(attempt, 0o700))
	handle := opened(t, attempt)
	must(t, os.Rename(filepath.Join(top, "batch"), filepath.Join(top, "moved")))
	must(t, os.Symlink(strange, filepath.Join(top, "batch")))
	must(t, os.MkdirAll(filepath.Join(strange, "run", "attempt"), 0o700))
	var seen paths
	must(t, upwards(t.Context(), handle, 3, seen.add))
	want := paths{filepath.Join(top, "moved/run/attempt"), filepath.Join(top, "moved/run"), filepath.Join(top, "moved"), top}
	if !slices.Equal(seen, want) {
		t.Errorf("synced %q; want %q", seen, want)
	}
	must(t, Sync(t.Context(), handle, 3))
}

// Nobody waits for the next file when there is no time left, and what is not known to
// be on disk is not said to be.
func TestSyncIsGivenUp(t *testing.T) {
	dir := tree(t, map[string]string{"a": "1", "b": "2", "sub/c": "3"})
	for name, walk := range map[string]func(context.Context, func(*os.File) error) error{
		"in the tree": func(ctx context.Context, do func(*os.File) error) error { return eachFile(ctx, rooted(t, dir), do) },
		"above it":    func(ctx context.Context, do func(*os.File) error) error { return upwards(ctx, opened(t, dir), 2, do) },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		visited := 0
		err := walk(ctx, func(*os.File) error { visited++; cancel(); return nil })
		if !errors.Is(err, context.Canceled) || visited != 1 {
			t.Errorf("%s: %d visited, %v", name, visited, err)
		}
		if err := Sync(ctx, opened(t, dir), 1); !errors.Is(err, context.Canceled) {
			t.Errorf("synced after the end: %v", err)
		}
	}
}
