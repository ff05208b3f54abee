package artifact

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// nobody is a job's user where none is known.
const nobody = -1

// someone is a user that no test runs as.
const someone = 54321

func lstat(t *testing.T, path string) (fs.FileMode, uint32, uint32) {
	t.Helper()
	info, err := os.Lstat(path)
	must(t, err)
	st := info.Sys().(*syscall.Stat_t)
	return info.Mode(), st.Uid, st.Gid
}

func TestChownMendsModes(t *testing.T) {
	dir := tree(t, map[string]string{"file": "x", "program": "x", "shut/inner": "y", "open": "z"})
	for name, mode := range map[string]fs.FileMode{
		"file": 0, "program": 0o755 | fs.ModeSetuid | fs.ModeSetgid, "shut/inner": 0, "shut": 0,
		"open": 0o666, ".": 0o777 | fs.ModeSticky,
	} {
		must(t, os.Chmod(filepath.Join(dir, name), mode))
	}
	must(t, Chown(dir, nobody, os.Getuid(), os.Getgid()))
	for name, want := range map[string]fs.FileMode{
		"file": 0o600, "program": 0o755, "shut": fs.ModeDir | 0o700, "shut/inner": 0o600,
		"open": 0o664, ".": fs.ModeDir | 0o775,
	} {
		if mode, _, _ := lstat(t, filepath.Join(dir, name)); mode != want {
			t.Errorf("%s has mode %v, want %v", name, mode, want)
		}
	}
}

func TestChownGivesAwayTheTreeAndNothingElse(t *testing.T) {
	if !root() {
		t.Skip("only root can give files away")
	}
	outside := secret(t)
	dir := tree(t, map[string]string{"d/file": "x", "twin": "x"})
	must(t, os.Symlink(outside, filepath.Join(dir, "link")))
	must(t, os.Symlink(filepath.Dir(outside), filepath.Join(dir, "d/dirlink")))
	must(t, os.Symlink("nowhere", filepath.Join(dir, "dangling")))
	must(t, unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
	socket(t, filepath.Join(dir, "socket"))
	must(t, unix.Mknod(filepath.Join(dir, "device"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 5))))
	must(t, os.Link(filepath.Join(dir, "twin"), filepath.Join(filepath.Dir(outside), "twin")))

	must(t, Chown(dir, nobody, someone, someone+1))
	for _, name := range []string{".", "d", "d/file", "link", "d/dirlink", "dangling", "fifo", "socket"} {
		if _, uid, gid := lstat(t, filepath.Join(dir, name)); uid != someone || gid != someone+1 {
			t.Errorf("%s belongs to %d:%d", name, uid, gid)
		}
	}
	for _, path := range []string{outside, filepath.Dir(outside), filepath.Join(dir, "device"), filepath.Join(dir, "twin")} {
		if _, uid, _ := lstat(t, path); uid == someone {
			t.Errorf("%s was given away", path)
		}
	}
	if mode, _, _ := lstat(t, outside); mode != 0o600 {
		t.Errorf("the mode of a link's target became %v", mode)
	}
}

// A tree that is too deep is given away as far as it goes, and said so; no
// amount of depth takes all descriptors.
func TestChownOfADeepTree(t *testing.T) {
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, strings.Repeat("d/", 300)), 0o755))
	deepest := filepath.Join(dir, strings.Repeat("d/", 290))
	must(t, os.WriteFile(filepath.Join(deepest, "file"), nil, 0o600))
	must(t, os.Mkdir(filepath.Join(deepest, "beside"), 0o700))
	must(t, os.Symlink("/", filepath.Join(deepest, "link")))
	err := Chown(dir, nobody, os.Getuid(), os.Getgid())
	if err == nil || !strings.Contains(err.Error(), "deeper than 256") {
		t.Errorf("error is %v", err)
	}
	depth, entries := 0, 0
	must(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		entries++
		depth = max(depth, strings.Count(path[len(dir):], "/"))
		return err
	}))
	if depth != 256 || entries != 257 {
		t.Errorf("%d entries are left, %d deep", entries, depth)
	}
}

func TestChownErrors(t *testing.T) {
	if err := Chown(filepath.Join(t.TempDir(), "none"), nobody, 1, 1); err == nil {
		t.Error("a missing directory is no error")
	}
}

// What belonged to the job's user is given away whatever it is: a second name of
// a file, or a device that no driver answers, must not keep a slot's user id.
func TestChownOfTheJobsOwn(t *testing.T) {
	if !root() {
		t.Skip("only root can give files away")
	}
	dir := tree(t, map[string]string{"one": "x", "other": "x"})
	outside := secret(t)
	must(t, os.Link(filepath.Join(dir, "one"), filepath.Join(dir, "two")))
	must(t, os.Link(outside, filepath.Join(dir, "stolen")))
	must(t, unix.Mknod(filepath.Join(dir, "whiteout"), unix.S_IFCHR|0o600, 0))
	for _, name := range []string{"one", "whiteout"} {
		must(t, os.Lchown(filepath.Join(dir, name), someone, someone))
	}
	must(t, Chown(dir, someone, someone+1, someone+2))
	for _, name := range []string{"one", "two", "other", "whiteout"} {
		if _, uid, gid := lstat(t, filepath.Join(dir, name)); uid != someone+1 || gid != someone+2 {
			t.Errorf("%s belongs to %d:%d", name, uid, gid)
		}
	}
	if _, uid, _ := lstat(t, outside); uid == someone+1 {
		t.Error("a file outside was given away")
	}
}
