package runner

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"sync"
)

// The digest of a working tree is bounded: beyond it there is none, because the
// tree is then not only code.
const (
	maxTreeFiles = 20_000
	maxTreeBytes = 1 << 30
)

// treeDigest computes the digest of the working directory: SHA-256 over each
// file's path, kind and content, in the order of the paths. Directories named
// .git and __pycache__ do not count. The contents are read again only when the
// list of files with sizes and times has changed.
type treeDigest struct {
	dir string

	mu      sync.Mutex
	listing [sha256.Size]byte
	digest  string
}

func newTreeDigest(dir string) *treeDigest { return &treeDigest{dir: dir} }

// sum returns "sha256:…". It may be called concurrently.
func (t *treeDigest) sum(ctx context.Context) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	root, err := os.OpenRoot(t.dir)
	if err != nil {
		return "", err
	}
	defer func() { _ = root.Close() }()
	listing := sha256.New()
	if err := walkTree(ctx, root, func(p string, info fs.FileInfo) error {
		fmt.Fprintf(listing, "%q %v %d %d\n", p, info.Mode(), info.Size(), info.ModTime().UnixNano())
		return nil
	}); err != nil {
		return "", err
	}
	key := [sha256.Size]byte(listing.Sum(nil))
	if t.digest != "" && key == t.listing {
		return t.digest, nil
	}
	contents := sha256.New()
	if err := walkTree(ctx, root, func(p string, info fs.FileInfo) error {
		return addFile(contents, root, p, info)
	}); err != nil {
		return "", err
	}
	t.listing, t.digest = key, "sha256:"+hex.EncodeToString(contents.Sum(nil))
	return t.digest, nil
}

// walkTree visits every file but directories, in the order of the paths.
func walkTree(ctx context.Context, root *os.Root, visit func(string, fs.FileInfo) error) error {
	files, size := 0, int64(0)
	return fs.WalkDir(root.FS(), ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case d.IsDir() && (path.Base(p) == ".git" || path.Base(p) == "__pycache__"):
			return fs.SkipDir
		case d.IsDir():
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		files++
		size += info.Size()
		if files > maxTreeFiles || size > maxTreeBytes {
			return fmt.Errorf("the working directory has more than %d files or %s; name a directory with the code alone", maxTreeFiles, bytesText(maxTreeBytes))
		}
		return visit(p, info)
	})
}

// addFile adds one file: a link by where it points to, anything that is neither
// link nor regular by its kind.
func addFile(h hash.Hash, root *os.Root, p string, info fs.FileInfo) error {
	fmt.Fprintf(h, "%q %v ", p, info.Mode().Type())
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := root.Readlink(p)
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%q", target)
	case info.Mode().IsRegular():
		f, err := root.Open(p)
		if err != nil {
			return err
		}
		defer f.Close()
		content := sha256.New()
		if _, err := io.Copy(content, f); err != nil {
			return err
		}
		fmt.Fprintf(h, "%x", content.Sum(nil))
	}
	fmt.Fprintln(h)
	return nil
}
