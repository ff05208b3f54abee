package files

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"sync"
	"syscall"
)

// Header announces a file.
type Header struct {
	// Path is one that CheckPath takes.
	Path string
	// Size is that of the whole file, SHA256 its digest in lower-case hexadecimal.
	Size   int64
	SHA256 string
	// Offset is where the bytes that follow begin: 0, or at most what the store
	// has. What it has behind that is dropped.
	Offset int64
}

// Upload is the handing in of an attempt's files: for each file Next, then Write
// until all its bytes are there. A file that is left before that stays as it is,
// for a later upload to go on with. Its methods may be called concurrently with
// those of other uploads, also of the same attempt.
type Upload struct {
	store *Store
	key   AttemptKey
	dir   string

	mu sync.Mutex // guards what follows
	// ended says that nothing more may be done, replaced that a later upload is why.
	ended, replaced bool

	index    index
	complete map[string]File
	// used has the bytes that count against the attempt's bound, by path.
	used map[string]int64
	sum  int64
	// dirs are those in which names have changed.
	dirs map[string]bool

	// The file that is being written; file is nil where its bytes are not wanted,
	// because it is complete.
	head Header
	file *os.File
	hash hash.Hash
	at   int64
}

// Begin begins an upload of an attempt's files. One that goes on is replaced: its
// calls fail with ErrReplaced from now on. The caller ends it with Close.
func (s *Store) Begin(ctx context.Context, a AttemptKey) (*Upload, error) {
	dir, err := a.dir()
	if err != nil {
		return nil, err
	}
	u := &Upload{store: s, key: a, dir: dir, used: map[string]int64{}, dirs: map[string]bool{}}
	u.mu.Lock() // until it is whole: a later one may replace it before
	defer u.mu.Unlock()
	s.mu.Lock()
	old := s.uploads[a]
	s.uploads[a] = u
	s.mu.Unlock()
	if old != nil {
		err = old.replace()
	}
	if err == nil {
		err = u.load(ctx)
	}
	if err != nil {
		u.leave()
		return nil, fmt.Errorf("begin to keep files of %s: %w", dir, err)
	}
	return u, nil
}

// load finds what the store has of the attempt.
func (u *Upload) load(ctx context.Context) (err error) {
	if err := u.store.root.MkdirAll(u.dir, 0o700); err != nil {
		return err
	}
	u.touched(u.dir)
	if u.complete, err = u.store.complete(ctx, u.dir); err != nil {
		return err
	}
	for p, f := range u.complete {
		u.count(p, f.Size)
	}
	if err := u.store.walkPartial(ctx, u.dir, u.count); err != nil {
		return err
	}
	u.index, err = u.store.openIndex(u.dir)
	return err
}

// count sets what a file counts.
func (u *Upload) count(p string, size int64) {
	u.sum += size - u.used[p]
	u.used[p] = size
}

// touched notes that names changed in a directory, and maybe in those above it.
func (u *Upload) touched(dir string) {
	for ; !u.dirs[dir]; dir = path.Dir(dir) {
		u.dirs[dir] = true
		if dir == "." {
			return
		}
	}
}

// leave takes the upload off the list of those that go on.
func (u *Upload) leave() {
	u.store.mu.Lock()
	defer u.store.mu.Unlock()
	if u.store.uploads[u.key] == u {
		delete(u.store.uploads, u.key)
	}
}

// replace ends the upload for the sake of a later one.
func (u *Upload) replace() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.replaced = true
	return u.end()
}

// Close ends the upload: when it returns nil, every file that was completed is
// durable. ErrReplaced.
func (u *Upload) Close() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.leave()
	if u.replaced {
		return ErrReplaced
	}
	return u.end()
}

// end leaves the file that is being written, and syncs the rest, once.
func (u *Upload) end() error {
	if u.ended || u.index.f == nil {
		return nil
	}
	u.ended = true
	errs := []error{u.closeFile(), u.index.end()}
	for dir := range maps.Keys(u.dirs) {
		errs = append(errs, u.syncDir(dir))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("keep files of %s: %w", u.dir, err)
	}
	return nil
}

func (u *Upload) syncDir(dir string) error {
	d, err := u.store.root.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// closeFile leaves the file that is being written.
func (u *Upload) closeFile() error {
	if u.file == nil {
		return nil
	}
	err := u.file.Close()
	u.file = nil
	return err
}

// Next announces the next file. ErrPath, ErrOffset, ErrTooLarge, ErrDiskFull,
// ErrReplaced; a file without bytes may be ErrDigest.
func (u *Upload) Next(h Header) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ended {
		return ErrReplaced
	}
	u.head, u.at = Header{}, 0
	if err := u.closeFile(); err != nil {
		return err
	}
	if err := u.check(h); err != nil {
		return err
	}
	u.head, u.at = h, h.Offset
	if _, ok := u.complete[h.Path]; ok {
		return nil // its bytes are let go
	}
	if err := u.open(); err != nil {
		u.head, u.at = Header{}, 0
		return errors.Join(err, u.closeFile())
	}
	u.count(h.Path, h.Size)
	if u.at == h.Size {
		return u.finish()
	}
	return nil
}

