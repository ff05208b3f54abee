// Package facts finds out, from inside a job, what the job could do if it were
// hostile. The test program of executortest writes it as JSON, and the suite
// reads it: what an executor promises is checked from where it matters.
package facts

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Facts is what a job found out about itself and its surroundings. An error text
// is empty where the attempt succeeded.
type Facts struct {
	UID, GID int
	Groups   []int
	// Status is /proc/self/status, as key and value.
	Status map[string]string
	// Env is the job's whole environment.
	Env []string
	Dir string

	// Interfaces are the network interfaces that are not loopback.
	Interfaces []string
	// Localhost are the addresses of that name. Loopback says how connecting to a
	// listener of its own there went.
	Localhost []string
	Loopback  string
	// Dials says how connecting to an address went.
	Dials map[string]string
	// Sockets are the unix sockets in the file system that let the job connect.
	Sockets []string

	// Writable are the directories, of all outside /proc, in which a file could be
	// made.
	Writable []string
	// Secrets are the files, anywhere, whose name begins with "secret-".
	Secrets []string
	// RootEntries is the listing of /.
	RootEntries []string

	// Processes are the command lines of all other processes that can be seen, by
	// pid.
	Processes map[int]string
	// Calls says how each of a list of system calls went.
	Calls map[string]string
	// Init says how reaching into process 1 went, by way.
	Init map[string]string
	// Executable says how executing a program from a writable directory went.
	Executable map[string]string
	// Limits are the soft resource limits, by POSIX name.
	Limits map[string]uint64
}

// Own finds out what concerns the job alone. It touches nothing of its
// surroundings, so it can be run outside of a container.
func Own() Facts {
	groups, _ := os.Getgroups()
	dir, _ := os.Getwd()
	return Facts{
		UID: os.Getuid(), GID: os.Getgid(), Groups: groups,
		Status: status(), Env: os.Environ(), Dir: dir, Limits: limits(),
	}
}

// Gather finds all the facts out. It takes some seconds at most.
func Gather() Facts {
	f := Own()
	f.Interfaces, f.Dials = interfaces(), dials()
	f.Localhost, _ = net.LookupHost("localhost")
	f.Loopback = text(loopback())
	f.Processes, f.Calls, f.Init = processes(), calls(), reachInit()
	f.walk()
	f.Executable = map[string]string{}
	for _, dir := range []string{os.TempDir(), os.Getenv("TETRYX_OUTPUT_DIR")} {
		f.Executable[dir] = text(execute(dir))
	}
	return f
}

// Write writes the facts to a file.
func (f Facts) Write(path string) error {
	b, err := json.MarshalIndent(f, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o644)
}

// Read reads what Write wrote.
func Read(path string) (Facts, error) {
	var f Facts
	b, err := os.ReadFile(path)
	if err != nil {
		return f, err
	}
	return f, json.Unmarshal(b, &f)
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func status() map[string]string {
	m := map[string]string{}
	b, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(line, ":"); ok {
			m[k] = strings.TrimSpace(v)
		}
	}
	return m
}

func interfaces() []string {
	var names []string
	all, _ := net.Interfaces()
	for _, i := range all {
		if i.Flags&net.FlagLoopback == 0 && i.Flags&net.FlagUp != 0 {
			names = append(names, i.Name)
		}
	}
	return names
}

// dials tries an address that is kept for documentation (RFC 5737), which a
// machine with a default route sends out and one without refuses at once, the
// cloud's metadata service, and a container bridge's usual gateway.
func loopback() error {
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		return err
	}
	defer func() { _ = l.Close() }()
	c, err := net.DialTimeout("tcp", l.Addr().String(), time.Second)
	if err != nil {
		return err
	}
	return c.Close()
}

func dials() map[string]string {
	m := map[string]string{}
	for _, addr := range []string{"192.0.2.1:9", "169.254.169.254:80", "172.17.0.1:22"} {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			_ = c.Close()
		}
		m[addr] = text(err)
	}
	return m
}

// walk looks at the whole file tree, but /proc, whose entries are processes.
func (f *Facts) walk() {
	entries, _ := os.ReadDir("/")
	for _, e := range entries {
		f.RootEntries = append(f.RootEntries, e.Name())
	}
	_ = filepath.WalkDir("/", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return fs.SkipDir
		case path == "/proc":
			return fs.SkipDir
		case d.IsDir() && writable(path):
			f.Writable = append(f.Writable, path)
		case strings.HasPrefix(d.Name(), "secret-"):
			f.Secrets = append(f.Secrets, path)
		case d.Type() == fs.ModeSocket && connects(path):
			f.Sockets = append(f.Sockets, path)
		}
		return nil
	})
	slices.Sort(f.Writable)
}

// execute runs a copy of this program from a directory, as programs do that
// unpack or compile code at run time.
func execute(dir string) error {
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return err
	}
	path := filepath.Join(dir, ".executable")
	defer func() { _ = os.Remove(path) }()
	if err := os.WriteFile(path, program, 0o700); err != nil {
		return err
	}
	return exec.Command(path, "exit", "0").Run()
}

func writable(dir string) bool {
	file, err := os.CreateTemp(dir, ".writable-")
	if err != nil {
		return false
	}
	_ = file.Close()
	_ = os.Remove(file.Name())
	return true
}

func connects(path string) bool {
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = c.Close()
	}
	return err == nil
}

func processes() map[int]string {
	m := map[int]string{}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, d := range dirs {
		pid, err := strconv.Atoi(filepath.Base(d))
		if err != nil || pid == os.Getpid() {
			continue
		}
		if b, err := os.ReadFile(filepath.Join(d, "cmdline")); err == nil {
			m[pid] = string(bytes.TrimRight(bytes.ReplaceAll(b, []byte{0}, []byte{' '}), " "))
		}
	}
	return m
}

