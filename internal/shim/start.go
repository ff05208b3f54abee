package shim

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// defaultPath is searched for the command where the job's environment has no
// PATH.
const defaultPath = "/usr/local/bin:/usr/bin:/bin"

// execError says why the job's command could not be executed, for a person.
type execError struct {
	code   int
	reason string
}

func (e *execError) Error() string { return e.reason }

func notExecutable(format string, args ...any) error {
	return &execError{code: ExitNotExecutable, reason: fmt.Sprintf(format, args...)}
}

// startJob starts the command in a process group of its own, with nothing of the
// shim's but standard input, output and error, and what files has beyond. The calling goroutine must be on
// the main thread: the job is killed when the thread that started it ends. An
// *execError is the command's fault, any other the machine's.
func startJob(c Config, env []string, files ...uintptr) (pid int, err error) {
	if err := checkDir(c.Dir); err != nil {
		return 0, err
	}
	path, err := lookPath(c.Argv[0], env, c.Dir)
	if err != nil {
		return 0, err
	}
	cleanLibrarySignals(func() {
		pid, err = syscall.ForkExec(path, c.Argv, &syscall.ProcAttr{
			Dir: c.Dir, Env: env, Files: files,
			Sys: &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL},
		})
	})
	if err != nil {
		return 0, explainExec(err, c.Argv[0], inDir(c.Dir, path))
	}
	return pid, nil
}

func checkDir(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return notExecutable("working directory %s: %v", dir, reasonOf(err))
	case !info.IsDir():
		return notExecutable("working directory %s: not a directory", dir)
	}
	if err := unix.Access(dir, unix.X_OK); err != nil {
		return notExecutable("working directory %s: %v", dir, err)
	}
	return nil
}

// lookPath finds the command as execvp does, in PATH of the job's environment.
func lookPath(command string, env []string, dir string) (string, error) {
	if strings.Contains(command, "/") {
		if err := executable(inDir(dir, command)); err != nil {
			return "", refuse(command, err)
		}
		return command, nil
	}
	search := defaultPath
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, "PATH="); ok {
			search = v
		}
	}
	var denied error
	for _, d := range strings.Split(search, ":") {
		path := inDir(dir, filepath.Join(d, command))
		err := executable(path)
		if err == nil {
			return path, nil
		}
		if denied == nil && !missing(err) {
			denied = refuse(path, err)
		}
	}
	if denied != nil {
		return "", denied
	}
	return "", &execError{code: ExitNotFound, reason: fmt.Sprintf("%s: command not found in PATH (%s)", command, search)}
}

func inDir(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

var errNotRegular = errors.New("not a regular file")

func executable(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return reasonOf(err)
	}
	if !info.Mode().IsRegular() {
		return errNotRegular
	}
	return unix.Access(path, unix.X_OK)
}

func missing(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ENAMETOOLONG)
}

func refuse(path string, err error) error {
	if missing(err) {
		return &execError{code: ExitNotFound, reason: fmt.Sprintf("%s: %v", path, err)}
	}
	return notExecutable("%s: not executable: %v", path, err)
}

// reasonOf takes the error number out of a path error, whose path is said
// already.
func reasonOf(err error) error {
	var number syscall.Errno
	if errors.As(err, &number) {
		return number
	}
	return err
}

// explainExec says what the error of execve means for a file that is there and
// executable.
func explainExec(err error, command, path string) error {
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
		if interpreter := shebang(path); interpreter != "" {
			return notExecutable("%s: bad interpreter: %s: no such file or directory", command, interpreter)
		}
		return notExecutable("%s: its dynamic loader (program interpreter) is not there: "+
			"it was built for another C library or system", command)
	case errors.Is(err, unix.ENOEXEC):
		return notExecutable("%s: exec format error: neither a script with a #! line "+
			"nor a program for this machine", command)
	case errors.Is(err, unix.E2BIG):
		return notExecutable("%s: arguments and environment are too long", command)
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ENOMEM), errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		return fmt.Errorf("start %s: %w", command, err)
	}
	return notExecutable("%s: not executable: %v", command, err)
}

// shebang returns the interpreter that a script's first line names.
func shebang(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	line := make([]byte, 256)
	n, _ := io.ReadFull(f, line)
	line, _, _ = bytes.Cut(line[:n], []byte("\n"))
	rest, ok := bytes.CutPrefix(line, []byte("#!"))
	if fields := bytes.Fields(rest); ok && len(fields) > 0 {
		return strings.ToValidUTF8(string(fields[0]), "?")
	}
	return ""
}
