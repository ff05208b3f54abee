package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

var _ = register(map[string]func(){
	"fork_bomb":      forkBomb,
	"memory_bomb":    memoryBomb,
	"memory_child":   memoryChild,
	"memory_tmpfs":   func() { fillDir("/tmp"); pause() },
	"tmpfs_full":     tmpfsFull,
	"memory_shared":  memoryShared,
	"cpu_hog":        cpuHog,
	"cpu_neighbour":  cpuNeighbour,
	"disk_total":     func() { fillDir(outputDir); pause() },
	"disk_log":       func() { fillDir(logDir); pause() },
	"disk_log_burst": diskLogBurst,
	"disk_unlinked":  diskUnlinked,
	"disk_mapped":    diskMapped,
	"disk_one_file":  diskOneFile,
	"disk_sparse":    diskSparse,
	"disk_allocated": diskAllocated,
	"disk_files":     diskFiles,
	"disk_deep":      diskDeep,
	"stdout_flood":   stdoutFlood,
	"handles":        handles,
})

var bombed = []byte("refused another process: EAGAIN\n")

// forkBomb doubles as often as it may. Every process goes on trying.
func forkBomb() {
	seen := false
	for {
		_, err := fork()
		if err == syscall.EAGAIN && !seen {
			seen = true
			_, _, _ = syscall.RawSyscall(syscall.SYS_WRITE, 1, uintptr(unsafe.Pointer(&bombed[0])), uintptr(len(bombed)))
		}
	}
}

var hoard [][]byte

func memoryBomb() {
	for {
		b := make([]byte, 1<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		hoard = append(hoard, b)
	}
}

// memoryChild lets a child have the bomb, and goes on.
func memoryChild() {
	if s := signalled(again("memory_bomb")); s != unix.SIGKILL {
		done(fmt.Sprintf("a child beyond the limit on memory (%v)", s))
		return
	}
	refused("a child beyond the limit on memory", "SIGKILL")
}

// memoryShared takes memory that is nobody's: System V segments, and files that
// have no name.
func memoryShared() {
	for {
		id, err := unix.SysvShmGet(unix.IPC_PRIVATE, 1<<20, 0o600|unix.IPC_CREAT)
		must(err)
		b, err := unix.SysvShmAttach(id, 0, 0)
		must(err)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		must(unix.SysvShmDetach(b))
	}
}

var block = bytes.Repeat([]byte("x"), 1<<20)

// fillDir writes files of a mebibyte until something keeps it from doing so.
func fillDir(dir string) {
	began := time.Now()
	for i := 0; ; i++ {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("fill-%06d", i)), block, 0o644); err != nil {
			refused(fmt.Sprintf("more than %d MiB in %s", i, dir), err)
			return
		}
		// The rate is for the test, which knows then how far behind the watcher was.
		if i%16 == 0 {
			report(fmt.Sprintf("rate %.0f", float64(i+1)*float64(len(block))/time.Since(began).Seconds()))
		}
	}
}

// tmpfsFull fills what is bounded by itself.
func tmpfsFull() {
	for name, dir := range map[string]string{"/dev/shm": "/dev/shm", "HOME": os.Getenv("HOME")} {
		var err error
		for i := 0; err == nil && i < 64; i++ {
			err = os.WriteFile(fmt.Sprintf("%s/%d", dir, i), block, 0o600)
		}
		try("64 MiB in "+name, err)
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			must(os.Remove(filepath.Join(dir, e.Name())))
		}
	}
}

// diskLogBurst is gone before anybody looks.
func diskLogBurst() {
	for i := range 96 {
		must(os.WriteFile(filepath.Join(logDir, strconv.Itoa(i)), block, 0o644))
	}
}

// unlinked makes a file of a mebibyte that has no name any more.
func unlinked() *os.File {
	path := filepath.Join(outputDir, "gone")
	f, err := os.Create(path)
	must(err)
	must(os.Remove(path))
	_, err = f.Write(block)
	must(err)
	return f
}

// diskUnlinked fills the disk with files that no directory shows.
func diskUnlinked() {
	for i := range 400 {
		unlinked()
		if i%16 == 0 {
			report(fmt.Sprintf("unlinked %d MiB", i+1))
		}
	}
	pause()
}

// diskMapped does the same, and does not even keep them open.
func diskMapped() {
	for range 400 {
		f := unlinked()
		_, err := unix.Mmap(int(f.Fd()), 0, len(block), unix.PROT_READ, unix.MAP_SHARED)
		must(err)
		must(f.Close())
	}
	pause()
}

// diskOneFile writes one file until the limit ends it.
func diskOneFile() {
	must(action(syscall.SIGXFSZ, 0))
	f, err := os.Create(filepath.Join(outputDir, "large"))
	must(err)
	for {
		_, err := f.Write(block)
		must(err)
	}
}

