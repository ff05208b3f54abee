package retention

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/tetryx/lynx-runner/internal/runner/journal"
)

// errChanged says that somebody put something else in the place of a directory.
var errChanged = errors.New("it changed while it was looked at")

// openDir opens a directory by one name in its parent: never through a link,
// without waiting for anybody, and only the one that is there now.
func openDir(parent *os.Root, name string) (*os.Root, error) {
	info, err := parent.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: unix.ENOTDIR}
	}
	return openSame(parent, name, info)
}

// openSame opens the directory that info is of.
func openSame(parent *os.Root, name string, info fs.FileInfo) (*os.Root, error) {
	f, err := parent.OpenFile(name, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	if got, err := f.Stat(); err != nil || !os.SameFile(got, info) {
		return nil, errors.Join(errChanged, err)
	}
	return os.OpenRoot("/proc/self/fd/" + strconv.Itoa(int(f.Fd())))
}

// list reads names of a directory, at most n; all if n is negative.
func list(dir *os.Root, n int) ([]fs.DirEntry, error) {
	f, err := dir.Open(".")
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	entries, err := f.ReadDir(n)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return entries, err
}

func inodeOf(info fs.FileInfo) journal.Inode {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return journal.Inode{Device: uint64(st.Dev), Inode: st.Ino} //nolint:unconvert // it is smaller on other machines
	}
	return journal.Inode{}
}

// What a measurement goes through at most. A tree beyond was not made by a job
// within its limits, and counts by what was seen of it.
const (
	measureEntries = 1 << 20
	measureDepth   = 256
)

// measurement adds up what trees occupy.
type measurement struct {
	bytes   int64
	entries int
	// linked are the files with several links that were counted: a job could
	// otherwise multiply what it wrote, and so drive out the results of others.
	linked map[journal.Inode]bool
}

// measure returns what a tree occupies on its disk, in bytes. What can't be read
// doesn't count.
func measure(ctx context.Context, dir *os.Root) (int64, error) {
	m := measurement{linked: map[journal.Inode]bool{}}
	info, err := dir.Stat(".")
	if err != nil {
		return 0, err
	}
	m.add(info)
	err = m.walk(ctx, dir, inodeOf(info).Device, 0)
	return m.bytes, err
}

func (m *measurement) add(info fs.FileInfo) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return
	}
	if !info.IsDir() && st.Nlink > 1 {
		if m.linked[inodeOf(info)] {
			return
		}
		m.linked[inodeOf(info)] = true
	}
	m.bytes += st.Blocks * 512
}

func (m *measurement) walk(ctx context.Context, dir *os.Root, device uint64, depth int) error {
	entries, err := list(dir, measureEntries-m.entries)
	if err != nil || depth > measureDepth {
		return nil //nolint:nilerr // what can't be read doesn't count
	}
	for _, e := range entries {
		if m.entries++; m.entries >= measureEntries {
			return nil
		}
		info, err := dir.Lstat(e.Name())
		if err != nil {
			continue
		}
		m.add(info)
		if !info.IsDir() || inodeOf(info).Device != device {
			continue
		}
		sub, err := openSame(dir, e.Name(), info)
		if err != nil {
			continue
		}
		err = errors.Join(m.walk(ctx, sub, device, depth+1), sub.Close(), ctx.Err())
		if err != nil {
			return err
		}
	}
	return nil
}

// remove removes the directory at a name, with everything in it. It moves it into
// a directory of this process's own first, called aside, beside it: from then on
// it is gone for everybody else, and finish can do the rest, also later. want is
// what the directory was when it was chosen.
func remove(ctx context.Context, parent *os.Root, name, aside string, want fs.FileInfo) error {
	if err := finish(ctx, parent, aside); name == aside || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := makeOurs(parent, name); err != nil {
		return err
	}
	if err := parent.Mkdir(aside, 0o700); err != nil {
		return err
	}
	moved := aside + "/" + rand.Text()
	if err := parent.Rename(name, moved); err != nil {
		return errors.Join(err, removeDir(parent, aside))
	}
	if info, err := parent.Lstat(moved); err != nil || !os.SameFile(info, want) {
		return errors.Join(errChanged, err, parent.Rename(moved, name), removeDir(parent, aside))
	}
	return finish(ctx, parent, aside)
}

// finish removes the directory of what was moved aside. However deep that is, it
// takes few descriptors: each directory moves up to the top before it is its turn.
// A mount point can't be moved, so none is ever entered. An error leaves what is
// not removed yet; one that wraps fs.ErrNotExist may mean that there is nothing.
func finish(ctx context.Context, parent *os.Root, aside string) error {
	top, err := openDir(parent, aside)
	if err != nil {
		return err
	}
	defer func() { _ = top.Close() }()
	entries, err := list(top, -1)
	if err != nil {
		return err
	}
	var queue []string
	for _, e := range entries {
		queue = append(queue, e.Name())
	}
	for len(queue) > 0 {
		at := queue[len(queue)-1]
		more, err := empty(ctx, top, at)
		if err == nil {
			err = removeDir(top, at)
		}
		if err != nil {
			return err
		}
		queue = append(queue[:len(queue)-1], more...)
	}
	return removeDir(parent, aside)
}

// empty removes what is in a directory in top, and moves the directories in it
// into top, under names that it returns.
func empty(ctx context.Context, top *os.Root, at string) (moved []string, err error) {
	dir, err := openDir(top, at)
	if err != nil {
		return nil, err
	}
	defer func() { _ = dir.Close() }()
	for {
		entries, err := list(dir, 1024)
		if err = errors.Join(err, ctx.Err()); err != nil || len(entries) == 0 {
			return moved, err
		}
		for _, e := range entries {
			if !e.IsDir() {
				if err := dir.Remove(e.Name()); err != nil {
					return moved, err
				}
				continue
			}
			to := rand.Text()
			if err := errors.Join(makeOurs(dir, e.Name()), top.Rename(at+"/"+e.Name(), to)); err != nil {
				return moved, err
			}
			moved = append(moved, to)
		}
	}
}

// makeOurs gives the owner of a directory access to it, which a job may have
// taken from itself.
func makeOurs(parent *os.Root, name string) error {
	f, err := parent.OpenFile(name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil || info.Mode().Perm()&0o700 == 0o700 {
		return err
	}
	// There is no fchmod for such a descriptor, but the kernel's link to it.
	if err := unix.Chmod("/proc/self/fd/"+strconv.Itoa(int(f.Fd())), 0o700); err != nil {
		return fmt.Errorf("access to %q: %w", name, err)
	}
	return nil
}

// removeDir removes an empty directory, and nothing else.
func removeDir(parent *os.Root, name string) error {
	f, err := parent.Open(".")
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := unix.Unlinkat(int(f.Fd()), name, unix.AT_REMOVEDIR); err != nil {
		return &fs.PathError{Op: "remove", Path: name, Err: err}
	}
	return nil
}
