package process

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/tetryx/lynx-runner/executor"
)

// reachable says what keeps the job's user from its own files: a directory on the
// way that is closed to others, such as a home directory. In a container nobody
// notices those, so it is worth a sentence.
func reachable(spec executor.Spec) error {
	for _, path := range []string{spec.WorkDir, spec.OutputDir, spec.LogDir, spec.RunConfig} {
		if path == "" {
			continue
		}
		for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
			if err := enterable(dir, spec.User.UID, spec.User.GID); err != nil {
				return fmt.Errorf("%w, which it must on the way to %s: jobs of a root runner have users of their own; "+
					"open that directory (chmod o+x), or put working_directory and output_root elsewhere", err, path)
			}
			if dir == "/" {
				break
			}
		}
	}
	return nil
}

// enterable checks the mode of a directory for a user without further groups.
// Where an access control list decides, nothing is said.
func enterable(dir string, uid, gid uint32) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	need := os.FileMode(0o001)
	switch {
	case owner.Uid == uid:
		need = 0o100
	case owner.Gid == gid:
		need = 0o010
	}
	if info.Mode()&need != 0 {
		return nil
	}
	if n, err := unix.Getxattr(dir, "system.posix_acl_access", nil); err == nil && n > 0 {
		return nil
	}
	return fmt.Errorf("user %d can't enter %s (%v)", uid, dir, info.Mode())
}
