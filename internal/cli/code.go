package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// The bounds of what CopyCode copies: plenty for programs, too little for data.
const (
	maxCodeBytes = 64 << 20
	maxCodeFiles = 5000
)

// CopyCode copies the directory of a scenario into a new directory: what a study
// runs is then what was there when it began, and its results can lie in the same
// place without being seen by its own jobs. Hidden files, Python's caches, the
// directory skip and others that hold a study's state are left out; links stay
// what they are, and lead nowhere if they lead out. Everybody can read the copy.
//
// More than 64 MiB or 5,000 files is an error that says what to do.
func CopyCode(from, into, skip string) error {
	root, err := os.OpenRoot(from)
	if err != nil {
		return fmt.Errorf("the study's directory: %w", err)
	}
	defer func() { _ = root.Close() }()
	c := copier{root: root, from: from, into: into, skip: skip}
	err = fs.WalkDir(root.FS(), ".", c.visit)
	var tooMuch *TooMuchError
	if err != nil && !errors.As(err, &tooMuch) {
		return fmt.Errorf("copy the study's directory: %w", err)
	}
	return err
}

// TooMuchError says that a directory holds more than code.
type TooMuchError struct{ Dir string }

func (e *TooMuchError) Error() string {
	return fmt.Sprintf("the study's directory %s holds more than %d MiB or %d files, too much to copy as code: "+
		"put the study and its scenario into a directory of their own, or name the scenario's directory with --working-directory "+
		"and an --output outside of it (large data belongs into sandbox.data_mounts of the runner's file)",
		e.Dir, maxCodeBytes>>20, maxCodeFiles)
}

type copier struct {
	root             *os.Root
	from, into, skip string
	files            int
	bytes            int64
}

func (c *copier) visit(name string, d fs.DirEntry, err error) error {
	switch {
	case err != nil:
		return err
	case name == ".":
		return os.Mkdir(c.into, 0o755)
	case c.leaveOut(name, d):
		if d.IsDir() {
			return fs.SkipDir
		}
		return nil
	}
	if c.files++; c.files > maxCodeFiles {
		return &TooMuchError{c.from}
	}
	to := filepath.Join(c.into, filepath.FromSlash(name))
	switch d.Type() {
	case fs.ModeDir:
		return os.Mkdir(to, 0o755)
	case fs.ModeSymlink:
		target, err := c.root.Readlink(name)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	case 0:
		return c.copy(name, to)
	}
	return nil // sockets and the like are no code
}

func (c *copier) leaveOut(name string, d fs.DirEntry) bool {
	base := path.Base(name)
	if strings.HasPrefix(base, ".") || base == "__pycache__" {
		return true
	}
	if !d.IsDir() {
		return false
	}
	_, err := c.root.Lstat(path.Join(name, stateName))
	return err == nil || filepath.Join(c.from, filepath.FromSlash(name)) == c.skip
}

// stateName is the directory, in an output directory, with the state of studies.
const stateName = ".lynx"

func (c *copier) copy(name, to string) error {
	in, err := c.root.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	n, err := io.Copy(out, io.LimitReader(in, maxCodeBytes-c.bytes+1))
	c.bytes += n
	if c.bytes > maxCodeBytes {
		err = &TooMuchError{c.from}
	}
	mode := fs.FileMode(0o644)
	if info.Mode().Perm()&0o111 != 0 {
		mode = 0o755
	}
	return errors.Join(err, out.Chmod(mode), out.Close())
}
