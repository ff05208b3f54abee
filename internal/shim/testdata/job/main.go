// Command job is what the shim's tests run: a job that a test drives over a unix
// socket, one command a line, each answered by one line; and the launcher that
// puts the shim where it is to be tested.
//
//	job drive SOCKET             the driven job
//	job wait                     a process that only ends when it is killed
//	job write STDOUT STDERR      writes as many bytes of numbered lines and exits
//	job environ                  prints its environment and exits
//	job die SIGNAL               ends itself by a signal
//	job serve SOCKET GROWTH      a fork server, whose jobs are driven; see serve.go
//	job launch FLAGS -- CMD ...  becomes CMD, with other limits, user, /proc
package main

import (
	"bufio"
	"flag"
	"fmt"
	"math"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	args := os.Args[2:]
	switch os.Args[1] {
	case "drive":
		drive(args[0])
	case "wait":
		signal.Ignore(unix.SIGTERM, unix.SIGHUP, unix.SIGINT)
		for {
			time.Sleep(time.Hour)
		}
	case "write":
		write(os.Stdout, number(args[0]))
		write(os.Stderr, number(args[1]))
	case "environ":
		raw, err := os.ReadFile("/proc/self/environ") // Go's own list drops doubles
		check(err)
		fmt.Print(strings.ReplaceAll(strings.TrimSuffix(string(raw), "\x00"), "\x00", "\n"))
	case "die":
		check(unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}))
		die(unix.Signal(number(args[0])))
	case "serve":
		serve(args[0], number(args[1]))
	case "launch":
		launch(args)
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "job:", err)
		os.Exit(99)
	}
}

func number(text string) int {
	n, err := strconv.Atoi(text)
	check(err)
	return n
}

// write writes n bytes of numbered lines of eight bytes.
func write(f *os.File, n int) {
	w := bufio.NewWriter(f)
	for i := 0; n > 0; i++ {
		line := fmt.Sprintf("%07d\n", i)
		line = line[:min(n, len(line))]
		_, err := w.WriteString(line)
		check(err)
		n -= len(line)
	}
	check(w.Flush())
}

// die restores a signal's default action, which Go's runtime took, and sends it.
func die(s unix.Signal) {
	var action [4]uintptr
	_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(s), pointer(&action), 0, 8, 0, 0)
	check(unix.Kill(os.Getpid(), s))
	time.Sleep(time.Minute)
}

// launch becomes another program, in the place that the flags describe.
func launch(args []string) {
	set := flag.NewFlagSet("launch", flag.ExitOnError)
	proc := set.Bool("proc", false, "mount /proc and bring up lo, in new namespaces")
	place := set.String("place", "", "mount a file system in memory there, the only one that can be written to")
	uid := set.Int("uid", 0, "user and group to become")
	nproc := set.Uint64("nproc", 0, "RLIMIT_NPROC")
	soft := set.Uint64("nofile", 0, "RLIMIT_NOFILE, soft")
	hard := set.Uint64("nofile-hard", 0, "RLIMIT_NOFILE, hard")
	size := set.Uint64("fsize", 0, "RLIMIT_FSIZE")
	check(set.Parse(args))
	// What whoever runs the tests has open is not to count.
	check(unix.CloseRange(3, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC))
	if *proc {
		check(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
		check(unix.Mount("proc", "/proc", "proc", 0, ""))
		upLoopback()
	}
	if *place != "" {
		onlyPlace(*place)
	}
	if *nproc > 0 {
		check(unix.Setrlimit(unix.RLIMIT_NPROC, &unix.Rlimit{Cur: *nproc, Max: *nproc}))
	}
	if *soft > 0 {
		check(syscall.Setrlimit(unix.RLIMIT_NOFILE, &syscall.Rlimit{Cur: *soft, Max: *hard}))
	}
	if *size > 0 {
		check(unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: *size, Max: *size}))
	}
	if *uid != 0 {
		check(syscall.Setgroups(nil))
		check(syscall.Setresgid(*uid, *uid, *uid))
		check(syscall.Setresuid(*uid, *uid, *uid))
	}
	check(unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))
	check(syscall.Exec(set.Arg(0), set.Args(), os.Environ()))
}

func upLoopback() {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	check(err)
	request, err := unix.NewIfreq("lo")
	check(err)
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	check(unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request))
}

// drive carries out what the test says until it says exit, or is gone.
func drive(socket string) {
	park()
	conn, err := net.Dial("unix", socket)
	check(err)
	j := &job{signals: make(chan os.Signal, 256)}
	signal.Notify(j.signals, unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2)
	lines := bufio.NewScanner(conn)
	fmt.Fprintln(conn, "ready", os.Getpid())
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if words[0] == "exit" {
			os.Exit(number(words[1]))
		}
		answer, err := j.do(words[0], words[1:])
		if err != nil {
			answer = "error: " + err.Error()
		}
		fmt.Fprintln(conn, answer)
	}
	os.Exit(98)
}
