package artifact

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// What Chown goes through at most. A tree beyond was not made by a job within
// its limits, but by one that was not stopped in time. What is nested deeper is
// removed: nobody could name it by a path, and it would stay the job's user's.
const (
	chownEntries = 1 << 20
	chownDepth   = 256
)

// Chown gives the tree at dir, dir itself included, to a user and group, and
// makes it theirs to read and delete: directories get u+rwx, files u+rw. Nobody
// else may write (o-w), and set-user-ID, set-group-ID and sticky bits go, since
// such a bit on a stranger's program would act for the new owner.
//
// Links are given away themselves, never what they point at. Regular files with
// several hard links and devices may be more than this tree's: only those that
// belong to from, the job's user, are changed. Every entry is handled through a
// descriptor of itself, so nothing outside the tree changes whatever is done to it
// meanwhile.
//
// An error doesn't end the work; the first few are returned together. A runner
// that is not root can pass its own ids, to have only the modes mended.
func Chown(dir string, from, uid, gid int) error {
	c := chowner{from: from, uid: uid, gid: gid}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	info, err := root.Stat(".")
	if err != nil {
		return err
	}
	c.one(entry{dir: root, name: ".", rel: ".", info: info})
	w := walker{
		entries: chownEntries,
		visit: func(e entry) (bool, error) {
			c.one(e)
			if e.info.IsDir() && e.depth+1 > chownDepth {
				c.problem(e.rel, errors.Join(fmt.Errorf("what was nested deeper than %d directories was removed", chownDepth), prune(e.dir, e.name)))
				return false, nil
			}
			return true, nil
		},
		problem: c.problem,
	}
	if err := w.walk(root, "", 0); err != nil {
		c.problem(".", err)
	}
	return errors.Join(c.errs...)
}

// prune removes the tree at a name in a directory. However deep it is, it takes
// few descriptors: directories move up beside the tree before it is their turn.
func prune(dir *os.Root, name string) error {
	queue := []string{name}
	for n := 0; len(queue) > 0; {
		at := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		f, err := dir.Open(at)
		if err != nil {
			return err
		}
		entries, err := f.ReadDir(-1)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
		for _, e := range entries {
			path := at + "/" + e.Name()
			if !e.IsDir() {
				if err := dir.Remove(path); err != nil {
					return err
				}
				continue
			}
			n++
			up := fmt.Sprintf("%.100s.%d", name, n)
			if err := dir.Rename(path, up); err != nil {
				return err
			}
			queue = append(queue, up)
		}
		if err := dir.Remove(at); err != nil {
			return err
		}
	}
	return nil
}

type chowner struct {
	from, uid, gid int
	errs           []error
}

// problem keeps the first few errors.
func (c *chowner) problem(rel string, err error) {
	if len(c.errs) < 5 {
		c.errs = append(c.errs, fmt.Errorf("changing the owner of %s: %s", quote(rel), reason(err)))
	}
}

// one changes one entry.
func (c *chowner) one(e entry) {
	kind := e.info.Mode().Type()
	if (kind&fs.ModeDevice != 0 || kind == 0 && links(e.info) != 1) && ownerOf(e.info) != c.from {
		return
	}
	if err := c.change(e); err != nil {
		c.problem(e.rel, err)
	}
}

func (c *chowner) change(e entry) error {
	// O_PATH needs no permission on the entry, and opens a link itself.
	f, err := e.dir.OpenFile(e.name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err != nil || !os.SameFile(info, e.info) {
		return errors.Join(errChanged, err)
	}
	if e.info.IsDir() || e.info.Mode().IsRegular() {
		// There is no fchmod for such a descriptor, but the kernel's link to it.
		if err := unix.Chmod("/proc/self/fd/"+strconv.Itoa(int(f.Fd())), mended(e.info.Mode())); err != nil {
			return err
		}
	}
	return unix.Fchownat(int(f.Fd()), "", c.uid, c.gid, unix.AT_EMPTY_PATH)
}

// ownerOf is the user that an entry belongs to.
func ownerOf(info fs.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return -1
}

// mended is the mode that an entry gets.
func mended(mode fs.FileMode) uint32 {
	out := uint32(mode.Perm()) &^ 0o002
	if mode.IsDir() {
		return out | 0o700
	}
	return out | 0o600
}
