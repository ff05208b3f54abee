package main

import (
	"os"
	"os/exec"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// fork is fork(2) without anything of Go's around it: the child has one thread
// and a runtime that doesn't work any more. It may do nothing but system calls,
// and call no function that could be preempted there for ever.
//
//go:nosplit
func fork() (pid uintptr, err syscall.Errno) {
	pid, _, err = syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	return pid, err
}

// exit is for children of fork.
//
//go:nosplit
func exit(status uintptr) {
	for {
		_, _, _ = syscall.RawSyscall(syscall.SYS_EXIT_GROUP, status, 0, 0)
	}
}

// pause is for children of fork: it waits for a signal for ever.
//
//go:nosplit
func pause() {
	for {
		_, _, _ = syscall.RawSyscall6(syscall.SYS_PPOLL, 0, 0, 0, 0, 0, 0)
	}
}

// gettid is gettid(2), for children of fork.
//
//go:nosplit
func gettid() uintptr {
	tid, _, _ := syscall.RawSyscall(syscall.SYS_GETTID, 0, 0, 0)
	return tid
}

// sigaction is the kernel's structure of rt_sigaction(2).
type sigaction struct{ handler, flags, restorer, mask uintptr }

// action sets what a signal does, behind the Go runtime's back: 0 is the default
// action, 1 to ignore it.
//
//go:nosplit
func action(sig syscall.Signal, handler uintptr) error {
	a := sigaction{handler: handler}
	_, _, errno := syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&a)), 0, 8, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// again runs this program once more, as another attack, and returns how it ended.
func again(attack string) *os.ProcessState {
	cmd := exec.Command("/proc/self/exe", attack)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	_ = cmd.Run()
	return cmd.ProcessState
}

// signalled is the signal that ended a process, 0 if none did.
func signalled(s *os.ProcessState) unix.Signal {
	if s == nil {
		return 0
	}
	w, ok := s.Sys().(syscall.WaitStatus)
	if !ok || !w.Signaled() {
		return 0
	}
	return w.Signal()
}
