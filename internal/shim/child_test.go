package shim_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestJobGetsExactlyTheConfiguredEnvironment(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		r := newRun(t, p, jobPath, "environ")
		r.config.Env = []string{"B=2", "A=1", "EMPTY=", "B=3"}
		r.complete()
		if out, _ := r.logs(); out != "B=2\nA=1\nEMPTY=\nB=3" {
			t.Errorf("environment %q", out)
		}
	})
}

func TestTelemetryAddressIsAddedOnce(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		r := newRun(t, p, jobPath, "environ")
		r.config.Env = []string{"TETRYX_TELEMETRY_URL=http://elsewhere", "A=1", "TETRYX_TELEMETRY_TARGET=x"}
		r.config.TelemetryListen, r.config.TelemetrySocket = "127.0.0.1:0", filepath.Join(r.dir, "telemetry.sock")
		r.complete()
		out, _ := r.logs()
		lines := strings.Split(out, "\n")
		if len(lines) != 3 || lines[0] != "A=1" {
			t.Fatalf("environment %q", out)
		}
		target, ok := strings.CutPrefix(lines[2], "TETRYX_TELEMETRY_TARGET=127.0.0.1:")
		if !ok || target == "0" || lines[1] != "TETRYX_TELEMETRY_URL=http://127.0.0.1:"+target {
			t.Errorf("environment %q", out)
		}
	})
}

func TestCommandIsLookedUpInTheJobsPath(t *testing.T) {
	bin := sharedDir(t)
	script := "#!/bin/sh\necho $0 $1\npwd\n"
	must(t, os.WriteFile(filepath.Join(bin, "simulate"), []byte(script), 0o755))
	must(t, os.Mkdir(filepath.Join(bin, "shadow"), 0o755))
	must(t, os.WriteFile(filepath.Join(bin, "shadow", "simulate"), nil, 0o644)) // not executable: passed over
	for name, c := range map[string]struct{ command, path, dir string }{
		"absolute element": {"simulate", "/no/such:" + bin + "/shadow:" + bin + ":/usr/bin:/bin", "/"},
		"relative element": {"simulate", ".:/usr/bin:/bin", bin},
		"relative path":    {"./simulate", "/usr/bin:/bin", bin},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRun(t, places(t)[0], c.command, "seven")
			r.config.Env, r.config.Dir = []string{"PATH=" + c.path}, c.dir
			r.complete()
			out, _ := r.logs()
			if lines := strings.Fields(out); len(lines) != 3 || !strings.HasSuffix(lines[0], "simulate") || lines[1] != "seven" || lines[2] != c.dir {
				t.Errorf("output %q", out)
			}
		})
	}
}

// What the shim did to itself must not reach the job.
func TestJobStartsClean(t *testing.T) {
	script := `cat /proc/self/status >&2
readlink /proc/self/fd/0
ls /proc/self/fd
echo $$; cut -d' ' -f5 /proc/$$/stat
ulimit -Sn; ulimit -Hn
cat /proc/self/oom_score_adj`
	everywhere(t, func(t *testing.T, p place) {
		r := newRun(t, p, "sh", "-c", script)
		r.launch = []string{"-nofile", "1000", "-nofile-hard", "4000"}
		r.complete()
		out, status := r.logs()
		for _, set := range []string{"SigBlk", "SigIgn", "SigCgt"} {
			if !strings.Contains(status, set+":\t0000000000000000\n") {
				t.Errorf("%s is not empty: %s", set, status)
			}
		}
		f := strings.Fields(out)
		// 3 is ls's own, on the directory it lists.
		if want := "/dev/null 0 1 2 3"; len(f) != 10 || strings.Join(f[:5], " ") != want {
			t.Fatalf("the job sees %q", f)
		}
		if f[5] != f[6] {
			t.Errorf("process %s is in process group %s, not in its own", f[5], f[6])
		}
		if f[7] != "1000" || f[8] != "4000" {
			t.Errorf("limits on open files %q", f[7:9])
		}
		if f[9] != "500" {
			t.Errorf("oom_score_adj %s", f[9])
		}
	})
}

// The job's score is raised, the shim's is what it was.
func TestKernelPrefersTheJobWhenMemoryIsShort(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		r := newRun(t, p)
		c, d := driveJob(r)
		score, err := os.ReadFile(processFile(r.cmd.Process.Pid, "oom_score_adj"))
		own, ownErr := os.ReadFile(processFile(os.Getpid(), "oom_score_adj"))
		must(t, err)
		must(t, ownErr)
		if string(score) != string(own) {
			t.Errorf("the shim's oom_score_adj is %s, was %s", score, own)
		}
		d.tell("exit 0")
		r.finish(c)
	})
}
