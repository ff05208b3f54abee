package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

var _ = register(map[string]func(){
	"shim_signals":     shimSignals,
	"shim_inspected":   shimInspected,
	"shim_pipes":       shimPipes,
	"shim_connections": shimConnections,
	"shim_control":     shimControl,
	"shim_socket":      shimSocket,
	"shim_tails":       shimTails,
})

// shimSignals sends every signal to init, in each of the ways that there are.
func shimSignals() {
	// The shim passes on what it is sent, and that is not what this is about.
	for s := syscall.Signal(1); s < 65; s++ {
		_ = action(s, 1)
	}
	for s := unix.Signal(1); s < 65; s++ {
		_ = unix.Kill(1, s)
		_ = unix.Tgkill(1, 1, s)
		info := [16]uint64{uint64(s), 0xffffffff}
		_, _, _ = unix.Syscall(unix.SYS_RT_SIGQUEUEINFO, 1, uintptr(s), uintptr(unsafe.Pointer(&info)))
	}
	if fd, err := unix.PidfdOpen(1, 0); err == nil {
		_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
	}
	_ = unix.Kill(-1, unix.SIGCONT)
	// Its threads by themselves as well.
	tasks, _ := os.ReadDir("/proc/1/task")
	for _, t := range tasks {
		var tid int
		_, _ = fmt.Sscan(t.Name(), &tid)
		_ = unix.Tgkill(1, tid, unix.SIGSTOP)
		_ = unix.Tgkill(1, tid, unix.SIGSEGV)
	}
	done("send every signal")
	os.Exit(7)
}

// shimInspected looks into init, and turns its screws.
func shimInspected() {
	buf := make([]byte, 64)
	local := []unix.Iovec{{Base: &buf[0], Len: 64}}
	remote := []unix.RemoteIovec{{Base: 0x400000, Len: 64}}
	try("trace it", unix.PtraceAttach(1))
	try("seize it", unix.PtraceSeize(1))
	_, err := unix.ProcessVMReadv(1, local, remote, 0)
	try("read its memory", err)
	_, err = unix.ProcessVMWritev(1, local, remote, 0)
	try("write its memory", err)
	for _, name := range []string{"mem", "environ", "auxv", "syscall", "stack", "root", "cwd", "exe", "fd/3", "ns/net", "map_files", "io", "personality"} {
		_, err := os.Open("/proc/1/" + name)
		try("open /proc/1/"+name, err)
	}
	try("write /proc/1/oom_score_adj", writeProc("oom_score_adj", "1000"))
	try("write /proc/1/mem", writeProc("mem", "x"))
	try("write /proc/1/timerslack_ns", writeProc("timerslack_ns", "4000000000"))
	low := unix.Rlimit{Cur: 0, Max: 0}
	for name, which := range map[string]int{"open files": unix.RLIMIT_NOFILE, "processor time": unix.RLIMIT_CPU, "file size": unix.RLIMIT_FSIZE} {
		try("limit its "+name, unix.Prlimit(1, which, &low, nil))
	}
	_, _, errno := unix.Syscall6(unix.SYS_PRLIMIT64, 1<<32|1, unix.RLIMIT_CPU, uintptr(unsafe.Pointer(&low)), 0, 0, 0)
	try("limit it by the upper half of an argument", errOrNil(errno))
	try("lower its priority", unix.Setpriority(unix.PRIO_PROCESS, 1, 19))
	var idle struct{ priority int32 }
	_, _, errno = unix.Syscall(unix.SYS_SCHED_SETSCHEDULER, 1, 5, uintptr(unsafe.Pointer(&idle)))
	try("make it idle", errOrNil(errno))
	_, _, errno = unix.Syscall(unix.SYS_IOPRIO_SET, 1, 1, 3<<13)
	try("make its disk idle", errOrNil(errno))
	fd, err := unix.PidfdOpen(1, 0)
	must(err)
	_, err = unix.PidfdGetfd(fd, 0, 0)
	try("take its files", err)
	_, _, errno = unix.Syscall6(unix.SYS_KCMP, 1, uintptr(unix.Getpid()), 0, 0, 0, 0)
	try("compare with it", errOrNil(errno))
	_, _, errno = unix.Syscall6(unix.SYS_MIGRATE_PAGES, 1, 0, 0, 0, 0, 0)
	try("move its pages", errOrNil(errno))
	_, _, errno = unix.Syscall6(unix.SYS_PROCESS_MADVISE, uintptr(fd), uintptr(unsafe.Pointer(&local[0])), 1, unix.MADV_PAGEOUT, 0, 0)
	try("page it out", errOrNil(errno))
	os.Exit(8)
}

