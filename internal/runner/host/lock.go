package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ErrTaken says that another process, or this one, has a lock.
var ErrTaken = errors.New("is taken")

// Lock takes the lock of a name in a directory, which must be there, and holds it
// until the file is closed or the process ends. An error that wraps ErrTaken means
// that somebody has it.
func Lock(dir, name string) (*os.File, error) {
	f, err := openLock(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	if err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil {
		return f, nil
	}
	_ = f.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = ErrTaken
	}
	return nil, fmt.Errorf("%s: %w", f.Name(), err)
}

// openLock opens a lock's file, or makes it. A file of another user, in a directory
// that several share, can only be read, which is enough to lock it; and to open it
// as if it were to be made is refused there (fs.protected_regular).
func openLock(path string) (*os.File, error) {
	for {
		f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		if !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
		f, err = os.OpenFile(path, os.O_RDONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o644)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
	}
}
