package files

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// AttemptKey names an attempt of a job; a job is a run of its batch.
type AttemptKey struct {
	BatchID string
	// RunIndex is the job's, from 0; Number the attempt's, from 1.
	RunIndex, Number int
}

// dir is the attempt's directory, below the store's.
func (a AttemptKey) dir() (string, error) {
	if !fs.ValidPath(a.BatchID) || strings.Contains(a.BatchID, "/") || strings.HasPrefix(a.BatchID, ".") ||
		a.RunIndex < 0 || a.Number < 1 {
		return "", fmt.Errorf("%w: attempt %d of run %d of batch %q", ErrPath, a.Number, a.RunIndex, a.BatchID)
	}
	return fmt.Sprintf("%s/%05d/attempt-%d", a.BatchID, a.RunIndex, a.Number), nil
}

// File is what the store has of one file of an attempt.
type File struct {
	// Path is below the attempt's directory, with forward slashes:
	// "log/stdout.log", "output/a/b.csv".
	Path string
	// Size is how many bytes there are, from the beginning.
	Size int64
	// SHA256 is lower-case hexadecimal; empty while the file is not complete.
	SHA256 string
	// Complete says that all of it is there and was verified.
	Complete bool
}

// Errors that callers decide on; any other is a failure of the disk.
var (
	// ErrPath is a path that no file of an attempt has.
	ErrPath = errors.New("not the path of a file of an attempt")
	// ErrDigest is a file whose bytes are not the announced ones; it was
	// discarded.
	ErrDigest = errors.New("the bytes do not have the announced SHA-256 and were discarded; send the file from its beginning")
	// ErrOffset is a file that was to go on beyond what the store has of it.
	ErrOffset = errors.New("the store has less of the file; list the files again")
	// ErrSize is a chunk that does not belong to the file that was announced.
	ErrSize = errors.New("more bytes than were announced")
	// ErrTooLarge is an attempt with more bytes than the store takes of one.
	ErrTooLarge = errors.New("the attempt has more bytes than are kept of one")
	// ErrDiskFull says that the reserve of free disk space has been reached.
	ErrDiskFull = errors.New("too little free disk space")
	// ErrReplaced says that a later upload of the same attempt has begun.
	ErrReplaced = errors.New("a later upload of this attempt took over")
)

// Options bound what a store takes.
type Options struct {
	// MaxAttemptBytes bounds the bytes of one attempt's files; 0 is no bound.
	MaxAttemptBytes int64
	// Space returns the bytes that are free where the store is, and how many there
	// are in all; default statfs.
	Space func() (free, total uint64, err error)
}

// Disk space that the store leaves free: the smaller of reserveBytes and one
// reservePart of the disk.
const (
	reserveBytes = 2 << 30
	reservePart  = 20
)

// Store keeps files of attempts below one directory, which no other store uses at
// the same time. It is safe for concurrent use.
type Store struct {
	root *os.Root
	opts Options

	mu sync.Mutex
	// uploads has the latest upload of each attempt that goes on.
	uploads map[AttemptKey]*Upload
}

// Open opens the store in a directory, which it makes if there is none.
func Open(dir string, o Options) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("directory of the attempts' files: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("directory of the attempts' files: %w", err)
	}
	if o.Space == nil {
		o.Space = func() (uint64, uint64, error) { return space(dir) }
	}
	return &Store{root: root, opts: o, uploads: map[AttemptKey]*Upload{}}, nil
}

// Close releases the directory. Uploads must have ended.
func (s *Store) Close() error { return s.root.Close() }

// space asks the file system.
func space(dir string) (free, total uint64, err error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return st.Bavail * uint64(st.Bsize), st.Blocks * uint64(st.Bsize), nil
}

// room is nil if n more bytes leave the reserve untouched.
func (s *Store) room(n int64) error {
	free, total, err := s.opts.Space()
	if err != nil {
		return err
	}
	reserve := min(reserveBytes, total/reservePart)
	if free < reserve+uint64(n) {
		return fmt.Errorf("%w: %d MiB free, %d MiB wanted, %d MiB stay in reserve; free some or move the data directory",
			ErrDiskFull, free>>20, n>>20, reserve>>20)
	}
	return nil
}

// fixed are the paths that every attempt may have. Other files are below output/.
var fixed = []string{"log/stderr.log", "log/stdout.log", "manifest.json", "run_config.json", "telemetry.parquet"}

// Output is what the paths of artifacts begin with; the artifact's name follows.
const Output = "output/"

// maxDepth bounds the directories in a path below output/: what walks them takes a
// time that grows with the square of their number. It is the most that a runner's
// owner may allow a job.
const maxDepth = 1000

// CheckPath is nil for the path of a file that an attempt may have: one of its
// logs, its telemetry, its manifest and run configuration, or a clean relative
// path below output/, in at most 1000 directories. Else it is ErrPath.
func CheckPath(p string) error {
	if slices.Contains(fixed, p) || strings.HasPrefix(p, Output) && fs.ValidPath(p) && !strings.Contains(p, "\x00") && strings.Count(p[len(Output):], "/") <= maxDepth {
		return nil
	}
	return fmt.Errorf("%w: %.200q", ErrPath, p)
}

// List lists the files that the store has anything of, sorted by path; none for
// an attempt that it has nothing of.
func (s *Store) List(ctx context.Context, a AttemptKey) ([]File, error) {
	dir, err := a.dir()
	if err != nil {
		return nil, err
	}
	complete, err := s.complete(ctx, dir)
	if err != nil {
		return nil, err
	}
	var list []File
	for _, f := range complete {
		list = append(list, f)
	}
	err = s.walkPartial(ctx, dir, func(p string, size int64) {
		if _, ok := complete[p]; !ok {
			list = append(list, File{Path: p, Size: size})
		}
	})
	slices.SortFunc(list, func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	return list, err
}

// walkPartial calls fn for each file that is not complete.
func (s *Store) walkPartial(ctx context.Context, dir string, fn func(p string, size int64)) error {
	base := path.Join(dir, partialDir)
	err := fs.WalkDir(s.root.FS(), base, func(p string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist): // it was completed meanwhile, or there is none
			return nil
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case !d.Type().IsRegular():
			return nil
		}
		if info, err := d.Info(); err == nil {
			fn(strings.TrimPrefix(p, base+"/"), info.Size())
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("list the files of %s: %w", dir, err)
	}
	return nil
}

// Open opens a complete file for reading; the caller closes it. fs.ErrNotExist if
// there is none, also while it is not complete; ErrPath.
func (s *Store) Open(ctx context.Context, a AttemptKey, p string) (*os.File, File, error) {
	dir, err := a.dir()
	if err != nil {
		return nil, File{}, err
	}
	if err := CheckPath(p); err != nil {
		return nil, File{}, err
	}
	lines, err := s.lines(ctx, dir)
	if err != nil {
		return nil, File{}, err
	}
	l, ok := lines[p]
	if !ok {
		return nil, File{}, fmt.Errorf("%s of %s: %w", p, dir, fs.ErrNotExist)
	}
	f, err := s.root.OpenFile(path.Join(dir, p), os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, File{}, fmt.Errorf("open a kept file: %w", err)
	}
	return f, l.file(), nil
}
