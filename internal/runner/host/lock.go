package host

import (
	"errors"
	"fmt"
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
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
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
