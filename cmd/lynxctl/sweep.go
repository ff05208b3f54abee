package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// ownerFile in a private directory is locked by the process that the directory is
// for, for as long as that lives. A directory whose jobs may outlive the process has
// none: they use what is in it. What it is called nobody else's file is by chance: its
// directory is removed.
const ownerFile = "lynxctl-owner"

// own marks a private directory as this process's. The lock is there before the name.
func own(private string) (*os.File, error) {
	f, err := os.CreateTemp(private, ".owner-")
	if err != nil {
		return nil, err
	}
	err = errors.Join(unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB), os.Rename(f.Name(), filepath.Join(private, ownerFile)))
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// sweep removes private directories of this user's processes that were killed.
func sweep() error {
	found, err := filepath.Glob(filepath.Join(os.TempDir(), privatePrefix+"*", ownerFile))
	for _, file := range found {
		err = errors.Join(err, sweepOne(file))
	}
	return err
}

func sweepOne(file string) error {
	dir, err := os.Lstat(filepath.Dir(file))
	if err != nil || !dir.IsDir() || dir.Mode().Perm()&0o066 != 0 || dir.Sys().(*syscall.Stat_t).Uid != uint32(os.Geteuid()) {
		return nil // nobody's that we know
	}
	f, err := os.OpenFile(file, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // its process has ended meanwhile
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil // its process lives
	}
	return os.RemoveAll(filepath.Dir(file))
}
