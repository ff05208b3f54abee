package process

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// killSession sends SIGKILL to what is left of a session whose leader has just
// ended: the only thing by which the job's processes can be told from others once
// the shim, their reaper, is gone and there is no cgroup. It misses those that
// made a session of their own. Only processes of the job's user are touched.
func killSession(session int, uid uint32) (found int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			continue
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue
		}
		// Read after the descriptor was taken: it is of this process or of none.
		if inSession(path, session, uid) {
			found++
			_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
		}
		_ = unix.Close(fd)
	}
	return found
}

// inSession reads proc_pid_stat(5): pid (name) state ppid pgrp session …
func inSession(path string, session int, uid uint32) bool {
	stat, err := os.ReadFile(path)
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if err != nil || len(fields) < 4 || fields[0][0] == 'Z' || fields[0][0] == 'X' || string(fields[3]) != strconv.Itoa(session) {
		return false
	}
	var owner unix.Stat_t
	return unix.Stat(filepath.Dir(path), &owner) == nil && owner.Uid == uid
}
