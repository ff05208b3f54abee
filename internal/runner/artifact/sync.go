package artifact

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Sync makes the tree at dir durable: when it returns nil, its regular files and
// directories survive a crash of the host, with the content that they have now, and
// so do the entries that lead to it in as many directories above. These are the
// parents that dir really has, whatever was put in the place of their names.
//
// It first has the kernel begin to write everything and then waits for each file, so
// that a file system with a journal commits once or twice for the tree and not once
// a file. Only this tree is waited for: syncfs would wait for whatever else is being
// written to the same disk. Files with more than one link, which are nobody's
// artifacts, are left out.
//
// When ctx ends, Sync fails with its error before the next file. Nothing can end the
// wait for the one that the kernel is at: with a disk that does not answer, Sync does
// not return.
func Sync(ctx context.Context, dir *os.File, above int) error {
	if err := syncTree(ctx, dir, above); err != nil {
		return fmt.Errorf("syncing the files: %w", err)
	}
	return nil
}

func syncTree(ctx context.Context, dir *os.File, above int) error {
	root, err := os.OpenRoot("/proc/self/fd/" + strconv.Itoa(int(dir.Fd())))
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	var errs []error
	for _, each := range []func(*os.File) error{startWriting, (*os.File).Sync} {
		if err := eachFile(ctx, root, each); err != nil {
			errs = append(errs, err)
		}
	}
	errs = append(errs, upwards(ctx, dir, above, (*os.File).Sync))
	if ctx.Err() != nil {
		return fmt.Errorf("given up before all was on disk: %w", ctx.Err())
	}
	return errors.Join(errs...)
}

// upwards calls do for a directory and for as many above it, until ctx ends or do
// fails.
func upwards(ctx context.Context, dir *os.File, above int, do func(*os.File) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := do(dir); err != nil || above == 0 {
		return err
	}
	parent, err := openAt(dir, "..")
	if err != nil {
		return err
	}
	defer func() { _ = parent.Close() }()
	return upwards(ctx, parent, above-1, do)
}

// openAt opens a directory by its name in another.
func openAt(dir *os.File, name string) (*os.File, error) {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NONBLOCK | unix.O_NOFOLLOW | unix.O_CLOEXEC
	for {
		fd, err := unix.Openat(int(dir.Fd()), name, flags, 0)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return nil, &fs.PathError{Op: "openat", Path: filepath.Join(dir.Name(), name), Err: err}
		default:
			return os.NewFile(uintptr(fd), filepath.Join(dir.Name(), name)), nil
		}
	}
}

// startWriting has the kernel write what is dirty of a file. It is a hint that not
// every file system takes, and for directories means nothing.
func startWriting(f *os.File) error {
	_ = unix.SyncFileRange(int(f.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE)
	return nil
}

// eachFile calls do for every regular file and every directory of a tree, until ctx
// ends, and returns the first error.
func eachFile(ctx context.Context, root *os.Root, do func(*os.File) error) (first error) {
	keep := func(err error) {
		if first == nil {
			first = err
		}
	}
	w := walker{entries: chownEntries, problem: func(_ string, err error) {
		if !errors.Is(err, fs.ErrPermission) {
			keep(err)
		}
	}}
	w.visit = func(e entry) (enter bool, err error) {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		var f *os.File
		switch {
		case e.info.IsDir():
			f, err = e.dir.OpenFile(e.name, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
		case e.info.Mode().IsRegular() && links(e.info) == 1:
			f, err = w.openRegular(e)
		default:
			return false, nil
		}
		switch {
		case err == nil:
			keep(errors.Join(do(f), f.Close()))
		case errors.Is(err, fs.ErrPermission):
			return false, nil
		default:
			keep(err)
		}
		return e.info.IsDir() && e.depth < chownDepth, nil
	}
	keep(w.walk(root, "", 0))
	return first
}
