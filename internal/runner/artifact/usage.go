package artifact

import (
	"context"
	"errors"
	"io/fs"
	"syscall"
)

// Use is what trees take up.
type Use struct {
	// Bytes is the sum of the files' sizes, Allocated of the blocks that
	// everything occupies. A sparse file has more of the former, and a tree of
	// many small files of the latter. A file with several links counts once for
	// each.
	Bytes, Allocated int64
	// Largest is the size of the largest file.
	Largest int64
	// Files counts regular files, Entries everything.
	Files, Entries int
	// Truncated is set where there is more than the limits allow to look at.
	Truncated bool
	// Unreadable counts what could not be looked at, though it is there.
	Unreadable int
}

// Usage measures the trees at dirs, together, while a job may be writing to
// them: what vanishes meanwhile doesn't count, links are not followed. It looks
// at the number of entries and the depth that limits allow. An error is a
// directory of dirs that can't be opened, or the end of ctx.
func Usage(ctx context.Context, limits Limits, dirs ...string) (Use, error) {
	var u Use
	w := walker{
		entries: limits.entries(),
		visit: func(e entry) (bool, error) {
			u.add(e.info)
			if e.info.IsDir() && e.depth+1 > limits.Depth {
				u.Truncated = true
				return false, nil
			}
			return true, ctx.Err()
		},
		problem: func(_ string, err error) {
			if !errors.Is(err, fs.ErrNotExist) {
				u.Unreadable++
			}
		},
	}
	for _, dir := range dirs {
		err := w.top(dir)
		if errors.Is(err, errTooMany) {
			u.Truncated = true
			return u, nil
		}
		if err != nil {
			return u, err
		}
	}
	return u, nil
}

func (u *Use) add(info fs.FileInfo) {
	u.Entries++
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		u.Allocated += st.Blocks * 512
	}
	if info.Mode().IsRegular() {
		u.Files++
		u.Bytes += info.Size()
		u.Largest = max(u.Largest, info.Size())
	}
}
