package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

var _ = register(map[string]func(){
	"process_deaf":    processDeaf,
	"process_stopped": processStopped,
	"process_daemon":  processDaemon,
	"process_stdio":   processStdio,
	"process_holder":  processHolder,
	"process_zombies": processZombies,
	"process_massacre": func() {
		_ = unix.Kill(-1, unix.SIGKILL)
		done("kill everybody")
		os.Exit(6)
	},
})

// processDeaf ignores every signal that it can.
func processDeaf() {
	signal.Ignore()
	for s := syscall.Signal(1); s < 65; s++ {
		_ = action(s, 1)
	}
	done("ignore every signal")
	pause()
}

// processStopped stops itself, and a child of each kind with it.
func processStopped() {
	if pid, err := fork(); err == 0 && pid == 0 {
		_, _, _ = syscall.RawSyscall(syscall.SYS_TKILL, gettid(), uintptr(unix.SIGSTOP), 0)
		pause()
	}
	done("stop")
	_ = unix.Kill(unix.Getpid(), unix.SIGSTOP)
	pause()
}

// processDaemon leaves a process that has nothing to do with it any more.
func processDaemon() {
	pid, err := fork()
	must(errOrNil(err))
	if pid == 0 {
		_, _, _ = syscall.RawSyscall(syscall.SYS_SETSID, 0, 0, 0)
		if pid, _ := fork(); pid != 0 {
			exit(0)
		}
		for fd := range uintptr(16) {
			_, _, _ = syscall.RawSyscall(syscall.SYS_CLOSE, fd, 0, 0)
		}
		for s := uintptr(1); s < 65; s++ {
			_ = action(syscall.Signal(s), 1)
		}
		pause()
	}
	done("leave a daemon")
}

// processStdio closes its streams and goes on for a while.
func processStdio() {
	done("close the streams")
	for fd := range 3 {
		must(unix.Close(fd))
	}
	must(os.WriteFile(outputDir+"/after", []byte("x"), 0o644))
	os.Exit(4)
}

// processHolder ends while children hold its streams, and write to them.
func processHolder() {
	for range 8 {
		pid, err := fork()
		must(errOrNil(err))
		if pid == 0 {
			for {
				_, _, _ = syscall.RawSyscall(syscall.SYS_WRITE, 1, 0, 0)
			}
		}
	}
	done("leave children")
}

// processZombies leaves hundreds of dead children to whoever takes them, and as
// many of its own. Where the limit is reached it waits for the dead to be taken.
func processZombies() {
	made := 0
	for end := time.Now().Add(10 * time.Second); made < 40 && time.Now().Before(end); {
		pid, err := fork()
		if err != 0 {
			time.Sleep(time.Millisecond)
			continue
		}
		if pid == 0 {
			for range 4 {
				if pid, _ := fork(); pid == 0 {
					exit(0)
				}
			}
			exit(0)
		}
		made++
	}
	done(fmt.Sprintf("%d dead children and their children", made))
	os.Exit(2)
}
