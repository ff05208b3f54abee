package artifact

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path"
	"strings"
)

// Open opens a regular file with one link below dir, by its path with forward
// slashes. Nothing on the way is a link either. It never waits, whatever lies
// there. The file is for reading.
func Open(dir *os.Root, name string) (*os.File, error) {
	parent, base := path.Split(name)
	in, err := OpenDir(dir, strings.TrimSuffix(parent, "/"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = in.Close() }()
	e, err := look(in, base)
	if err != nil {
		return nil, err
	}
	return new(walker).openRegular(e)
}

// OpenDir opens a directory below dir, by its path with forward slashes; the empty
// path is dir itself. Nothing on the way is a link.
func OpenDir(dir *os.Root, name string) (*os.Root, error) {
	at, err := dir.OpenRoot(".")
	if err != nil || name == "" {
		return at, err
	}
	for part := range strings.SplitSeq(name, "/") {
		var next *os.Root
		e, err := look(at, part)
		if err == nil {
			next, err = openDir(e)
		}
		_ = at.Close()
		if err != nil {
			return nil, err
		}
		at = next
	}
	return at, nil
}

// look is one entry of a directory as lstat sees it.
func look(dir *os.Root, name string) (entry, error) {
	info, err := dir.Lstat(name)
	return entry{dir: dir, name: name, rel: name, info: info}, err
}

// Digest reads a file to its end, or until ctx ends, and returns its size and its
// SHA-256 in lower-case hexadecimal.
func Digest(ctx context.Context, f *os.File) (size int64, sum string, err error) {
	h := sha256.New()
	size, err = io.Copy(h, untilDone{ctx, f})
	return size, hex.EncodeToString(h.Sum(nil)), err
}
