package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// job is the driven job's state.
type job struct {
	signals chan os.Signal
	conns   []net.Conn
}

func (j *job) do(command string, args []string) (string, error) {
	switch command {
	case "signal": // the next forwarded signal
		return (<-j.signals).String(), nil
	case "print":
		_, err := fmt.Println(args[0])
		return "printed", err
	case "close-stdio":
		return "closed", errors.Join(os.Stdout.Close(), os.Stderr.Close())
	case "child": // in a session of its own or not, holding stdout open
		return child(args[0] == "session")
	case "orphans":
		return orphans(number(args[0]))
	case "assault":
		return assault(args[0] == "init")
	case "write": // to a file
		return "written", os.WriteFile(args[0], []byte("of a job"), 0o600)
	case "list": // what is in a directory
		entries, err := os.ReadDir(args[0])
		return fmt.Sprint(len(entries), entries), err
	case "segment": // of System V's shared memory: how many there are, and one more
		return segment()
	case "limit": // the shim's open files
		n := uint64(number(args[0]))
		return "limited", unix.Prlimit(os.Getppid(), unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: n}, nil)
	case "peek":
		return peek(os.Getppid())
	case "bomb":
		return bomb()
	case "echo":
		return echo(number(args[0]))
	case "storm":
		return storm(number(args[0]), number(args[1]))
	case "flood":
		return flood(number(args[0]))
	case "send": // and leave the connection open
		return j.send(number(args[0]))
	case "dial":
		return j.dial()
	case "hang-up":
		err := j.conns[0].Close()
		j.conns = j.conns[1:]
		return "hung up", err
	}
	return "", fmt.Errorf("unknown command %q", command)
}

func pointer(p *[4]uintptr) uintptr { return uintptr(unsafe.Pointer(p)) }

// park makes threads beforehand: at the limit on processes Go's runtime would
// end the job instead of letting it see the error.
func park() {
	var up, down sync.WaitGroup
	release := make(chan struct{})
	const threads = 16
	up.Add(threads)
	for range threads {
		down.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			up.Done()
			<-release
		})
	}
	up.Wait()
	close(release)
	down.Wait()
}

func child(session bool) (string, error) {
	pid, err := syscall.ForkExec("/proc/self/exe", []string{"job", "wait"}, &syscall.ProcAttr{
		Env: os.Environ(), Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{Setsid: session},
	})
	return strconv.Itoa(pid), err
}

// segment counts the segments of shared memory in this namespace, and adds one.
func segment() (string, error) {
	list, err := os.ReadFile("/proc/sysvipc/shm")
	if err != nil {
		return "", err
	}
	_, err = unix.SysvShmGet(unix.IPC_PRIVATE, 4096, unix.IPC_CREAT|0o600)
	return strconv.Itoa(strings.Count(string(list), "\n") - 1), err
}

// orphans leaves n children to the shim, and waits until it has reaped them.
func orphans(n int) (string, error) {
	for range n {
		if err := exec.Command("/bin/sh", "-c", "exit 7 & exit 0").Run(); err != nil {
			return "", err
		}
	}
	for {
		zombies, err := zombiesOf(os.Getppid())
		if err != nil || zombies == 0 {
			return "reaped", err
		}
		runtime.Gosched()
	}
}

func zombiesOf(parent int) (n int, err error) {
	entries, err := os.ReadDir("/proc")
	for _, e := range entries {
		stat, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue // no process, or gone
		}
		if strings.Contains(string(stat), ") Z "+strconv.Itoa(parent)+" ") {
			n++
		}
	}
	return n, err
}

// assault sends every signal to the shim, by kill and by sigqueue; to PID 1 also
// those that nobody can take.
func assault(init bool) (string, error) {
	parent := os.Getppid()
	for s := unix.Signal(1); s <= 64; s++ {
		if !init && (s == unix.SIGKILL || s == unix.SIGSTOP) {
			continue
		}
		if err := unix.Kill(parent, s); err != nil {
			return "", fmt.Errorf("kill %d: %w", s, err)
		}
		if err := sigqueue(parent, s); err != nil {
			return "", fmt.Errorf("sigqueue %d: %w", s, err)
		}
	}
	if init {
		if err := unix.Kill(-1, unix.SIGKILL); !errors.Is(err, unix.ESRCH) { // nobody but the two
			return "", fmt.Errorf("kill -1: %w", err)
		}
	}
	return "survived", nil
}

