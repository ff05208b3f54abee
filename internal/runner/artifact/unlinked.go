package artifact

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Unlinked measures what a job's processes keep of files that have no name any
// more: opened and removed, they fill the disk and no tree shows them. It is for
// one job, and not for concurrent use.
//
// What is found is every such file of the file system of Dir that a process of
// the user has open or mapped. A file that is only in flight in a socket is in
// nobody's list, and is not found.
//
// Looking through every process of a host takes its time, so it is done only
// when the file system has lost Step bytes since the last time, to whomever, and
// at every unlinkedEvery-th call.
type Unlinked struct {
	// UID is a user that no other job on the host has.
	UID int
	// Dir is a directory that the job writes to.
	Dir string
	// Step is in bytes.
	Step int64

	free  uint64 // the most that was free since the last look
	calls int
	last  int64
}

// unlinkedEvery bounds how long a file stays unseen where somebody else frees as
// much as the job takes.
const unlinkedEvery = 20

// Measure returns how many bytes were occupied at the last look, which is now if
// it is due. An error is a Dir or a /proc that can't be read, or the end of ctx.
func (u *Unlinked) Measure(ctx context.Context) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(u.Dir, &st); err != nil {
		return 0, fmt.Errorf("file system of %s: %w", u.Dir, err)
	}
	free := st.Bavail * uint64(st.Bsize)
	u.free = max(u.free, free)
	u.calls++
	if u.free-free < uint64(u.Step) && u.calls%unlinkedEvery != 0 {
		return u.last, nil
	}
	sum, err := u.scan(ctx)
	if err != nil {
		return 0, err
	}
	u.free, u.last = free, sum
	return sum, nil
}

// scan looks through every process.
func (u *Unlinked) scan(ctx context.Context) (int64, error) {
	var dir syscall.Stat_t
	if err := syscall.Stat(u.Dir, &dir); err != nil {
		return 0, fmt.Errorf("stat %s: %w", u.Dir, err)
	}
	processes, err := os.ReadDir("/proc")
	if err != nil {
		return 0, err
	}
	seen := map[uint64]int64{}
	for _, p := range processes {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if _, err := strconv.Atoi(p.Name()); err != nil || !u.owns(p.Name()) {
			continue
		}
		for _, list := range []string{"fd", "map_files"} {
			if err := unnamed(ctx, filepath.Join("/proc", p.Name(), list), uint64(dir.Dev), seen); err != nil { //nolint:unconvert // it is smaller on other machines
				return 0, err
			}
		}
	}
	var sum int64
	for _, allocated := range seen {
		sum += allocated
	}
	return sum, nil
}

// owns reports whether a process is of the job's user. The directory of a process
// that made itself undumpable belongs to root, so there the kernel's record counts.
func (u *Unlinked) owns(pid string) bool {
	var st syscall.Stat_t
	if syscall.Stat("/proc/"+pid, &st) != nil {
		return false
	}
	if st.Uid != 0 || u.UID == 0 {
		return int(st.Uid) == u.UID
	}
	status, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(status)) {
		if ids, ok := strings.CutPrefix(line, "Uid:"); ok {
			fields := strings.Fields(ids)
			return len(fields) > 0 && fields[0] == strconv.Itoa(u.UID)
		}
	}
	return false
}

// unnamed adds the regular files without a name of one file system that a list of
// links in /proc leads to, by inode. A process may end meanwhile.
func unnamed(ctx context.Context, list string, dev uint64, seen map[uint64]int64) error {
	f, err := os.Open(list)
	if err != nil {
		return nil //nolint:nilerr // the process has ended, or there is no right to look
	}
	defer func() { _ = f.Close() }()
	for {
		names, err := f.Readdirnames(1024)
		for _, name := range names {
			var st syscall.Stat_t
			if syscall.Stat(list+"/"+name, &st) == nil && st.Nlink == 0 && st.Mode&syscall.S_IFMT == syscall.S_IFREG && uint64(st.Dev) == dev { //nolint:unconvert // it is smaller on other machines
				seen[st.Ino] = st.Blocks * 512
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil || len(names) == 0 {
			return nil //nolint:nilerr // the end of the list, or of the process
		}
	}
}