func writeProc(name, text string) error {
	f, err := os.OpenFile("/proc/1/"+name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(text)
	return err
}

// shimPipes fills both streams from many processes, which outlive the main one.
func shimPipes() {
	for i := range 16 {
		pid, err := fork()
		must(errOrNil(err))
		if pid == 0 {
			for {
				_, _, _ = syscall.RawSyscall(syscall.SYS_WRITE, uintptr(1+i%2), uintptr(unsafe.Pointer(&block[0])), uintptr(len(block)))
			}
		}
	}
	// Enough to see that the pipes are full, and then some.
	for range 64 {
		_, _ = os.Stdout.Write(block)
	}
	os.Exit(5)
}

// shimConnections opens ten thousand connections to the telemetry port, leaves
// hundreds open, and then wants to be served all the same.
func shimConnections() {
	addr := os.Getenv("TETRYX_TELEMETRY_TARGET")
	var open []net.Conn
	for range 10_000 {
		c, err := net.DialTimeout("tcp", addr, 10*time.Second)
		if err != nil {
			continue
		}
		_, _ = c.Write([]byte("PRI * HTTP/2.0\r\n"))
		if len(open) < 300 {
			open = append(open, c)
		} else {
			_ = c.Close()
		}
	}
	for _, c := range open {
		_ = c.Close()
	}
	try("a sample after 10000 connections", publishSoon("after", 1))
}

// shimControl dials the runner as the shim does, and says that all went well.
func shimControl() {
	heard := 0
	for range 200 {
		c, err := net.Dial("unix", "/lynx/run/control.sock")
		if err != nil {
			refused("dial", err)
			break
		}
		for _, line := range []string{
			`{"type":"hello"}`, `{"type":"started"}`,
			`{"type":"exit","exit":{"code":0,"cpu_micros":1,"max_rss_bytes":1,"wall_micros":1,"stdout":{"written":0,"dropped":0},"stderr":{"written":0,"dropped":0}}}`,
		} {
			_, _ = c.Write([]byte(line + "\n"))
		}
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if answer, err := bufio.NewReader(c).ReadString('\n'); err == nil {
			heard++
			done("an answer: " + answer)
		} else if errors.Is(err, os.ErrDeadlineExceeded) {
			done("be listened to")
		}
		_ = c.Close()
	}
	holds("be heard on the control socket", heard > 0)
	os.Exit(9)
}

// shimSocket looks for sockets that are not the job's own.
func shimSocket() {
	var found []string
	_ = filepath.WalkDir("/", func(path string, e os.DirEntry, err error) error {
		if err == nil && path == "/proc" {
			return filepath.SkipDir
		}
		if err == nil && e.Type()&os.ModeSocket != 0 {
			found = append(found, path)
		}
		return nil
	})
	for _, path := range found {
		report("socket " + path)
	}
	for _, path := range []string{"/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock"} {
		_, err := net.Dial("unix", path)
		try("dial "+path, err)
	}
	for _, addr := range []string{"169.254.169.254:80", "172.17.0.1:2375", "10.0.0.1:53", "[fe80::1]:80", "1.1.1.1:53"} {
		_, err := net.DialTimeout("tcp", addr, time.Second)
		try("dial "+addr, err)
	}
	conn, err := net.Dial("udp", "255.255.255.255:9")
	if err == nil {
		_, err = conn.Write([]byte("x"))
	}
	try("broadcast", err)
	interfaces, err := net.Interfaces()
	must(err)
	for _, i := range interfaces {
		holds("an interface "+i.Name, i.Flags&net.FlagUp != 0)
	}
	_, err = net.LookupHost("example.com")
	try("look a name up", err)
}

// shimTails forges the files that the shim keeps the ends of its logs in.
func shimTails() {
	for _, name := range []string{"stdout.log", "stderr.log"} {
		for _, tail := range []string{".tail-a", ".tail-b"} {
			_ = os.Remove(filepath.Join(logDir, name+tail))
			must(os.WriteFile(filepath.Join(logDir, name+tail), []byte("lynx log tail 00000000000000001\nforged"), 0o644))
		}
		must(os.Truncate(filepath.Join(logDir, name), 0))
	}
	for range 8 {
		_, _ = os.Stdout.Write(block)
	}
	fmt.Fprintln(os.Stderr, "the last line")
	os.Exit(3)
}
