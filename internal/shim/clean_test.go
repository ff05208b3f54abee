package shim

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Only what a job can write to in memory is emptied: neither its directories nor
// the kernel's.
func TestWritablePlaces(t *testing.T) {
	const mountinfo = `
1 0 0:1 / / ro,relatime - overlay overlay rw,lowerdir=/x
2 1 0:2 / /proc rw,nosuid - proc proc rw
3 1 0:3 / /dev rw,nosuid - tmpfs tmpfs rw,size=65536k,mode=755
4 3 0:4 / /dev/shm rw,nosuid,nodev,noexec,relatime - tmpfs shm rw,size=65536k
5 3 0:5 / /dev/mqueue rw,nosuid - mqueue mqueue rw
6 1 0:6 / /tmp rw,nosuid,nodev shared:7 - tmpfs tmpfs rw,size=262144k
7 1 0:7 / /lynx/home rw,nosuid - tmpfs tmpfs rw
8 1 8:1 /srv/out /lynx/output rw,relatime - ext4 /dev/vda rw
9 1 0:8 / /lynx/run ro,relatime - tmpfs tmpfs rw
10 2 0:9 / /proc/acpi ro - tmpfs tmpfs ro
11 2 0:9 / /proc/kcore rw - tmpfs tmpfs rw
12 1 0:10 / /sys/firmware rw - tmpfs tmpfs rw
13 1 0:11 / /a\040volume rw - tmpfs tmpfs rw
14 1 0:12
`
	want := []string{"/dev/shm", "/dev/mqueue", "/tmp", "/lynx/home", "/a volume"}
	if got := writablePlaces(mountinfo); !slices.Equal(got, want) {
		t.Errorf("places %q, want %q", got, want)
	}
}

// asUser makes this test binary empty a directory as another user than root, whom
// closed directories would not stop.
const asUser = "LYNX_TEST_EMPTY"

func init() {
	if dir := os.Getenv(asUser); dir != "" {
		if err := emptyDir(dir); err != nil {
			_, _ = os.Stderr.WriteString(err.Error())
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// What its owner has closed to himself is removed too; what is not his is told.
func TestEmptyDir(t *testing.T) {
	dir, err := os.MkdirTemp("", "lynx")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	place := filepath.Join(dir, "place")
	deep := filepath.Join(place, "closed", "deep", "deeper")
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(deep, "file"), filepath.Join(place, "file")} {
		if err := os.WriteFile(path, []byte("x"), 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(dir, filepath.Join(deep, "link")); err != nil {
		t.Fatal(err)
	}
	uid := os.Getuid()
	if uid == 0 {
		uid = 1_000_000 + os.Getpid()
		for _, path := range []string{dir, place} {
			if err := os.Chmod(path, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if out, err := exec.Command("chown", "-R", "-h", "--", strconv.Itoa(uid), place).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	for _, path := range []string{deep, filepath.Dir(deep), filepath.Dir(filepath.Dir(deep))} {
		if err := os.Chmod(path, 0); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := empty(t, dir, place, uid); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	left, err := os.ReadDir(place)
	if err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Error("a link was followed:", err)
	}
	if os.Getuid() == 0 {
		if err := os.Mkdir(filepath.Join(place, "of-root"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(place, os.ModeSticky|0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(place, 0, 0); err != nil {
			t.Fatal(err)
		}
		if out, err := empty(t, dir, place, uid); err == nil || !strings.Contains(out, "of-root") {
			t.Errorf("what could not be removed was not told: %v, %s", err, out)
		}
	}
}

// empty runs emptyDir as a user.
func empty(t *testing.T, dir, place string, uid int) (string, error) {
	t.Helper()
	self := filepath.Join(dir, "test")
	data, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(self, data, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = []string{asUser + "=" + place}
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid), NoSetGroups: true}}
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// onThreadOfItsOwn calls do on a thread that ends with it, and waits for that end:
// what do changes of its thread is gone then.
func onThreadOfItsOwn(t *testing.T, do func()) {
	t.Helper()
	var tid int
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if tid = unix.Gettid(); tid != os.Getpid() {
			do()
			return // and never unlocked: the thread goes
		}
		// The main thread would stay. While this has it, another goroutine can't.
		defer runtime.UnlockOSThread()
		tid = 0
		onThreadOfItsOwn(t, do)
	}()
	<-done
	for range time.Tick(time.Millisecond) {
		if _, err := os.Stat("/proc/self/task/" + strconv.Itoa(tid)); err != nil {
			return
		}
	}
}

// The fingerprint does not depend on how many threads there are, and changes with
// the priority or the processors of one of them, and with a limit.
func TestFingerprint(t *testing.T) {
	self := os.Getpid()
	was := fingerprint(self)
	if was == "" || fingerprint(self) != was {
		t.Fatal("the fingerprint changes by itself")
	}
	for name, change := range map[string]func() error{
		"priority": func() error { return unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), 1) },
		"processors": func() error {
			var set unix.CPUSet
			if err := unix.SchedGetaffinity(0, &set); err != nil {
				return err
			}
			if set.Count() < 2 {
				return unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), 2) // one has no subset
			}
			for cpu := range 1024 {
				if set.IsSet(cpu) {
					set.Clear(cpu)
					break
				}
			}
			return unix.SchedSetaffinity(0, &set)
		},
	} {
		t.Run(name, func(t *testing.T) {
			onThreadOfItsOwn(t, func() {
				if err := change(); err != nil {
					t.Error(err)
				}
				if fingerprint(self) == was {
					t.Error("the fingerprint is the same")
				}
			})
		})
	}
	if got := fingerprint(1 << 30); got != "" {
		t.Errorf("a process that is not there has the fingerprint %q", got)
	}
	if resident(self) <= 0 || resident(1<<30) != 0 {
		t.Error("resident memory")
	}
}

// Of what a fork server prints, the end is kept.
func TestLastOutput(t *testing.T) {
	var l lastOutput
	for range 3 * maxOutput / 8 {
		_, _ = l.Write([]byte("a line.\n"))
	}
	_, _ = l.Write([]byte("the last\n\n"))
	f := forkServer{output: &l}
	if len(l.text) != maxOutput || f.said() != "the last" {
		t.Errorf("%d bytes, the last line %q", len(l.text), f.said())
	}
	if none := (&forkServer{output: new(lastOutput)}).said(); none != "it printed nothing" {
		t.Errorf("said %q", none)
	}
}
