package shim_test

import (
	"bytes"
	"debug/elf"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tetryx/lynx-runner/internal/shim"
)

func TestExitCodeAndSignal(t *testing.T) {
	cases := []struct {
		argv         []string
		code, signal int
	}{
		{[]string{"sh", "-c", "exit 0"}, 0, 0},
		{[]string{"sh", "-c", "exit 3"}, 3, 0},
		{[]string{"sh", "-c", "exit 255"}, 255, 0},
		{[]string{jobPath, "die", strconv.Itoa(int(unix.SIGTERM))}, 143, 15},
		{[]string{jobPath, "die", strconv.Itoa(int(unix.SIGSEGV))}, 139, 11},
		{[]string{jobPath, "die", strconv.Itoa(int(unix.SIGKILL))}, 137, 9},
		// Only the report tells these two from those above.
		{[]string{"sh", "-c", "exit 139"}, 139, 0},
		{[]string{"sh", "-c", "exit 137"}, 137, 0},
	}
	everywhere(t, func(t *testing.T, p place) {
		for _, c := range cases {
			t.Run(strings.Join(c.argv[1:], " "), func(t *testing.T) {
				report := newRun(t, p, c.argv...).complete()
				if report.Code != c.code || report.Signal != c.signal || report.DeadlineKill {
					t.Errorf("report %+v, want code %d, signal %d", report, c.code, c.signal)
				}
				if report.ExecError != "" || report.SetupError != "" {
					t.Errorf("report %+v: no error was to be reported", report)
				}
			})
		}
	})
}

func TestUsageCountsEveryProcess(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		// A child of the main process, and an orphan that the shim reaps, work.
		burn := "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"
		report := newRun(t, p, "sh", "-c", "("+burn+"); exit 0").complete()
		if report.CPUMicros <= 0 || report.WallMicros <= 0 || report.MaxRSSBytes < 1<<16 {
			t.Errorf("usage %+v is not filled in", report)
		}
	})
}

func TestCommandThatCannotBeExecuted(t *testing.T) {
	files := sharedDir(t)
	write := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(files, name)
		must(t, os.WriteFile(path, []byte(content), mode))
		return path
	}
	plain := write("plain", "#!/bin/sh\n", 0o644)
	lost := write("lost", "#!/no/such/interpreter -x\n", 0o755)
	junk := write("junk", "\x7fELF junk", 0o755)
	loader := write("loader", withoutLoader(t), 0o755)
	cases := []struct {
		name   string
		change func(c *shim.Config)
		code   int
		reason []string
	}{
		{"not in PATH", func(c *shim.Config) { c.Argv = []string{"no-such-command"} }, 127, []string{"no-such-command", "not found", "/usr/bin:/bin"}},
		{"no such file", func(c *shim.Config) { c.Argv = []string{"/no/such"} }, 127, []string{"/no/such", "no such file"}},
		{"relative to dir", func(c *shim.Config) { c.Argv = []string{"./no-such"} }, 127, []string{"./no-such"}},
		{"below a file", func(c *shim.Config) { c.Argv = []string{plain + "/x"} }, 127, []string{"not a directory"}},
		{"not executable", func(c *shim.Config) { c.Argv = []string{plain} }, 126, []string{plain, "permission denied"}},
		{"not executable in PATH", func(c *shim.Config) { c.Argv, c.Env = []string{"plain"}, []string{"PATH=" + files} }, 126, []string{plain, "permission denied"}},
		{"a directory", func(c *shim.Config) { c.Argv = []string{"/usr"} }, 126, []string{"not a regular file"}},
		{"interpreter", func(c *shim.Config) { c.Argv = []string{lost} }, 126, []string{lost, "bad interpreter", "/no/such/interpreter"}},
		{"format", func(c *shim.Config) { c.Argv = []string{junk} }, 126, []string{"exec format error"}},
		{"loader", func(c *shim.Config) { c.Argv = []string{loader} }, 126, []string{loader, "dynamic loader"}},
		{"too long", func(c *shim.Config) { c.Argv = append(c.Argv, strings.Repeat("x", 200_000)) }, 126, []string{"too long"}},
		{"dir missing", func(c *shim.Config) { c.Dir = "/no/dir" }, 126, []string{"working directory /no/dir", "no such file"}},
		{"dir a file", func(c *shim.Config) { c.Dir = plain }, 126, []string{"not a directory"}},
		{"long name", func(c *shim.Config) { c.Argv = []string{strings.Repeat("\x01é", 4000)} }, 127, []string{"é"}},
	}
	everywhere(t, func(t *testing.T, p place) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				r := newRun(t, p, "true")
				c.change(&r.config)
				r.start()
				conn := r.accept()
				conn.expect(shim.MessageHello)
				report := r.finish(conn) // and no started
				if report.Code != c.code || report.SetupError != "" {
					t.Errorf("report %+v, want code %d", report, c.code)
				}
				for _, part := range c.reason {
					if !strings.Contains(report.ExecError, part) {
						t.Errorf("reason %q does not say %q", report.ExecError, part)
					}
				}
			})
		}
	})
}