// diskSparse makes a file that is large and empty.
func diskSparse() {
	must(action(syscall.SIGXFSZ, 1))
	f, err := os.Create(filepath.Join(outputDir, "sparse"))
	must(err)
	try("a file of a tebibyte", f.Truncate(1<<40))
	_, err = f.WriteAt([]byte("x"), 1<<40)
	try("a byte at the end of a tebibyte", err)
	must(f.Truncate(16 << 20))
}

// diskAllocated takes blocks without writing to them, which needs no time, in each
// of the ways that keep the file's size. It asks for little, for the sake of the
// host that it might succeed on.
func diskAllocated() {
	f, err := os.Create(filepath.Join(outputDir, "allocated"))
	must(err)
	const beyond = 40 << 20 // of one file
	for name, mode := range map[string]uint32{
		"blocks": 0, "blocks beyond the end": unix.FALLOC_FL_KEEP_SIZE,
		"zeroes beyond the end": unix.FALLOC_FL_ZERO_RANGE | unix.FALLOC_FL_KEEP_SIZE,
	} {
		try("allocate "+name, unix.Fallocate(int(f.Fd()), mode, 0, beyond))
	}
	// struct space_resv of linux/falloc.h, with l_whence, l_start and l_len.
	space := [6]uint64{0, 0, beyond}
	for name, request := range map[string]uintptr{"FS_IOC_RESVSP": 0x40305828, "FS_IOC_RESVSP64": 0x4030582a, "FS_IOC_ZERO_RANGE": 0x40305839} {
		for upper, more := range map[string]uintptr{"": 0, " by the upper half": 1 << 32} {
			_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), request|more, uintptr(unsafe.Pointer(&space)))
			try(name+upper, errOrNil(errno))
		}
	}
}

func diskFiles() {
	for i := range 1_000_000 {
		f, err := os.Create(filepath.Join(outputDir, strconv.Itoa(i)))
		if err != nil {
			refused("a million files", err)
			return
		}
		must(f.Close())
	}
	done("a million files")
}

// diskDeep nests directories deeper than a path can be long.
func diskDeep() {
	must(os.Chdir(outputDir))
	for range 3000 {
		must(unix.Mkdir("d", 0o755))
		must(unix.Chdir("d"))
	}
}

// stdoutFlood writes ten gigabytes.
func stdoutFlood() {
	for range 10_000_000_000 / len(block) {
		_, err := os.Stdout.Write(block)
		must(err)
	}
}

// cpuHog keeps more threads busy than the host has processors, until it is
// killed.
func cpuHog() {
	for range 32 {
		pid, err := fork()
		if err == 0 && pid == 0 {
			for {
				burn.Add(1)
			}
		}
	}
	must(os.WriteFile(filepath.Join(outputDir, "ready"), nil, 0o644))
	for {
		burn.Add(1)
	}
}

// burn is work for a processor.
var burn atomic.Uint64

// cpuNeighbour does a fixed amount of work: two seconds of processor time.
func cpuNeighbour() {
	runtime.LockOSThread()
	for {
		var u unix.Rusage
		must(unix.Getrusage(unix.RUSAGE_SELF, &u))
		if time.Duration(u.Utime.Nano()+u.Stime.Nano()) > 2*time.Second {
			return
		}
		for range 1_000_000 {
			burn.Add(1)
		}
	}
}

// handles takes what the kernel counts by number, until it is refused.
func handles() {
	const most = 200_000
	var u unix.Rlimit
	must(unix.Getrlimit(unix.RLIMIT_NOFILE, &u))
	take := func(what string, one func() (int, error)) {
		var fds []int
		var err error
		for len(fds) < most {
			var fd int
			if fd, err = one(); err != nil {
				break
			}
			fds = append(fds, fd)
		}
		try(fmt.Sprintf("%d %s", most, what), err)
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
	}
	take("open files", func() (int, error) { return unix.Open("/dev/null", unix.O_RDONLY, 0) })
	take("sockets", func() (int, error) { return unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0) })
	take("inotify instances", func() (int, error) { return unix.InotifyInit1(0) })
	take("event counters", func() (int, error) { return unix.Eventfd(0, 0) })
	counted("message queues", func() error {
		_, _, err := syscall.Syscall(syscall.SYS_MSGGET, uintptr(unix.IPC_PRIVATE), unix.IPC_CREAT|0o600, 0)
		return errOrNil(err)
	})
	counted("semaphore sets", func() error {
		_, _, err := syscall.Syscall(syscall.SYS_SEMGET, uintptr(unix.IPC_PRIVATE), 1, unix.IPC_CREAT|0o600)
		return errOrNil(err)
	})
	try("a higher limit on open files", unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: u.Max + 1, Max: u.Max + 1}))
}

// counted does something until it fails.
func counted(what string, one func() error) {
	const most = 200_000
	for range most {
		if err := one(); err != nil {
			refused(fmt.Sprintf("%d %s", most, what), err)
			return
		}
	}
	done(fmt.Sprintf("%d %s", most, what))
}

func errOrNil(errno syscall.Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}
