package artifact

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Sync makes the tree at dir durable: when it returns nil, its regular files and
// directories survive a crash of the host, with the content that they have now, and
// so do the entries of the directories above, which are given by path.
//
// It first has the kernel begin to write everything and then waits for each file, so
// that a file system with a journal commits once or twice for the tree and not once
// a file. Only this tree is waited for: syncfs would wait for whatever else is being
// written to the same disk. Files with more than one link, which are nobody's
// artifacts, are left out.
func Sync(dir string, above ...string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("syncing the files: %w", err)
	}
	defer func() { _ = root.Close() }()
	var errs []error
	for _, each := range []func(*os.File) error{startWriting, (*os.File).Sync} {
		if err := eachFile(root, each); err != nil {
			errs = append(errs, err)
		}
	}
	for _, path := range append([]string{dir}, above...) {
		d, err := os.OpenFile(path, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
		if err == nil {
			err = errors.Join(d.Sync(), d.Close())
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("syncing the files: %w", err)
	}
	return nil
}

// startWriting has the kernel write what is dirty of a file. It is a hint that not
// every file system takes, and for directories means nothing.
func startWriting(f *os.File) error {
	_ = unix.SyncFileRange(int(f.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE)
	return nil
}

// eachFile calls do for every regular file and every directory of a tree, and returns
// the first error.
func eachFile(root *os.Root, do func(*os.File) error) (first error) {
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
