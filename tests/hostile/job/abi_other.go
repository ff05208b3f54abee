//go:build !amd64

package main

import "syscall"

// forkABI makes a child that ends as a filter would end it: these machines have no
// second system call interface that 64-bit programs can reach.
func forkABI(bool) (pid int) {
	child, errno := fork()
	if errno != 0 {
		return -int(errno)
	}
	if child == 0 {
		self, _, _ := syscall.RawSyscall(syscall.SYS_GETPID, 0, 0, 0)
		_, _, _ = syscall.RawSyscall(syscall.SYS_KILL, self, uintptr(syscall.SIGSYS), 0)
		exit(0)
	}
	return int(child)
}
