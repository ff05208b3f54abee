package shim

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// emptyPlaces empties every file system in memory that a job can write to: /tmp,
// HOME, /dev/shm, /dev/mqueue, and what covers an image's volumes. No process of a
// job may live.
func emptyPlaces() error {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("list the places to empty: %w", err)
	}
	for _, place := range writablePlaces(string(text)) {
		if unix.Access(place, unix.W_OK) != nil {
			continue
		}
		if err := emptyDir(place); err != nil {
			return fmt.Errorf("%s can't be emptied: %w", place, err)
		}
	}
	return nil
}

// writablePlaces finds, in the lines of a mountinfo file (proc_pid_mountinfo(5)),
// the mount points of writable file systems in memory; not the kernel's own.
func writablePlaces(mountinfo string) []string {
	var places []string
	for line := range strings.Lines(mountinfo) {
		head, tail, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " - ")
		fields, rest := strings.Fields(head), strings.Fields(tail)
		if !ok || len(fields) < 6 || len(rest) < 1 {
			continue
		}
		place := fields[4]
		switch {
		case rest[0] != "tmpfs" && rest[0] != "mqueue":
		case place == "/dev" || strings.HasPrefix(place, "/proc") || strings.HasPrefix(place, "/sys"):
		case !strings.HasPrefix(fields[5]+",", "rw,"):
		default:
			places = append(places, unescapeMount(place))
		}
	}
	return places
}

// unescapeMount reads blanks and backslashes, which are octal escapes there.
func unescapeMount(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// emptyDir removes all that is in a directory, also what its owner closed to
// himself.
func emptyDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		err := os.RemoveAll(path)
		if errors.Is(err, fs.ErrPermission) {
			unlock(path)
			err = os.RemoveAll(path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// unlock lets the owner of a tree into its directories again.
func unlock(tree string) {
	_ = filepath.WalkDir(tree, func(path string, e fs.DirEntry, _ error) error {
		if e != nil && e.IsDir() {
			// Before it is read: WalkDir comes here first.
			return os.Chmod(path, 0o700)
		}
		return nil
	})
}

// The three kinds of System V objects: the list of those in this namespace, and
// the call that removes one (its number, and where the command stands).
var sysv = []struct {
	list string
	call uintptr
	// semctl has the number of a semaphore before the command.
	semaphores bool
}{
	{"/proc/sysvipc/shm", unix.SYS_SHMCTL, false},
	{"/proc/sysvipc/sem", unix.SYS_SEMCTL, true},
	{"/proc/sysvipc/msg", unix.SYS_MSGCTL, false},
}

// removeIPC removes every System V object of the container's namespace.
func removeIPC() error {
	for _, kind := range sysv {
		text, err := os.ReadFile(kind.list)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a kernel without
		}
		if err != nil {
			return fmt.Errorf("list System V objects: %w", err)
		}
		lines := bufio.NewScanner(bytes.NewReader(text))
		for lines.Scan() {
			fields := strings.Fields(lines.Text())
			if len(fields) < 2 {
				continue
			}
			id, err := strconv.Atoi(fields[1])
			if err != nil {
				continue // the heading
			}
			command, zero := uintptr(unix.IPC_RMID), uintptr(0)
			if kind.semaphores {
				command, zero = zero, command
			}
			if _, _, errno := unix.Syscall6(kind.call, uintptr(id), command, zero, 0, 0, 0); errno != 0 {
				return fmt.Errorf("remove System V object %d: %w", id, errno)
			}
		}
	}
	return nil
}
