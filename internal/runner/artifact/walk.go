package artifact

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// errTooMany ends a walk that has seen as many entries as it may.
var errTooMany = errors.New("too many entries")

// entry is one name in a directory, as lstat sees it.
type entry struct {
	// dir is the directory that it is in, and name its name there.
	dir  *os.Root
	name string
	// rel is its path from the top of the walk; it may be any bytes but NUL.
	rel   string
	depth int
	info  fs.FileInfo
}

// walker visits a tree, parents before children.
type walker struct {
	// entries is how many more entries may be visited.
	entries int
	// sorted makes it visit each directory in order of name.
	sorted bool
	// visit is called for each entry. For a directory it says whether to go in;
	// what it returns for others is ignored.
	visit func(entry) (enter bool, err error)
	// problem is called for what could not be looked at.
	problem func(rel string, err error)
	// beforeOpen is for tests that change the tree between a look and an opening.
	beforeOpen func(rel string)
}

// top walks the tree at dir, which is the caller's own path and may be a link.
func (w *walker) top(dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	return w.walk(root, "", 0)
}

// walk visits what is in a directory.
func (w *walker) walk(dir *os.Root, rel string, depth int) error {
	f, err := dir.OpenFile(".", os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	if err != nil {
		w.problem(rel, err)
		return nil
	}
	defer func() { _ = f.Close() }()
	for {
		names, err := w.names(f)
		for _, name := range names {
			if err := w.one(dir, name, rel, depth); err != nil {
				return err
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, errTooMany):
			return err
		default:
			w.problem(rel, err)
			return nil
		}
	}
}

// one visits one entry, and what is in it.
func (w *walker) one(dir *os.Root, name, rel string, depth int) error {
	e := entry{dir: dir, name: name, rel: path.Join(rel, name), depth: depth}
	var err error
	if e.info, err = dir.Lstat(name); err != nil {
		w.problem(e.rel, err)
		return nil
	}
	enter, err := w.visit(e)
	if err != nil || !enter || !e.info.IsDir() {
		return err
	}
	return w.enter(e)
}

// names returns the next names of a directory: some of them, or, in a sorted
// walk, all. They come off the entries that may be visited, so that the names in
// memory are bounded as well. The error is io.EOF at the end.
func (w *walker) names(f *os.File) (names []string, err error) {
	for err == nil && (w.sorted || len(names) == 0) {
		var chunk []string
		chunk, err = f.Readdirnames(256)
		if len(chunk) > w.entries {
			chunk, err = chunk[:w.entries], errTooMany
		}
		w.entries -= len(chunk)
		names = append(names, chunk...)
	}
	slices.Sort(names)
	return names, err
}

// enter walks a directory that was visited.
func (w *walker) enter(e entry) error {
	if w.beforeOpen != nil {
		w.beforeOpen(e.rel)
	}
	sub, err := openDir(e)
	if err != nil {
		w.problem(e.rel, err)
		return nil
	}
	defer func() { _ = sub.Close() }()
	return w.walk(sub, e.rel, e.depth+1)
}

// openDir opens the directory that e's info is of. Root.OpenRoot by itself would
// wait for a writer where a FIFO took the directory's place, and would follow a
// link within the tree.
func openDir(e entry) (*os.Root, error) {
	f, err := e.dir.OpenFile(e.name, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err != nil || !os.SameFile(info, e.info) {
		return nil, errors.Join(errChanged, err)
	}
	return os.OpenRoot("/proc/self/fd/" + strconv.Itoa(int(f.Fd())))
}

// Why a file is not opened.
var (
	errChanged    = errors.New("it changed while it was looked at")
	errNotRegular = errors.New("it is not a regular file")
	errLinked     = errors.New("it has more than one hard link")
)

// openRegular opens a regular file with one link, and nothing else. The file is
// the one that the entry's info is of.
func (w *walker) openRegular(e entry) (*os.File, error) {
	if !e.info.Mode().IsRegular() {
		return nil, errNotRegular
	}
	if links(e.info) != 1 {
		return nil, errLinked
	}
	if w.beforeOpen != nil {
		w.beforeOpen(e.rel)
	}
	// A FIFO that took the file's place must not block us.
	f, err := e.dir.OpenFile(e.name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && (!os.SameFile(info, e.info) || !info.Mode().IsRegular() || links(info) != 1) {
		err = errChanged
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

func links(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Nlink) //nolint:unconvert // it is smaller on arm64
	}
	return 0
}

// kindOf names what an entry is, for people.
func kindOf(mode fs.FileMode) string {
	switch mode.Type() {
	case 0:
		return "a regular file"
	case fs.ModeDir:
		return "a directory"
	case fs.ModeSymlink:
		return "a symbolic link"
	case fs.ModeNamedPipe:
		return "a FIFO"
	case fs.ModeSocket:
		return "a socket"
	}
	return "a device"
}

// quote makes a name from a job fit for people: escaped, and of bounded length.
func quote(name string) string {
	const most = 120
	if len(name) <= most {
		return fmt.Sprintf("%q", name)
	}
	return fmt.Sprintf("%q…", strings.ToValidUTF8(name[:most], ""))
}

// reason is an error without the path that os puts before it.
func reason(err error) string {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		err = pathError.Err
	}
	return err.Error()
}