// withoutLoader is a dynamic program whose loader does not exist.
func withoutLoader(t *testing.T) string {
	t.Helper()
	program, err := os.ReadFile("/bin/sh")
	must(t, err)
	file, err := elf.NewFile(strings.NewReader(string(program)))
	must(t, err)
	for _, part := range file.Progs {
		if part.Type == elf.PT_INTERP {
			program[part.Off+1] = '_'
			return string(program)
		}
	}
	t.Fatal("/bin/sh is static")
	return ""
}

func TestSetupFailureIsNotTheCommands(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer busy.Close()
	cases := []struct {
		name   string
		change func(r *shimRun)
		reason string
	}{
		{"log file is there", func(r *shimRun) { must(t, os.WriteFile(r.config.Stdout, nil, 0o666)) }, "stdout.log: file exists"},
		{"log file is a link", func(r *shimRun) { must(t, os.Symlink("/etc/passwd", r.config.Stderr)) }, "stderr.log: file exists"},
		{"segment is there", func(r *shimRun) { must(t, os.WriteFile(r.config.Stderr+".tail-b", nil, 0o666)) }, "file exists"},
		{"no log directory", func(r *shimRun) { r.config.Stdout = "/no/such/dir/out" }, "/no/such/dir/out"},
		{"port taken", func(r *shimRun) {
			r.config.TelemetryListen, r.config.TelemetrySocket = busy.Addr().String(), "/x"
		}, "address already in use"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newRun(t, places(t)[0], "true")
			c.change(r)
			r.start()
			conn := r.accept()
			conn.expect(shim.MessageHello)
			report := r.finish(conn)
			if report.Code != shim.ExitSetup || report.ExecError != "" || !strings.Contains(report.SetupError, c.reason) {
				t.Errorf("report %+v, want a setup error that says %q", report, c.reason)
			}
		})
	}
}

func TestBadConfigurationIsRefused(t *testing.T) {
	cases := map[string]struct {
		change func(c *shim.Config)
		reason string
	}{
		"no command":        {func(c *shim.Config) { c.Argv = nil }, "argv"},
		"relative dir":      {func(c *shim.Config) { c.Dir = "x" }, "dir"},
		"relative log":      {func(c *shim.Config) { c.Stdout = "stdout.log" }, "stdout"},
		"one log for both":  {func(c *shim.Config) { c.Stderr = c.Stdout }, "stderr"},
		"negative head":     {func(c *shim.Config) { c.LogHead = -1 }, "log_head"},
		"negative patience": {func(c *shim.Config) { c.RunnerLossMillis = -1 }, "runner_loss_millis"},
		"negative deadline": {func(c *shim.Config) { c.KillAfterMillis = -1 }, "kill_after_millis"},
		"bad environment":   {func(c *shim.Config) { c.Env = []string{"X"} }, "env"},
		"half a telemetry":  {func(c *shim.Config) { c.TelemetrySocket = "/x" }, "telemetry_listen"},
		"public port":       {func(c *shim.Config) { c.TelemetrySocket, c.TelemetryListen = "/x", "0.0.0.0:0" }, "loopback"},
		"no port":           {func(c *shim.Config) { c.TelemetrySocket, c.TelemetryListen = "/x", "127.0.0.1" }, "port"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := newRun(t, places(t)[0], "true")
			c.change(&r.config)
			r.start()
			conn := r.accept()
			conn.expect(shim.MessageHello)
			report := r.finish(conn)
			if report.Code != shim.ExitSetup || !strings.Contains(report.SetupError, c.reason) {
				t.Errorf("report %+v, want a setup error that says %q", report, c.reason)
			}
			if _, err := os.Stat(filepath.Join(r.dir, "log", "stdout.log")); err == nil {
				t.Error("it went on to open the log")
			}
		})
	}
}

func TestWithoutAConfigurationNothingIsDone(t *testing.T) {
	dir := sharedDir(t)
	for name, content := range map[string]string{
		"missing": "", "not JSON": "argv: [true]", "unknown field": `{"argvv":["true"]}`, "empty": "{}",
		"too long": strings.Repeat(" ", 8<<20) + "{}",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, name)
			if content != "" {
				must(t, os.WriteFile(path, []byte(content), 0o644))
			}
			var stderr bytes.Buffer
			cmd := exec.Command(shimPath, path)
			cmd.Stderr = &stderr
			_ = cmd.Run()
			if code := cmd.ProcessState.ExitCode(); code != shim.ExitSetup || !strings.Contains(stderr.String(), path) {
				t.Errorf("exit status %d, standard error %q", code, &stderr)
			}
		})
	}
}
