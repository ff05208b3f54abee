package process

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// scratch is the directory of an attempt's HOME and TMPDIR.
type scratch string

func (s scratch) home() string { return filepath.Join(string(s), "home") }
func (s scratch) tmp() string  { return filepath.Join(string(s), "tmp") }

// newScratch is a name for one, that nobody can have foreseen.
func newScratch(parent string) scratch {
	return scratch(filepath.Join(parent, "lynx-job-"+strings.ToLower(rand.Text()[:16])))
}

// make makes HOME and TMPDIR for the job's user; the directory itself stays the
// runner's, so that the job can't put anything in its place.
func (s scratch) make(uid, gid int) error {
	if err := os.Mkdir(string(s), 0o700); err != nil {
		return fmt.Errorf("HOME and TMPDIR: %w", err)
	}
	for _, dir := range []string{s.home(), s.tmp()} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return fmt.Errorf("HOME and TMPDIR: %w", err)
		}
		if err := os.Lchown(dir, uid, gid); err != nil {
			return fmt.Errorf("HOME and TMPDIR: %w", err)
		}
	}
	return os.Chmod(string(s), 0o711)
}

// remove deletes it all. No process of the job may live.
func (s scratch) remove() error {
	if s == "" {
		return nil
	}
	err := os.RemoveAll(string(s))
	if err == nil || !errors.Is(err, fs.ErrPermission) {
		return err
	}
	// Directories that the job closed to its own user, which is the runner's.
	root, openErr := os.OpenRoot(string(s))
	if openErr != nil {
		return errors.Join(err, openErr)
	}
	defer root.Close() //nolint:errcheck // a directory, nothing to lose
	open(root, ".")
	return os.RemoveAll(string(s))
}

// open gives the owner access to a directory and all below it.
func open(root *os.Root, dir string) {
	if info, err := root.Lstat(dir); err != nil || !info.IsDir() {
		return
	}
	_ = root.Chmod(dir, 0o700)
	f, err := root.Open(dir)
	if err != nil {
		return
	}
	entries, _ := f.ReadDir(-1)
	f.Close()
	for _, e := range entries {
		if e.IsDir() {
			open(root, filepath.Join(dir, e.Name()))
		}
	}
}
