// Command job is the program that the suite in executortest runs as a job: each
// subcommand ends, or goes on, in one particular way. It is static and needs
// nothing of its surroundings but TETRYX_OUTPUT_DIR.
//
// An argument after "--" is a mark by which the suite finds the process, and its
// children, from outside.
package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/tetryx/lynx-runner/executor/executortest/facts"
)

func main() {
	args := os.Args[1:]
	if i := slices.Index(args, "--"); i >= 0 {
		args = args[:i]
	}
	if len(args) == 0 {
		fail(fmt.Errorf("no command; one of %v", commands))
	}
	run, ok := commands[args[0]]
	if !ok {
		fail(fmt.Errorf("unknown command %q", args[0]))
	}
	if err := run(args[1:]); err != nil {
		fail(err)
	}
}

// commands are filled in init: they call one another.
var commands map[string]func([]string) error

func init() {
	commands = map[string]func([]string) error{
		"exit":         exit,
		"kill-self":    killSelf,
		"oom":          oom,
		"sleep":        sleep,
		"await":        await,
		"echo":         echo,
		"spam":         spam,
		"ignore-term":  ignoreTerm,
		"orphan":       orphan,
		"hold-pipe":    holdPipe,
		"tree":         tree,
		"fork-bomb":    forkBomb,
		"write":        write,
		"facts":        writeFacts,
		"telemetry":    telemetry,
		"forge-report": forgeReport,
		"big-file":     bigFile,
		"kill-shim":    killShim,
		"trace-me":     traceMe,
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "job:", err)
	os.Exit(99)
}

func output(name string) string { return filepath.Join(os.Getenv("TETRYX_OUTPUT_DIR"), name) }

// mark makes a file that says that the program has come so far.
func mark(name string) error { return os.WriteFile(output(name), nil, 0o644) }

func arg(args []string, i int) string {
	if i >= len(args) {
		fail(fmt.Errorf("argument %d is missing", i+1))
	}
	return args[i]
}

func number(args []string, i int) int {
	n, err := strconv.Atoi(arg(args, i))
	if err != nil {
		fail(err)
	}
	return n
}

func exit(args []string) error {
	os.Exit(number(args, 0))
	return nil
}

func killSelf(args []string) error {
	// The runtime must not catch it: the default action is wanted.
	sig := syscall.Signal(number(args, 0))
	signal.Reset(sig)
	if err := syscall.Kill(os.Getpid(), sig); err != nil {
		return err
	}
	return forever()
}

func forever() error {
	for {
		time.Sleep(time.Hour)
	}
}

