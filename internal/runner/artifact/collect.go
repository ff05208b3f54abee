package artifact

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxWarnings bounds the warnings of a collection.
const maxWarnings = 50

// Collect lists the regular files below dir with their sizes and SHA-256. A
// file with more than one hard link, anything that is not a regular file, a name
// that is not printable, and what can't be read or changes under the hand is
// left out with a warning. A tree beyond a limit is collected as far as the
// limit, and LimitExceeded set; a file beyond FileBytes is not read. A dir that
// is not there is an error, and so is the end of ctx; the state of the tree
// never is.
func Collect(ctx context.Context, dir string, limits Limits) (Collection, error) {
	return newCollector(ctx, limits).collect(dir)
}

// collector is one Collect.
type collector struct {
	ctx    context.Context //nolint:containedctx // it lives for one call
	limits Limits
	walker walker
	out    Collection
	total  int64
	// silent counts the warnings beyond maxWarnings.
	silent int
}

// errStop ends a walk at a limit.
var errStop = errors.New("stop")

func newCollector(ctx context.Context, limits Limits) *collector {
	c := &collector{ctx: ctx, limits: limits}
	c.walker = walker{
		entries: limits.entries(),
		sorted:  true,
		visit:   c.visit,
		problem: func(rel string, err error) { c.leaveOut(rel, reason(err)) },
	}
	return c
}

func (c *collector) collect(dir string) (Collection, error) {
	err := c.walker.top(dir)
	switch {
	case errors.Is(err, errTooMany):
		c.exceed(fmt.Sprintf("The output has more than %d files and directories.", c.limits.entries()-1))
	case errors.Is(err, errStop):
	case err != nil:
		return Collection{}, fmt.Errorf("collecting the output: %w", err)
	}
	if c.silent > 0 {
		c.out.Warnings = append(c.out.Warnings, fmt.Sprintf("%d more files were left out.", c.silent))
	}
	slices.SortFunc(c.out.Artifacts, func(a, b Artifact) int { return strings.Compare(a.Name, b.Name) })
	return c.out, nil
}

// visit looks at one entry.
func (c *collector) visit(e entry) (enter bool, err error) {
	if err := c.ctx.Err(); err != nil {
		return false, err
	}
	if why := badName(e.rel); why != "" {
		c.leaveOut(e.rel, why)
		return false, nil
	}
	switch {
	case e.info.IsDir():
		if e.depth+1 > c.limits.Depth {
			c.exceed(fmt.Sprintf("The output directory %s is nested deeper than %d directories.", quote(e.rel), c.limits.Depth))
			return false, nil
		}
		return true, nil
	case !e.info.Mode().IsRegular():
		c.leaveOut(e.rel, "it is "+kindOf(e.info.Mode()))
		return false, nil
	}
	return false, c.file(e)
}

// file takes up a regular file.
func (c *collector) file(e entry) error {
	size := e.info.Size()
	switch {
	case size > c.limits.FileBytes:
		c.exceed(fmt.Sprintf("The output file %s has %d bytes; the limit for a file is %d.", quote(e.rel), size, c.limits.FileBytes))
		return nil
	case len(c.out.Artifacts) >= c.limits.Files:
		c.exceed(fmt.Sprintf("The output has more than %d files.", c.limits.Files))
		return errStop
	case size > c.limits.TotalBytes-c.total:
		c.exceed(fmt.Sprintf("The output files have more than %d bytes in all.", c.limits.TotalBytes))
		return errStop
	}
	f, err := c.walker.openRegular(e)
	if err != nil {
		c.leaveOut(e.rel, reason(err))
		return nil
	}
	defer func() { _ = f.Close() }()
	sum, err := c.hash(f, e.info)
	if c.ctx.Err() != nil {
		return c.ctx.Err()
	}
	if err != nil {
		c.leaveOut(e.rel, reason(err))
		return nil
	}
	c.total += size
	c.out.Artifacts = append(c.out.Artifacts, Artifact{Name: e.rel, Size: size, SHA256: sum})
	return nil
}

// hash reads a file of the size that was seen; a file that turns out to be
// another size, or was written to meanwhile, has no hash.
func (c *collector) hash(f *os.File, seen fs.FileInfo) (string, error) {
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(untilDone{c.ctx, f}, seen.Size()+1))
	if err != nil {
		return "", err
	}
	now, err := f.Stat()
	if err != nil {
		return "", err
	}
	if n != seen.Size() || now.Size() != n || !now.ModTime().Equal(seen.ModTime()) {
		return "", errChanged
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// untilDone reads until a context ends.
type untilDone struct {
	ctx context.Context //nolint:containedctx // io.Reader has no room for one
	r   io.Reader
}

func (u untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}

// badName says why a name can't be reported, or nothing. Names go into tables,
// terminals and URLs.
func badName(rel string) string {
	switch {
	case len(rel) > maxPath:
		return fmt.Sprintf("its path is longer than %d bytes", maxPath)
	case !utf8.ValidString(rel):
		return "its name is not valid UTF-8"
	case strings.ContainsFunc(rel, func(r rune) bool { return !unicode.IsGraphic(r) }):
		return "its name has control characters"
	}
	return ""
}

func (c *collector) leaveOut(rel, why string) {
	if rel == "" {
		rel = "."
	}
	if len(c.out.Warnings) >= maxWarnings {
		c.silent++
		return
	}
	c.out.Warnings = append(c.out.Warnings, fmt.Sprintf("The output file %s was left out: %s.", quote(rel), why))
}

// exceed notes the first limit that the tree is beyond.
func (c *collector) exceed(what string) {
	if c.out.LimitExceeded == "" {
		c.out.LimitExceeded = what
	}
}