// calls tries what a job must not be able to do.
func calls() map[string]string {
	m := map[string]string{
		"mount":          text(unix.Mount("none", "/tmp", "tmpfs", 0, "")),
		"unshare-user":   text(unix.Unshare(unix.CLONE_NEWUSER)),
		"sethostname":    text(unix.Sethostname([]byte("other"))),
		"setuid-0":       text(setuid(0)),
		"mknod-device":   text(unix.Mknod("/tmp/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3)))),
		"io_uring_setup": text(raw(unix.SYS_IO_URING_SETUP, 1, 0, 0)),
		"bpf":            text(raw(unix.SYS_BPF, 0, 0, 0)),
		"keyctl":         text(raw(unix.SYS_KEYCTL, 0, 0, 0)),
		"ptrace-traceme": text(raw(unix.SYS_PTRACE, unix.PTRACE_TRACEME, 0, 0)),
		"userfaultfd":    text(raw(unix.SYS_USERFAULTFD, 0, 0, 0)),
		"clone3":         text(raw(unix.SYS_CLONE3, 0, 0, 0)),
	}
	for name, family := range map[string]int{
		"socket-vsock": unix.AF_VSOCK, "socket-alg": unix.AF_ALG, "socket-packet": unix.AF_PACKET,
		"socket-unix": unix.AF_UNIX, "socket-inet": unix.AF_INET, "socket-inet6": unix.AF_INET6,
	} {
		fd, err := unix.Socket(family, unix.SOCK_STREAM, 0)
		if err == nil {
			_ = unix.Close(fd)
		}
		m[name] = text(err)
	}
	for name, family := range map[string]int{"socketpair-unix": unix.AF_UNIX, "socketpair-vsock": unix.AF_VSOCK, "socketpair-tipc": unix.AF_TIPC} {
		pair, err := unix.Socketpair(family, unix.SOCK_STREAM, 0)
		if err == nil {
			_, _ = unix.Close(pair[0]), unix.Close(pair[1])
		}
		m[name] = text(err)
	}
	m["setpriority-own"] = text(unix.Setpriority(unix.PRIO_PROCESS, 0, 1))
	// The kernel takes the low half of the argument; a filter sees all of it.
	_, _, errno := syscall.RawSyscall(unix.SYS_SOCKET, 1<<32|unix.AF_VSOCK, unix.SOCK_STREAM, 0)
	m["socket-vsock-upper-bit"] = errnoText(errno)
	return m
}

// setuid works on the calling thread alone, unlike syscall.Setuid.
func setuid(uid uintptr) error { return raw(unix.SYS_SETUID, uid, 0, 0) }

func raw(call, a, b, c uintptr) error {
	if _, _, errno := syscall.RawSyscall(call, a, b, c); errno != 0 {
		return errno
	}
	return nil
}

func errnoText(e syscall.Errno) string {
	if e == 0 {
		return ""
	}
	return e.Error()
}

// reachInit tries the ways into process 1, which in a container is the shim.
func reachInit() map[string]string {
	m := map[string]string{}
	_, err := os.ReadFile("/proc/1/environ")
	m["environ"] = text(err)
	_, err = os.ReadDir("/proc/1/fd")
	m["fd"] = text(err)
	file, err := os.OpenFile("/proc/1/mem", os.O_RDWR, 0)
	if err == nil {
		_ = file.Close()
	}
	m["mem"] = text(err)
	m["ptrace"] = text(raw(unix.SYS_PTRACE, unix.PTRACE_ATTACH, 1, 0))
	m["prlimit"] = text(unix.Prlimit(1, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 8, Max: 8}, nil))
	m["sched_setattr"] = text(unix.SchedSetAttr(1, &unix.SchedAttr{Policy: unix.SCHED_IDLE}, 0))
	m["setpriority"] = text(unix.Setpriority(unix.PRIO_PROCESS, 1, 19))
	m["setpriority-user"] = text(unix.Setpriority(unix.PRIO_USER, 0, 19))
	m["ioprio_set"] = text(raw(unix.SYS_IOPRIO_SET, 1, 1, 3<<13))
	fd, err := unix.PidfdOpen(1, 0)
	if err == nil {
		_, err = unix.PidfdGetfd(fd, 0, 0)
		_ = unix.Close(fd)
	}
	m["pidfd_getfd"] = text(err)
	return m
}

func limits() map[string]uint64 {
	m := map[string]uint64{}
	for name, which := range map[string]int{
		"RLIMIT_CORE": unix.RLIMIT_CORE, "RLIMIT_FSIZE": unix.RLIMIT_FSIZE, "RLIMIT_NOFILE": unix.RLIMIT_NOFILE,
	} {
		var l unix.Rlimit
		if err := unix.Getrlimit(which, &l); err == nil {
			m[name] = l.Cur
		}
	}
	return m
}

// ErrNoEcho says that a telemetry target answered something else than was sent.
var ErrNoEcho = errors.New("the answer is not what was sent")

// Echo sends a line to an address and wants it back.
func Echo(addr, line string) error {
	c, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return err
	}
	defer c.Close() //nolint:errcheck // nothing is left to be written
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	if _, err := c.Write([]byte(line + "\n")); err != nil {
		return err
	}
	buf := make([]byte, len(line)+1)
	for n := 0; n < len(buf); {
		m, err := c.Read(buf[n:])
		if err != nil {
			return err
		}
		n += m
	}
	if string(buf) != line+"\n" {
		return ErrNoEcho
	}
	return nil
}