func (u *Upload) check(h Header) error {
	if err := CheckPath(h.Path); err != nil {
		return err
	}
	if h.Offset < 0 || h.Size < h.Offset {
		return fmt.Errorf("%s: %w: offset %d of %d bytes", h.Path, ErrOffset, h.Offset, h.Size)
	}
	if _, ok := u.complete[h.Path]; ok {
		return nil
	}
	if most := u.store.opts.MaxAttemptBytes; most > 0 && h.Size > most-(u.sum-u.used[h.Path]) {
		return fmt.Errorf("%s: %w: %d bytes in all with its %d; at most %d",
			h.Path, ErrTooLarge, u.sum-u.used[h.Path]+h.Size, h.Size, most)
	}
	return u.store.room(h.Size - h.Offset)
}

// open opens the file where its bytes go on, and digests those before.
func (u *Upload) open() (err error) {
	p := u.partial()
	if err = u.store.root.MkdirAll(path.Dir(p), 0o700); err != nil {
		return named(err)
	}
	if u.file, err = u.store.root.OpenFile(p, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600); err != nil {
		return named(err)
	}
	info, err := u.file.Stat()
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%w: %.200q", ErrPath, u.head.Path)
	case info.Size() < u.at:
		return fmt.Errorf("%s: %w: %d bytes, not %d", u.head.Path, ErrOffset, info.Size(), u.at)
	}
	if err := u.file.Truncate(u.at); err != nil {
		return err
	}
	u.hash = sha256.New()
	_, err = io.Copy(u.hash, u.file)
	return err
}

// named makes ErrPath of what a name can be wrong with that is clean otherwise: it
// is too long, or goes through another file.
func named(err error) error {
	for _, bad := range []error{syscall.ENAMETOOLONG, syscall.ENOTDIR, syscall.EISDIR, syscall.EEXIST, syscall.EINVAL, syscall.ELOOP} {
		if errors.Is(err, bad) {
			return fmt.Errorf("%w: %w", ErrPath, err)
		}
	}
	return full(err)
}

// full makes ErrDiskFull of what a full disk says.
func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrDiskFull, err)
	}
	return err
}

func (u *Upload) partial() string { return path.Join(u.dir, partialDir, u.head.Path) }

// Write appends bytes to the file that was announced last; with the last of them
// the file becomes complete. ErrDigest, ErrSize, ErrDiskFull, ErrReplaced.
func (u *Upload) Write(chunk []byte) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.ended:
		return ErrReplaced
	case int64(len(chunk)) > u.head.Size-u.at:
		return fmt.Errorf("%s: %w", u.head.Path, ErrSize)
	case u.file == nil: // complete already
		u.at += int64(len(chunk))
		return nil
	}
	if err := u.store.room(int64(len(chunk))); err != nil {
		return err
	}
	n, err := u.file.Write(chunk)
	u.at += int64(n)
	if err != nil {
		return full(err)
	}
	_, _ = u.hash.Write(chunk) // never fails
	if u.at == u.head.Size {
		return u.finish()
	}
	return nil
}

// finish verifies the file whose bytes are all there and puts it in its place.
func (u *Upload) finish() error {
	h := u.head
	if got := hex.EncodeToString(u.hash.Sum(nil)); got != h.SHA256 {
		u.count(h.Path, 0)
		err := errors.Join(u.closeFile(), u.store.root.Remove(u.partial()))
		return errors.Join(fmt.Errorf("%s: %w", h.Path, ErrDigest), err)
	}
	if err := errors.Join(full(u.file.Sync()), u.closeFile()); err != nil {
		return err
	}
	to := path.Join(u.dir, h.Path)
	if err := u.store.root.MkdirAll(path.Dir(to), 0o700); err != nil {
		return named(err)
	}
	if err := u.store.root.Rename(u.partial(), to); err != nil {
		return named(err)
	}
	u.touched(path.Dir(to))
	l := line{Path: h.Path, Size: h.Size, SHA256: h.SHA256}
	if err := u.index.add(l); err != nil {
		return full(err)
	}
	u.complete[h.Path] = l.file()
	return nil
}