// sigqueue sends a signal as sigqueue(3) does. Go's runtime takes that for a
// fault of the receiver.
func sigqueue(pid int, s unix.Signal) error {
	const siQueue = -1
	var info [128]byte // siginfo_t: signo, errno, code, pad, pid, uid
	*(*int32)(unsafe.Pointer(&info[0])) = int32(s)
	*(*int32)(unsafe.Pointer(&info[8])) = siQueue
	*(*int32)(unsafe.Pointer(&info[16])) = int32(os.Getpid())
	*(*int32)(unsafe.Pointer(&info[20])) = int32(os.Getuid())
	_, _, errno := unix.Syscall(unix.SYS_RT_SIGQUEUEINFO, uintptr(pid), uintptr(s), uintptr(unsafe.Pointer(&info)))
	if errno != 0 && errno != unix.EAGAIN {
		return errno
	}
	return nil
}

// peek tries to get at the shim's memory and descriptors, and says what worked.
func peek(pid int) (string, error) {
	var worked []string
	note := func(what string, err error) {
		if err == nil {
			worked = append(worked, what)
		} else if !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES) {
			worked = append(worked, what+": "+err.Error())
		}
	}
	proc := "/proc/" + strconv.Itoa(pid)
	_, err := os.OpenFile(proc+"/mem", os.O_RDWR, 0)
	note("mem", err)
	_, err = os.ReadDir(proc + "/fd")
	note("fd", err)
	_, err = os.ReadFile(proc + "/environ")
	note("environ", err)
	_, err = os.OpenFile(proc+"/oom_score_adj", os.O_RDWR, 0)
	note("oom_score_adj", err)
	note("ptrace", unix.PtraceSeize(pid))
	var b [1]byte
	local := []unix.Iovec{{Base: &b[0], Len: 1}}
	_, err = unix.ProcessVMReadv(pid, local, []unix.RemoteIovec{{Base: 0x400000, Len: 1}}, 0)
	note("process_vm_readv", err)
	if fd, err := unix.PidfdOpen(pid, 0); err == nil {
		_, err = unix.PidfdGetfd(fd, 3, 0)
		note("pidfd_getfd", err)
	}
	return "worked: " + strings.Join(worked, ", "), nil
}

// bomb starts processes until no more can be started.
func bomb() (string, error) {
	const most = 400 // in case that there is no limit
	for i := range most {
		_, err := child(i%2 == 0)
		if errors.Is(err, unix.EAGAIN) {
			return "limit", nil
		}
		if err != nil {
			return "", err
		}
	}
	return "no limit", nil
}

func target() string { return os.Getenv("TETRYX_TELEMETRY_TARGET") }

// echo sends n bytes, ends its direction, and must read the same bytes back.
func echo(n int) (string, error) {
	conn, err := net.Dial("tcp", target())
	if err != nil {
		return "", err
	}
	defer conn.Close()
	sent := bytes.Repeat([]byte("telemetry"), n/9+1)[:n]
	go func() {
		_, _ = conn.Write(sent)
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(conn)
	if err == nil && !bytes.Equal(sent, got) {
		err = fmt.Errorf("%d bytes back, %d sent", len(got), n)
	}
	return "echoed", err
}

// storm echoes over that many connections at once, and writes as many bytes to
// both outputs meanwhile. A connection may be refused while those before it end.
func storm(connections, n int) (string, error) {
	var all sync.WaitGroup
	failed := make(chan error, connections)
	for range connections {
		all.Go(func() {
			_, err := echo(n)
			for tries := 0; err != nil && tries < 1000; tries++ {
				_, err = echo(n)
			}
			if err != nil {
				failed <- err
			}
		})
	}
	all.Go(func() { write(os.Stdout, n) })
	all.Go(func() { write(os.Stderr, n) })
	all.Wait()
	select {
	case err := <-failed:
		return "", err
	default:
		return "calm", nil
	}
}

// flood opens n connections as fast as it can and abandons them.
func flood(n int) (string, error) {
	for range n {
		conn, err := net.Dial("tcp", target())
		if err != nil {
			return "", err
		}
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	}
	return "flooded", nil
}

func (j *job) send(n int) (string, error) {
	conn, err := net.Dial("tcp", target())
	if err != nil {
		return "", err
	}
	j.conns = append(j.conns, conn)
	_, err = conn.Write(bytes.Repeat([]byte("x"), n))
	return "sent", err
}

// dial opens a connection and says whether it is served: a byte comes back.
func (j *job) dial() (string, error) {
	conn, err := net.Dial("tcp", target())
	if err != nil {
		return "", err
	}
	_, writeErr := conn.Write([]byte("?"))
	_, readErr := io.ReadFull(conn, make([]byte, 1))
	if writeErr != nil || readErr != nil {
		return "refused", conn.Close()
	}
	j.conns = append(j.conns, conn)
	return "served", nil
}
