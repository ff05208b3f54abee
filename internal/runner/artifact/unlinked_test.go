package artifact

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// holder is a process of a user that nobody else is, with files open. It ends
// with the test.
func holder(t *testing.T, files ...*os.File) (uid int) {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", "echo; read x; exit 0")
	cmd.ExtraFiles = files
	uid = os.Getuid()
	if root() {
		uid = someone + os.Getpid()
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	}
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	_, err = io.ReadFull(out, make([]byte, 1))
	must(t, err)
	t.Cleanup(func() {
		in.Close()
		must(t, cmd.Wait())
	})
	return uid
}

// unnamedFile is an open file without a name.
func unnamedFile(t *testing.T, dir string, size int) *os.File {
	t.Helper()
	path := filepath.Join(dir, "gone")
	must(t, os.WriteFile(path, make([]byte, size), 0o600))
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	must(t, os.Remove(path))
	return f
}

func TestUnlinked(t *testing.T) {
	dir := t.TempDir()
	hidden := unnamedFile(t, dir, 1<<20)
	must(t, os.WriteFile(filepath.Join(dir, "named"), make([]byte, 1<<20), 0o600))
	named, err := os.Open(filepath.Join(dir, "named"))
	must(t, err)
	defer named.Close()
	u := Unlinked{UID: holder(t, hidden, hidden, named), Dir: dir}
	got, err := u.Measure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// Another user's processes are seen alone; one's own may have such files.
	if got < 1<<20 || root() && got > 1<<20+64<<10 {
		t.Errorf("%d bytes", got)
	}
	if other, err := (&Unlinked{UID: someone, Dir: dir}).Measure(t.Context()); root() && (other != 0 || err != nil) {
		t.Errorf("of a user without processes: %d, %v", other, err)
	}
}

// Between two looks the last answer stands, and after some time there is a look in
// any case.
func TestUnlinkedLooksSeldom(t *testing.T) {
	dir := t.TempDir()
	u := Unlinked{UID: someone, Dir: dir, Step: 1 << 60, last: 42}
	for range unlinkedEvery - 1 {
		if got, err := u.Measure(t.Context()); got != 42 || err != nil {
			t.Fatalf("%d, %v", got, err)
		}
	}
	if got, err := u.Measure(t.Context()); got != 0 || err != nil {
		t.Errorf("at the look: %d, %v", got, err)
	}
}

// A file that is mapped and closed is held all the same; only root can see that.
func TestUnlinkedMapped(t *testing.T) {
	if !root() {
		t.Skip("only root can look at what a process has mapped")
	}
	dir := t.TempDir()
	f := unnamedFile(t, dir, 1<<20)
	b, err := unix.Mmap(int(f.Fd()), 0, 1<<20, unix.PROT_READ, unix.MAP_SHARED)
	must(t, err)
	defer unix.Munmap(b)
	must(t, f.Close())
	u := Unlinked{UID: os.Getuid(), Dir: dir}
	if got, err := u.Measure(t.Context()); err != nil || got < 1<<20 {
		t.Errorf("%d, %v", got, err)
	}
}

func TestUnlinkedErrors(t *testing.T) {
	if _, err := (&Unlinked{Dir: filepath.Join(t.TempDir(), "none")}).Measure(t.Context()); err == nil {
		t.Error("a missing directory is no error")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (&Unlinked{Dir: t.TempDir()}).Measure(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}
