package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrLocked says that another process uses the state directory.
var ErrLocked = errors.New("the state directory is in use by another process")

// Lock takes a state directory that is there from other processes, and changes
// nothing in it but the name of who has it. It fails as Open does while another
// process has it.
func Lock(dir string) (io.Closer, error) {
	f, err := takeLock(filepath.Join(dir, "lock"), 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s: %w", dir, ErrNoState)
	case err != nil:
		return nil, fmt.Errorf("state directory %s: %w", dir, err)
	}
	return f, nil
}

// takeLock takes the lock on a file, which ends with the process at the latest. The
// file holds the pid of who took it last, so that an error that wraps ErrLocked can
// name it; that is for people, and does without on a full disk.
func takeLock(path string, flag int) (*os.File, error) {
	f, err := os.OpenFile(path, flag|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer func() { _ = f.Close() }()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w%s", ErrLocked, holder(f))
		}
		return nil, err
	}
	if err := f.Truncate(0); err == nil {
		_, _ = fmt.Fprintln(f, os.Getpid())
	}
	return f, nil
}

// holder is the pid that a lock file names, as the end of a sentence.
func holder(f io.Reader) string {
	text, _ := io.ReadAll(io.LimitReader(f, 32))
	if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
		return fmt.Sprintf(", %d", pid)
	}
	return ""
}
