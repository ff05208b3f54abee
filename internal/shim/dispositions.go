package shim

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// The kernel's default and ignored dispositions of a signal.
const (
	sigDefault uintptr = 0
	sigIgnore  uintptr = 1
)

// librarySignals are those that the C library keeps to itself. Go's runtime
// leaves them as it found them and can't take them, so unlike all others they are
// not reset for a child, and a program that has them at their default dies of
// one. Programs that glibc's posix_spawn started have the first two ignored.
var librarySignals = []unix.Signal{32, 33, 34}

// cleanLibrarySignals runs start with the C library's signals at their default,
// so that the started program has them so, and ignores them from then on.
func cleanLibrarySignals(start func()) {
	for _, s := range librarySignals {
		_ = dispose(s, sigDefault) // there is no way to fail for a signal that exists
	}
	start()
	for _, s := range librarySignals {
		_ = dispose(s, sigIgnore)
	}
}

// dispose sets a signal's disposition without Go's runtime knowing. The kernel's
// struct sigaction has the handler first on every architecture, and is no longer
// than this.
func dispose(s unix.Signal, disposition uintptr) error {
	action := [4]uintptr{disposition}
	const maskBytes = 8
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(&action)), 0, maskBytes, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