// oom uses memory until somebody is killed: this process, or a child.
func oom(args []string) error {
	if arg(args, 0) == "child" {
		c := self("oom", "main")
		err := c.Run()
		fmt.Println("child:", err)
		return nil
	}
	var hold [][]byte
	for {
		b := make([]byte, 1<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		hold = append(hold, b)
		if len(hold)%64 == 0 {
			fmt.Println(len(hold), "MiB")
		}
	}
}

func sleep([]string) error {
	if err := mark("ready"); err != nil {
		return err
	}
	return forever()
}

// await waits for the file "go" in the output directory, then runs a command.
func await(args []string) error {
	if err := mark("ready"); err != nil {
		return err
	}
	for {
		if _, err := os.Stat(output("go")); err == nil {
			return commands[arg(args, 0)](args[1:])
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// echo writes numbered lines to stdout and stderr.
func echo(args []string) error {
	for i := range number(args, 0) {
		fmt.Printf("out %d\n", i)
		fmt.Fprintf(os.Stderr, "err %d\n", i)
	}
	return nil
}

// spam writes a number of bytes to stdout, in numbered lines of 64.
func spam(args []string) error {
	var line bytes.Buffer
	for i := range number(args, 0) / 64 {
		line.Reset()
		fmt.Fprintf(&line, "%-63d\n", i)
		if _, err := os.Stdout.Write(line.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

func ignoreTerm([]string) error {
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT)
	return sleep(nil)
}

// self is this program again, with the marks that the suite finds it by.
func self(args ...string) *exec.Cmd {
	if i := slices.Index(os.Args, "--"); i >= 0 {
		args = append(args, os.Args[i:]...)
	}
	return exec.Command("/proc/self/exe", args...)
}

// orphan leaves a child in a session of its own behind, and ends.
func orphan([]string) error {
	c := self("sleep")
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := c.Start(); err != nil {
		return err
	}
	return waitFor("ready")
}

// holdPipe leaves a child behind that holds stdout and stderr open. With an
// argument it stays itself, too.
func holdPipe(args []string) error {
	fmt.Println("before the end")
	c := self("sleep")
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	if err := c.Start(); err != nil {
		return err
	}
	if len(args) > 0 {
		return forever()
	}
	return waitFor("ready")
}

func waitFor(name string) error {
	for {
		if _, err := os.Stat(output(name)); err == nil {
			return nil
		}
		time.Sleep(time.Millisecond)
	}
}

// killShim starts a tree of sessions, two deep, and then kills its parent.
func killShim([]string) error {
	for range 4 {
		c := self("orphan")
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := c.Run(); err != nil {
			return err
		}
	}
	if err := syscall.Kill(os.Getppid(), syscall.SIGKILL); err != nil {
		return err
	}
	return forever()
}

// traceMe asks the parent, which does not expect it, to trace it.
func traceMe([]string) error {
	runtime.LockOSThread() // it is the thread that is traced
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PTRACE, syscall.PTRACE_TRACEME, 0, 0); errno != 0 {
		return errno
	}
	return syscall.Exec("/proc/self/exe", []string{"job", "exit", "0"}, nil)
}

// tree starts a number of children, each in a session of its own, and sleeps.
func tree(args []string) error {
	for range number(args, 0) {
		c := self("ignore-term")
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := c.Start(); err != nil {
			return err
		}
	}
	return sleep(nil)
}

// forkBomb starts children that start children, until none can be had, and goes
// on trying.
func forkBomb([]string) error {
	for {
		if err := self("fork-bomb").Start(); err != nil {
			_ = mark("ready") // the limit was met
			time.Sleep(time.Millisecond)
		}
	}
}

// write makes files below the output directory.
func write(args []string) error {
	for _, name := range args {
		path := output(name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(name), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// bigFile writes one file until something stops it.
func bigFile([]string) error {
	f, err := os.Create(output("big"))
	if err != nil {
		return err
	}
	b := make([]byte, 1<<20)
	signal.Reset(syscall.SIGXFSZ)
	for {
		if _, err := f.Write(b); err != nil {
			return err
		}
	}
}

// writeFacts writes all facts, or with an argument those of the job itself.
func writeFacts(args []string) error {
	if len(args) > 0 {
		return facts.Own().Write(output("facts.json"))
	}
	return facts.Gather().Write(output("facts.json"))
}

func telemetry([]string) error {
	target := os.Getenv("TETRYX_TELEMETRY_TARGET")
	if url := os.Getenv("TETRYX_TELEMETRY_URL"); url != "http://"+target {
		return fmt.Errorf("TETRYX_TELEMETRY_URL is %q and TETRYX_TELEMETRY_TARGET %q", url, target)
	}
	return facts.Echo(target, "ping "+strings.Repeat("x", 100))
}

// forgeReport tries to tell the runner that it ended well, and to kill itself by
// what the runner might say, at each socket named control.sock that it finds in
// the directories that it is told; then it fails.
func forgeReport(dirs []string) error {
	for _, d := range dirs {
		c, err := net.Dial("unix", filepath.Join(d, "control.sock"))
		if err != nil {
			fmt.Println("dial:", err)
			continue
		}
		_, err = c.Write([]byte(`{"type":"hello"}` + "\n" + `{"type":"exit","exit":{"code":0}}` + "\n"))
		fmt.Println("wrote:", err)
		_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		n, err := c.Read(make([]byte, 100))
		fmt.Println("read:", n, err)
	}
	os.Exit(5)
	return nil
}
