package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// serve is a fork server as the shim expects it (lynx_sdk.forkserver is the real
// one): for each order it starts a job that is driven over the socket. growth is how
// many bytes of memory it keeps for each. Where there is no socket it gives up.
func serve(socket string, growth int) {
	if _, err := os.Stat(socket); err != nil {
		fmt.Println("loading")
		fmt.Fprintln(os.Stderr, "cannot preload", filepath.Base(socket))
		os.Exit(2)
	}
	channel, err := os.NewFile(3, "channel"), error(nil)
	say := func(message map[string]any) {
		line, err := json.Marshal(message)
		check(err)
		_, err = channel.Write(append(line, '\n'))
		check(err)
	}
	say(map[string]any{"ready": true})
	var hoard [][]byte
	for err == nil {
		err = one(socket, say)
		kept := make([]byte, growth)
		for i := range kept {
			kept[i] = 1
		}
		hoard = append(hoard, kept)
	}
	if !errors.Is(err, io.EOF) {
		check(err)
	}
}

// one takes an order and carries it out.
func one(socket string, say func(map[string]any)) error {
	order, rights := make([]byte, 1), make([]byte, unix.CmsgSpace(8))
	n, rightsLen, _, _, err := unix.Recvmsg(3, order, rights, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return err
	}
	if n == 0 {
		return io.EOF
	}
	messages, err := unix.ParseSocketControlMessage(rights[:rightsLen])
	if err != nil {
		return err
	}
	output, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return err
	}
	stdout, stderr := os.NewFile(uintptr(output[0]), "stdout"), os.NewFile(uintptr(output[1]), "stderr")
	job := exec.Command("/proc/self/exe", "drive", socket)
	job.Stdout, job.Stderr = stdout, stderr
	job.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := errors.Join(job.Start(), stdout.Close(), stderr.Close()); err != nil {
		return err
	}
	say(map[string]any{"pid": job.Process.Pid})
	_ = job.Wait() // the status has it all
	usage := job.ProcessState.SysUsage().(*syscall.Rusage)
	say(map[string]any{
		"status":     job.ProcessState.Sys().(syscall.WaitStatus),
		"cpu_micros": usage.Utime.Usec + usage.Stime.Usec + 1, "max_rss_bytes": usage.Maxrss << 10,
	})
	return nil
}

// onlyPlace makes a directory the one file system in memory that can be written to:
// what serves jobs empties them all, and the host's are not the tests'.
func onlyPlace(dir string) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	check(err)
	for line := range strings.Lines(string(mounts)) {
		head, tail, _ := strings.Cut(line, " - ")
		fields, kind := strings.Fields(head), strings.Fields(tail)[0]
		if kind != "tmpfs" && kind != "mqueue" {
			continue
		}
		// A mount of another user namespace keeps the flags that it has.
		flags := uintptr(unix.MS_REMOUNT | unix.MS_BIND | unix.MS_RDONLY)
		for name, flag := range map[string]uintptr{
			"nosuid": unix.MS_NOSUID, "nodev": unix.MS_NODEV, "noexec": unix.MS_NOEXEC,
			"noatime": unix.MS_NOATIME, "nodiratime": unix.MS_NODIRATIME, "relatime": unix.MS_RELATIME,
		} {
			if strings.Contains(","+fields[5]+",", ","+name+",") {
				flags |= flag
			}
		}
		if err := unix.Mount("", fields[4], "", flags, ""); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
			check(fmt.Errorf("%s: %w", fields[4], err)) // those below another mount can't be seen
		}
	}
	check(unix.Mount("place", dir, "tmpfs", 0, "mode=1777"))
}
