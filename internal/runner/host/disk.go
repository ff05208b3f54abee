package host

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Space is the room of one file system, in bytes.
type Space struct {
	// Free is what an unprivileged user can still write.
	Free, Total int64
}

// SpaceOf asks the kernel about the file system that a directory lies in.
func SpaceOf(dir string) (Space, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return Space{}, fmt.Errorf("free space of %s: %w", dir, err)
	}
	size := st.Frsize
	if size == 0 {
		size = st.Bsize
	}
	return Space{Free: int64(st.Bavail) * size, Total: int64(st.Blocks) * size}, nil
}

// Disk watches that some directories' file systems keep a reserve. It is not for
// concurrent use.
type Disk struct {
	// Dirs are the directories, each with its setting's name for messages.
	Dirs []DiskDir
	// Reserve is how many bytes of a file system of that size are to stay free.
	Reserve func(total int64) int64
	// Space is SpaceOf, but in a test.
	Space func(dir string) (Space, error)

	short map[string]bool
}

// DiskDir is a directory that a Disk watches.
type DiskDir struct{ Setting, Path string }

// resumeAt is how much has to be free again, relative to the reserve, so that
// what is at its edge does not come and go.
const resumeAt = 1.25

// Check says, in a sentence, which file system has less left than its reserve;
// nothing where all have enough. One that was short has to have a quarter more
// than the reserve.
func (d *Disk) Check() (string, error) {
	if d.short == nil {
		d.short = map[string]bool{}
	}
	for _, dir := range d.Dirs {
		space, err := d.Space(dir.Path)
		if err != nil {
			return "", err
		}
		reserve := d.Reserve(space.Total)
		resume := min(int64(float64(reserve)*resumeAt), space.Total)
		enough := reserve
		if d.short[dir.Path] {
			enough = resume
		}
		if d.short[dir.Path] = space.Free < enough; d.short[dir.Path] {
			return fmt.Sprintf("only %s are free in the file system of %s (%s), whose reserve is %s (reserve.disk); jobs are taken again from %s on",
				Bytes(space.Free), dir.Setting, dir.Path, Bytes(reserve), Bytes(resume)), nil
		}
	}
	return "", nil
}

// Bytes writes a number of bytes for a person, rounded.
func Bytes(n int64) string {
	for _, unit := range []struct {
		size int64
		name string
	}{{1 << 40, "TiB"}, {1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= unit.size {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(unit.size), unit.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}
