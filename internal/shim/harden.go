package shim

import (
	"fmt"
	"math"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// parkedThreads is how many threads are made beforehand. At most some ten are
	// ever in a system call or run at once (wait4, two log writers, signals, the
	// main loop, the collector's); with 24 a fork bomb at the limit did not crash
	// it any more.
	parkedThreads = 24
	// ReservedPids is what the shim itself takes of a limit on processes and
	// threads: the parked ones and those of Go's runtime. A limit for the job has
	// to be that much higher for the shim.
	ReservedPids = 40

	// memoryLimit is where the collector starts to work harder. The shim's share
	// of the job's memory limit stays below it.
	memoryLimit = 24 << 20

	// childOOMScore is added to the job's oom_score_adj, so that the kernel kills
	// a process of the job before the shim, which has to tell the tale.
	childOOMScore = 500
)

// fatalSignals are those that Go's runtime ends a program upon, whether somebody
// takes them or not, where they were sent with sigqueue (it believes them to be
// the program's own fault then). They are ignored behind the runtime's back: the
// kernel does not let a program ignore its own faults, so those still end it.
var fatalSignals = []unix.Signal{
	unix.SIGSEGV, unix.SIGBUS, unix.SIGFPE, unix.SIGILL, unix.SIGTRAP, unix.SIGSYS, unix.SIGSTKFLT,
}

// harden makes the shim fit to live beside a hostile job of its own user, and
// returns all the signals that it gets from now on. What it did to itself is not
// inherited: a started program is dumpable and has every signal at its default.
func harden() (<-chan os.Signal, error) {
	signals := make(chan os.Signal, 64)
	signal.Notify(signals)
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("PR_SET_DUMPABLE: %w", err)
	}
	// Of this thread, which starts the job: no set-user-ID program gives the job
	// a right that it was started without.
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("PR_SET_NO_NEW_PRIVS: %w", err)
	}
	if os.Getpid() != 1 {
		// Orphans of the job become children of the shim, as PID 1's do.
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			return nil, fmt.Errorf("PR_SET_CHILD_SUBREAPER: %w", err)
		}
	}
	for _, s := range fatalSignals {
		// Go's runtime still resets them for a child.
		if err := dispose(s, sigIgnore); err != nil {
			return nil, fmt.Errorf("ignore %s: %w", unix.SignalName(s), err)
		}
	}
	// What whoever started the shim left open is not the job's business. Kernels
	// before 5.11 can't; there every descriptor of ours is close-on-exec anyway.
	_ = unix.CloseRange(3, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC)
	runtime.GOMAXPROCS(2)
	debug.SetMemoryLimit(memoryLimit)
	parkThreads(parkedThreads)
	return signals, nil
}

// parkThreads makes Go's runtime hold at least n threads. It keeps idle threads
// for good, and makes a new one only where none is idle.
func parkThreads(n int) {
	var up, down sync.WaitGroup
	up.Add(n)
	release := make(chan struct{})
	for range n {
		down.Go(func() {
			// A goroutine that is locked to a thread blocks with it.
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

// oomScore is the shim's own oom_score_adj. It is opened before the shim becomes
// undumpable, because the file belongs to root after that.
type oomScore struct{ file *os.File }

// openOOMScore never fails: without the file, the kernel chooses by size alone.
func openOOMScore() oomScore {
	f, err := os.OpenFile("/proc/self/oom_score_adj", os.O_RDWR, 0)
	if err != nil {
		return oomScore{}
	}
	return oomScore{file: f}
}

// own is read when it is needed: a runner sets it before it tells the shim what to
// do.
func (o oomScore) own() (int, error) {
	var text [16]byte
	n, err := o.file.ReadAt(text[:], 0)
	if n == 0 {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text[:n])))
}

// during raises the score while start runs, for the child to inherit: so not even
// its first fork is without it. To lower it again to what it was needs no right.
func (o oomScore) during(start func()) {
	if o.file == nil {
		start()
		return
	}
	defer o.file.Close()
	own, err := o.own()
	if err != nil {
		start()
		return
	}
	_, _ = o.file.WriteAt([]byte(strconv.Itoa(min(own+childOOMScore, 1000))), 0)
	start()
	_, _ = o.file.WriteAt([]byte(strconv.Itoa(own)), 0)
}
