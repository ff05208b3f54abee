//go:build engine

package stand

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Users are the users of jobs: a range of ids that no other runner of the host has.
type Users struct{ First, Count int }

// Ranges begin at firstUser and are usersPerRange apart.
const (
	firstUser     = 1_710_000_000
	usersPerRange = 64
)

// NewUsers takes a range of so many ids, which no other test of this host has until
// this one ends, in whatever process it runs. The lock is an abstract socket, which
// goes with its process however that ends.
func NewUsers(t *testing.T, count int) Users {
	t.Helper()
	if count > usersPerRange {
		t.Fatalf("%d users are more than the %d of a range", count, usersPerRange)
	}
	for first := firstUser; first < firstUser+1000*usersPerRange; first += usersPerRange {
		u := Users{First: first, Count: count}
		lock, err := net.Listen("unix", fmt.Sprintf("@lynx-test-users-%d", first))
		if errors.Is(err, unix.EADDRINUSE) {
			continue
		}
		Must(t, err)
		if len(u.Processes(t)) > 0 { // a test that was killed has left them
			Must(t, lock.Close())
			continue
		}
		t.Cleanup(func() { Must(t, lock.Close()) })
		return u
	}
	t.Fatal("other tests have all users")
	return Users{}
}

// String is the range as the runner's file has it.
func (u Users) String() string { return fmt.Sprintf("%d-%d", u.First, u.First+u.Count-1) }

// Has reports whether an id is one of them.
func (u Users) Has(id int) bool { return id >= u.First && id < u.First+u.Count }

// Own reports whether a file belongs to one of them, or to a group of the same id.
func (u Users) Own(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && (u.Has(int(st.Uid)) || u.Has(int(st.Gid)))
}

// Processes are those of the users, in whatever namespace.
func (u Users) Processes(t *testing.T) (found []string) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	Must(t, err)
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		if info, err := os.Lstat("/proc/" + e.Name()); err == nil && u.Own(info) {
			comm, _ := os.ReadFile("/proc/" + e.Name() + "/comm")
			found = append(found, fmt.Sprintf("process %s %q", e.Name(), comm))
		}
	}
	return found
}

// Below are the paths in a directory, which need not be there.
func Below(dir string) (found []string) {
	_ = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err == nil && path != dir {
			rel, _ := filepath.Rel(dir, path)
			found = append(found, rel)
		}
		return nil
	})
	return found
}

// Cgroups are the control groups of containers that are there.
func Cgroups(ids ...string) (found []string) {
	for _, id := range ids {
		for _, pattern := range []string{"/sys/fs/cgroup/*/docker/" + id, "/sys/fs/cgroup/docker/" + id, "/sys/fs/cgroup/system.slice/docker-" + id + ".scope"} {
			paths, _ := filepath.Glob(pattern)
			found = append(found, paths...)
		}
	}
	return found
}

// Docker runs the client of an engine, or of the environment's where none is named,
// and returns what it prints.
func Docker(t *testing.T, engine string, args ...string) string {
	t.Helper()
	if engine != "" {
		args = append([]string{"--host", "unix://" + engine}, args...)
	}
	out, err := exec.Command("docker", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// EngineSocket is the socket of the environment's engine.
func EngineSocket() string {
	if path, ok := strings.CutPrefix(os.Getenv("DOCKER_HOST"), "unix://"); ok {
		return path
	}
	return "/var/run/docker.sock"
}

// UnixTransport speaks HTTP with whoever listens at a unix socket.
func UnixTransport(path string) *http.Transport {
	return &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}
}

// SmallDisk puts a directory on a file system of its own, until the test ends.
func SmallDisk(t *testing.T, dir, size string) {
	t.Helper()
	Must(t, os.MkdirAll(dir, 0o755))
	Must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=755,size="+size))
	t.Cleanup(func() { Must(t, unix.Unmount(dir, unix.MNT_DETACH)) })
}

// Fill writes a file until the disk of a directory is full, and returns what frees
// the disk again.
func Fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	f, err := os.Create(path)
	Must(t, err)
	for _, size := range []int{1 << 20, 4096} {
		for err = nil; err == nil; {
			_, err = f.Write(bytes.Repeat([]byte("x"), size))
		}
	}
	Must(t, f.Close())
	return func() { Must(t, os.Remove(path)) }
}
