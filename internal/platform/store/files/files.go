package files

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// AttemptKey names an attempt of a job; a job is a run of its batch.
type AttemptKey struct {
	BatchID string
	// RunIndex is the job's, from 0; Number the attempt's, from 1.
	RunIndex, Number int
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

// Errors that callers decide on. All wrap one of these or are failures of the
// disk.
var (
	// ErrPath is a path that no file of an attempt has.
	ErrPath = errors.New("not the path of a file of an attempt")
	// ErrDigest is a file whose bytes are not the announced ones; it was
	// discarded.
	ErrDigest = errors.New("the bytes do not have the announced SHA-256; send the file anew")
	// ErrOffset is a file that is to go on where the store has no end.
	ErrOffset = errors.New("the file does not end there")
	// ErrTooLarge is an attempt with more bytes than the store takes of one.
	ErrTooLarge = errors.New("more bytes than are kept of an attempt")
	// ErrDiskFull says that the reserve of free disk space has been reached.
	ErrDiskFull = errors.New("too little free disk space")
	// ErrReplaced says that a later upload of the same attempt has begun.
	ErrReplaced = errors.New("a later upload of this attempt took over")
)

// Store keeps files of attempts below one directory. It is safe for concurrent
// use. See the package comment for the layout.
type Store struct {
	root *os.Root
	opts Options
}

// Options bound what a store takes.
type Options struct {
	// MaxAttemptBytes bounds the bytes of one attempt's files; 0 is no bound.
	MaxAttemptBytes int64
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
	return &Store{root: root, opts: o}, nil
}

// Close releases the directory.
func (s *Store) Close() error { return s.root.Close() }

// List lists the files that the store has anything of, sorted by path; none for
// an attempt that it has nothing of.
func (s *Store) List(ctx context.Context, a AttemptKey) ([]File, error) {
	return nil, ctx.Err()
}

// Open opens a complete file for reading; the caller closes it. fs.ErrNotExist if
// there is none, also while it is not complete; ErrPath.
func (s *Store) Open(ctx context.Context, a AttemptKey, path string) (*os.File, File, error) {
	return nil, File{}, os.ErrNotExist
}
