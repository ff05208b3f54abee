package shim_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tetryx/lynx-runner/internal/shim"
)

// runOutside runs a shim as the process executor does: its configuration comes on
// standard input and its report goes to a file that it was given open, which its
// user could not open.
func runOutside(t *testing.T, c shim.Config) (status int, report string) {
	t.Helper()
	p := places(t)[0]
	logs := sharedDir(t)
	must(t, os.Chown(logs, p.uid, -1))
	c.Stdout, c.Stderr = filepath.Join(logs, "stdout.log"), filepath.Join(logs, "stderr.log")
	c.Dir, c.LogHead, c.LogTail = "/", 1<<20, 1<<20
	c.Env = []string{"PATH=/usr/bin:/bin"}
	file, err := os.OpenFile(filepath.Join(t.TempDir(), "report.json"), os.O_CREATE|os.O_RDWR, 0o600)
	must(t, err)
	defer file.Close()
	text, err := json.Marshal(c)
	must(t, err)
	cmd := exec.Command(shimPath, "-")
	cmd.Stdin, cmd.Stderr, cmd.ExtraFiles, cmd.Dir = strings.NewReader(string(text)), os.Stderr, []*os.File{file}, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(p.uid), Gid: uint32(p.uid)}
	}
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	written, err := os.ReadFile(file.Name())
	must(t, err)
	out, err := os.ReadFile(c.Stdout)
	must(t, err)
	t.Logf("the job said: %s", out)
	return cmd.ProcessState.ExitCode(), string(written)
}

func TestReportIsLeftInAFile(t *testing.T) {
	status, text := runOutside(t, shim.Config{Argv: []string{"sh", "-c", "echo hello; exit 7"}, ReportFD: 3})
	var report shim.ExitReport
	line, whole := strings.CutSuffix(text, "\n")
	if err := json.Unmarshal([]byte(line), &report); err != nil || !whole {
		t.Fatalf("report %q: %v", text, err)
	}
	if status != 7 || report.Code != 7 || report.Stdout.Written != 6 {
		t.Errorf("status %d, report %+v", status, report)
	}
}

func TestReportIsNotTheJobs(t *testing.T) {
	script := `ls /proc/self/fd | tr '\n' ' '; echo forged > /proc/$PPID/fd/3; echo forged >&3; exit 3`
	_, text := runOutside(t, shim.Config{Argv: []string{"sh", "-c", script}, ReportFD: 3})
	if strings.Contains(text, "forged") || !strings.Contains(text, `"code":`) {
		t.Errorf("report %q", text)
	}
}

// Where no descriptor can be passed on, the report is in a file that has its space from
// the beginning: the disk may be full when the job has ended, and nobody there to ask.
func TestReportIsKeptOnAFullDisk(t *testing.T) {
	p := places(t)[0]
	r := newRun(t, p, "sh", "-c", "cat /dev/zero > log/fill; exit 3")
	logs := filepath.Dir(r.config.Stdout)
	if err := unix.Mount("tmpfs", logs, "tmpfs", 0, "mode=777,size=512k"); err != nil {
		t.Skipf("needs the right to mount a small file system: %v", err)
	}
	t.Cleanup(func() { must(t, unix.Unmount(logs, unix.MNT_DETACH)) })
	r.config.Report = filepath.Join(logs, "report.json")
	must(t, r.runner.Close())
	r.start()
	if status := r.status(); status != 3 {
		t.Errorf("exit status %d", status)
	}
	report, err := shim.KeptReport(r.config.Report)
	if err != nil || report.Code != 3 || !report.Stdout.Full {
		t.Errorf("report %+v, %v", report, err)
	}
}

// What the job puts in the report's place is not followed, and not waited for.
func TestReportThatIsTheJobs(t *testing.T) {
	for name, plant := range map[string]func(path string) error{
		"a link":          func(path string) error { return os.Symlink("/etc/hostname", path) },
		"a pipe":          func(path string) error { return unix.Mkfifo(path, 0o600) },
		"a directory":     func(path string) error { return os.Mkdir(path, 0o700) },
		"nothing":         func(string) error { return nil },
		"no report":       func(path string) error { return os.WriteFile(path, []byte("code: 0\n"), 0o600) },
		"a file of zeros": func(path string) error { return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 1<<40)) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "report.json")
			must(t, plant(path))
			if report, err := shim.KeptReport(path); err == nil {
				t.Errorf("report %+v", report)
			}
		})
	}
}

func TestLimitsAreSetOnTheJob(t *testing.T) {
	c := shim.Config{
		Argv: []string{"sh", "-c", `test "$(ulimit -Sn) $(ulimit -Hn) $(ulimit -Hc)" = "300 400 0" && ! ulimit -Hn 500`},
		Rlimits: []shim.Rlimit{
			{Resource: unix.RLIMIT_NOFILE, Soft: 300, Hard: 400},
			{Resource: unix.RLIMIT_CORE},
		},
	}
	if status, _ := runOutside(t, c); status != 0 {
		t.Errorf("status %d: the limits are not those configured", status)
	}
}

// A limit that is above the shim's own is no reason to fail.
func TestLimitsAreNeverRaised(t *testing.T) {
	var own unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &own))
	c := shim.Config{
		Argv:    []string{"sh", "-c", "true"},
		Rlimits: []shim.Rlimit{{Resource: unix.RLIMIT_NOFILE, Soft: own.Max + 1, Hard: own.Max + 1}},
	}
	if own.Max == unix.RLIM_INFINITY {
		c.Rlimits[0].Soft, c.Rlimits[0].Hard = own.Max, own.Max
	}
	if status, _ := runOutside(t, c); status != 0 {
		t.Errorf("status %d", status)
	}
}

func TestUnknownLimitIsASetupFailure(t *testing.T) {
	status, text := runOutside(t, shim.Config{Argv: []string{"true"}, ReportFD: 3, Rlimits: []shim.Rlimit{{Resource: 1000}}})
	if status != shim.ExitSetup || !strings.Contains(text, "resource limit 1000") {
		t.Errorf("status %d, report %s", status, text)
	}
}

func TestJobCannotGainPrivileges(t *testing.T) {
	if status, _ := runOutside(t, shim.Config{Argv: []string{"grep", "-q", "^NoNewPrivs:.1$", "/proc/self/status"}}); status != 0 {
		t.Error("no_new_privs is not set")
	}
}

// A runner that ends before it has told the shim what to do leaves no job.
func TestConfigurationThatBreaksOff(t *testing.T) {
	cmd := exec.Command(shimPath, "-")
	cmd.Stdin = strings.NewReader(`{"argv":["touch",`)
	out, _ := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != shim.ExitSetup || !strings.Contains(string(out), "configuration") {
		t.Errorf("status %d: %s", cmd.ProcessState.ExitCode(), out)
	}
}
