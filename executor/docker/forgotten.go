package docker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// An engine that is killed may forget what it had begun. In the middle of a start, and
// before it has written that down, it forgets the container's processes: when it removes
// the container, which it calls created, they run on beside the next attempt, and nobody
// can name them any more. In the middle of an end it forgets containerd's own process
// for the container, the keeper, which has given up its task and was not told to go: a
// new containerd finds nothing in its care, and does not tell it either. A group of
// processes may stay as well, with nobody in it.
//
// The engine cannot be asked about any of this. What is there is found by the
// container's id, on the engine's machine alone: elsewhere nothing is found.

// endForgotten ends what runs of a container that the engine does not run, and then its
// keeper, without which containerd clears away the rest. What that leaves are groups.
func (e *Executor) endForgotten(ctx context.Context, containerID string) error {
	ctx, cancel := context.WithTimeout(ctx, e.cfg.CallTimeout)
	defer cancel()
	for told := false; ; told = true {
		pids := forgotten("/proc", containerID)
		if len(pids) == 0 {
			removeGroups(cgroupMount, containerID)
			return nil
		}
		if !told {
			e.log.Warn("the engine has forgotten processes of a container; they are killed", "container", short(containerID), "processes", pids)
		}
		var errs []error
		for _, pid := range pids {
			errs = append(errs, killIn(containerID, pid))
		}
		if err := errors.Join(errs...); err != nil {
			return fmt.Errorf("the engine has forgotten container %s, whose processes %d run on and can't be ended by this runner: %w", short(containerID), pids, err)
		}
		if err := sleep(ctx, forgottenPause); err != nil {
			return fmt.Errorf("the engine has forgotten container %s, whose processes %d do not end: %w", short(containerID), pids, err)
		}
	}
}

// forgottenPause is the time between two rounds of killing, keeperGrace what a keeper
// that was told to go has for that; it takes milliseconds.
const (
	forgottenPause = 2 * time.Millisecond
	keeperGrace    = 500 * time.Millisecond
)

// endLeft is endForgotten for a container that has ended, whose keeper may be on its way
// out.
func (e *Executor) endLeft(ctx context.Context, containerID string) error {
	for end := time.Now().Add(keeperGrace); time.Now().Before(end) && len(forgotten("/proc", containerID)) > 0; {
		if sleep(ctx, firstRetry) != nil {
			break
		}
	}
	return e.endForgotten(ctx, containerID)
}

// endForgotten is endForgotten of the handle's container, where nothing else can be
// done about a failure than to tell the runner's owner.
func (h *handle) endForgotten(ctx context.Context) {
	if err := h.exec.endForgotten(ctx, h.id); err != nil {
		h.exec.log.Error("a job outlives its container", "attempt", h.attempt, "error", err)
	}
}

// killIn kills a process if it is still the container's.
func killIn(containerID string, pid int) error {
	p, err := openInit(pid, func() error {
		if inCgroupOf(pid, containerID) || keeps("/proc/"+strconv.Itoa(pid), containerID) {
			return nil
		}
		return errNotInit
	})
	if errors.Is(err, errNotInit) || errors.Is(err, unix.ESRCH) {
		return nil // it has ended
	}
	if err != nil {
		return err
	}
	defer p.close()
	return p.kill()
}

// fullID is a container's id as engines make it. Nothing shorter is looked for: it
// could be a part of other names.
var fullID = regexp.MustCompile(`^[0-9a-f]{64}$`)

// forgotten lists a container's processes, or its keepers if it has none.
func forgotten(proc, containerID string) []int {
	if pids := processesOf(proc, containerID); len(pids) > 0 {
		return pids
	}
	return keepersOf(proc, containerID)
}

// removeGroups removes a container's control groups below the directory where they are
// mounted. The kernel keeps those that somebody is in.
func removeGroups(mount, containerID string) {
	if !fullID.MatchString(containerID) {
		return
	}
	// Version 1 has a directory for each controller above what version 2 has, which is
	// docker/ID or, where systemd makes them, system.slice/docker-ID.scope.
	for _, above := range []string{"*", "*/*"} {
		for _, name := range []string{containerID, "docker-" + containerID + ".scope"} {
			dirs, _ := filepath.Glob(filepath.Join(mount, above, name))
			for _, dir := range dirs {
				_ = unix.Rmdir(dir)
			}
		}
	}
}

// processesOf lists the processes below proc that are in a cgroup of the container,
// but for those that have ended and only wait to be reaped.
func processesOf(proc, containerID string) (pids []int) {
	if !fullID.MatchString(containerID) {
		return nil
	}
	lists, _ := filepath.Glob(filepath.Join(proc, "[0-9]*", "cgroup"))
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil || !bytes.Contains(text, []byte(containerID)) {
			continue
		}
		dir := filepath.Dir(list)
		// proc_pid_stat(5): pid (name) state …; the name may hold anything.
		stat, err := os.ReadFile(filepath.Join(dir, "stat"))
		state := bytes.TrimSpace(stat[bytes.LastIndexByte(stat, ')')+1:])
		if err != nil || len(state) == 0 || state[0] == 'Z' || state[0] == 'X' {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// keepersOf lists containerd's processes for the container, its parents.
func keepersOf(proc, containerID string) (pids []int) {
	if !fullID.MatchString(containerID) {
		return nil
	}
	dirs, _ := filepath.Glob(filepath.Join(proc, "[0-9]*"))
	for _, dir := range dirs {
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil && keeps(dir, containerID) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// keeps says whether a process, by its directory in /proc, is containerd's for the
// container: containerd-shim-… -namespace … -id ID …, of this user, which is root.
func keeps(dir, containerID string) bool {
	info, err := os.Stat(dir)
	if err != nil || info.Sys().(*syscall.Stat_t).Uid != uint32(os.Geteuid()) {
		return false
	}
	text, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	if err != nil {
		return false
	}
	args := strings.Split(string(text), "\x00")
	i := slices.Index(args, "-id")
	return strings.HasPrefix(filepath.Base(args[0]), "containerd-shim") && i > 0 && i+1 < len(args) && args[i+1] == containerID
}
