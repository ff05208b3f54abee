package runner

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/runner/config"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// confined is what the check's jobs print in a proper container, both in one.
const confined = `{"python": "3.11.2", "telemetry": {"ok": true, "value": null}, "files": {"ok": true, "value": null},
 "basilisk": {"ok": true, "value": "2.12.1"}, "network": {"ok": true, "value": ["lo"]}, "root": {"ok": true, "value": false},
 "status": {"ok": true, "value": {"Uid": "1600000000\t1600000000\t1600000000\t1600000000", "CapEff": "0000000000000000", "NoNewPrivs": "1", "Seccomp": "2"}},
 "memory": {"ok": true, "value": ""}, "pids": {"ok": true, "value": ""}, "cpu": {"ok": true, "value": ""}, "tmp": {"ok": true, "value": 1},
 "filesize": {"ok": true, "value": 1}, "label": {"ok": true, "value": "docker-default (enforce)"}, "usermap": {"ok": true, "value": "0 0 4294967295\n"},
 "refused": {"ok": true, "value": {"AF_ALG": true}}}`

// checkBench is a bench whose job prints text.
func checkBench(t *testing.T, shim, text string) *bench {
	t.Helper()
	b := newBench(t)
	b.cfg.Shim = shim
	b.executor.script = func(_ context.Context, p *program) executor.Exit {
		p.log("stdout.log", "a warning first\n"+strings.ReplaceAll(text, "\n", "")+"\n")
		return exited(0)
	}
	return b
}

// buildShim builds the shim as a release does.
func buildShim(t *testing.T) string {
	t.Helper()
	shim := filepath.Join(t.TempDir(), "shim")
	build := exec.Command("go", "build", "-o", shim, "../../cmd/lynx-shim")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return shim
}

// check runs the check; afterwards nothing of its job may be left.
func (b *bench) check(t *testing.T, connect error, engine Engine) *Checked {
	t.Helper()
	found := Check(t.Context(), b.cfg, CheckDeps{
		Platform: b.platform.client(),
		Connect: func(context.Context) (*Engine, error) {
			if connect != nil {
				return nil, connect
			}
			engine.Executor = b.executor
			return &engine, nil
		},
	})
	for _, dir := range []string{b.cfg.OutputRoot, b.cfg.RuntimeDir, b.cfg.StateDir} {
		if entries, _ := os.ReadDir(dir); len(entries) > 0 {
			t.Errorf("left in %s: %v", dir, entries)
		}
	}
	for id, h := range b.executor.handles {
		if !h.removed {
			t.Errorf("%s is not removed", id)
		}
	}
	return found
}

// finding is the first finding about a subject.
func (c *Checked) finding(subject string, level Level) Finding {
	i := slices.IndexFunc(c.Findings, func(f Finding) bool { return f.Subject == subject && f.Level == level })
	if i < 0 {
		return Finding{}
	}
	return c.Findings[i]
}

func TestCheckOfAGoodHost(t *testing.T) {
	b := checkBench(t, buildShim(t), confined)
	found := b.check(t, nil, Engine{Facts: []Finding{{Subject: "live-restore", Level: LevelOK, Detail: "on"}}})
	if !found.OK() || found.Unreachable {
		t.Errorf("findings %+v", found.Findings)
	}
	for _, subject := range []string{"output_root", "state_dir", "runtime_dir", "users", "shim", "scenario", "engine", "limits", "image", "job", "files", "telemetry", "basilisk", "sandbox", "seccomp", "labels", "live-restore"} {
		if found.finding(subject, LevelOK).Subject == "" {
			t.Errorf("nothing about %s: %+v", subject, found.Findings)
		}
	}
	if len(b.executor.handles) != 2 {
		t.Errorf("%d jobs ran", len(b.executor.handles))
	}
	// Jobs get other users at once: the check has given its own back.
	s, err := newSlots(b.cfg, os.Geteuid(), os.Getegid())
	if err != nil {
		t.Fatal(err)
	}
	s.close()
}

// finds is what may be wrong, and how the check must tell it.
type finds struct {
	change  func(t *testing.T, b *bench)
	connect error
	engine  Engine
	subject string
	level   Level
	says    string
	jobs    int
}

// troublesBefore are found before a job has looked around, or by a job that goes
// against its limits.
func troublesBefore() map[string]finds {
	return map[string]finds{
		"no engine": {connect: fmt.Errorf("%w: start Docker", executor.ErrUnavailable), subject: "engine", level: LevelFailed, says: "start Docker"},
		"a limit that does nothing": {engine: Engine{Unenforced: []executor.Unenforced{{Limit: "swap", Reason: "no swap limit: swapoff"}}},
			subject: "limits", level: LevelFailed, says: "swapoff; a runner does not start like this, unless sandbox.unenforced names swap"},
		"a limit that is given up": {engine: Engine{Unenforced: []executor.Unenforced{{Limit: "swap", Reason: "no swap limit"}}},
			change: func(_ *testing.T, b *bench) { b.cfg.Sandbox.Unenforced = []string{"swap"} }, subject: "limits", level: LevelWarning, says: "accepted by", jobs: 2},
		"something else missing": {engine: Engine{Warnings: []string{"no seccomp"}}, subject: "limits", level: LevelWarning, says: "no seccomp", jobs: 2},
		"memory without a bound": {change: prints(`"memory": {"ok": true, "value": ""`, `"memory": {"ok": false, "value": "wrote to twice"`), subject: "limits", level: LevelFailed, says: "memory and swap does not hold: wrote to twice", jobs: 2},
		"a bound that is given up": {change: func(t *testing.T, b *bench) {
			b.cfg.Sandbox.Unenforced = []string{"memory"}
			prints(`"memory": {"ok": true`, `"memory": {"ok": false`)(t, b)
		}, subject: "limits", level: LevelWarning, says: "memory and swap does not hold", jobs: 2},
		"processes without a bound": {change: prints(`"pids": {"ok": true`, `"pids": {"ok": false`), subject: "limits", level: LevelFailed, says: "pids does not hold", jobs: 2},
		"CPU without a bound":       {change: prints(`"cpu": {"ok": true`, `"cpu": {"ok": false`), subject: "limits", level: LevelFailed, says: "CPU does not hold", jobs: 2},
		"tmpfs without a bound":     {change: prints(`"tmp": {"ok": true`, `"tmp": {"ok": false`), subject: "limits", level: LevelFailed, says: "tmpfs does not hold", jobs: 2},
		"another filter":            {change: prints(`"AF_ALG": true`, `"AF_ALG": false`), subject: "seccomp", level: LevelFailed, says: "lets through AF_ALG", jobs: 2},
		"another runtime's filter": {change: func(t *testing.T, b *bench) {
			b.cfg.Sandbox.Runtime = "runsc"
			prints(`"AF_ALG": true`, `"AF_ALG": false`)(t, b)
		}, subject: "seccomp", level: LevelWarning, says: "runtime runsc lets through AF_ALG", jobs: 2},
		"the engine's filter": {change: func(t *testing.T, b *bench) {
			b.cfg.Sandbox.Seccomp = config.SeccompEngine
			prints(`"AF_ALG": true`, `"AF_ALG": false`)(t, b)
		}, subject: "seccomp", level: LevelOK, says: "engine's own filter", jobs: 2},
		"walls unknown":            {change: prints(`"refused": {"ok": true, "value": {"AF_ALG": true}`, `"refused": {"ok": false, "value": "OSError"`), subject: "sandbox", level: LevelWarning, says: "filters and labels", jobs: 2},
		"GPUs that can't be given": {change: func(_ *testing.T, b *bench) { b.cfg.GPUs.All = true }, subject: "gpus", level: LevelFailed, says: "Container Toolkit"},
		"relaxations": {change: func(_ *testing.T, b *bench) {
			b.cfg.Relaxations = []config.Relaxation{{Setting: "sandbox.network", Value: "lab", Meaning: "jobs reach others"}}
		}, subject: "relaxed", level: LevelWarning, says: "sandbox.network is lab: jobs reach others", jobs: 2},
		"a network that is meant": {change: func(t *testing.T, b *bench) { b.cfg.Sandbox.Network = "lab"; prints(`["lo"]`, `["lo", "eth0"]`)(t, b) },
			subject: "sandbox", level: LevelOK, says: "no capabilities, no root user", jobs: 2},
		"capabilities that are meant": {change: func(t *testing.T, b *bench) {
			b.cfg.Sandbox.Capabilities = []string{"CAP_KILL"}
			prints(`0000000000000000`, `0000000000000020`)(t, b)
		}, subject: "sandbox", level: LevelOK, says: "no network, no root user", jobs: 2},
		"capabilities in vain": {change: func(_ *testing.T, b *bench) { b.cfg.Sandbox.Capabilities = []string{"CAP_KILL"} },
			subject: "sandbox", level: LevelWarning, says: "the kernel takes them from every user but 0", jobs: 2},
		"no image": {change: func(_ *testing.T, b *bench) {
			b.executor.resolve = func(context.Context, string) (string, error) {
				return "", fmt.Errorf("%w: build it", executor.ErrImage)
			}
		}, subject: "image", level: LevelFailed, says: "build it"},
		"another image is missing": {change: func(_ *testing.T, b *bench) {
			b.executor.resolve = func(_ context.Context, image string) (string, error) {
				if image == "other" {
					return "", errors.New("no other")
				}
				return "sha256:1", nil
			}
		}, subject: "image", level: LevelWarning, says: "no other", jobs: 2},
		"no scenario":             {change: func(_ *testing.T, b *bench) { b.cfg.BasiliskEntrypoint = "no.py" }, subject: "scenario", level: LevelFailed, says: "basilisk_entrypoint"},
		"no default scenario":     {change: func(_ *testing.T, b *bench) { b.cfg.BasiliskEntrypoint = "" }, subject: "scenario", level: LevelOK, says: "each study has to name one", jobs: 2},
		"no output root":          {change: func(_ *testing.T, b *bench) { b.cfg.OutputRoot = "/proc/nowhere" }, subject: "output_root", level: LevelFailed, says: "name another directory"},
		"state that is open":      {change: openState, subject: "state_dir", level: LevelFailed, says: "chmod go-w"},
		"no shim":                 {change: func(_ *testing.T, b *bench) { b.cfg.Shim = "/nowhere" }, subject: "shim", level: LevelFailed, says: "make build"},
		"a shim that is closed":   {change: func(t *testing.T, b *bench) { b.cfg.Shim = script(t); chmod(t, b.cfg.Shim, 0o700) }, subject: "shim", level: LevelFailed, says: "chmod 755"},
		"a shim that is a script": {change: func(t *testing.T, b *bench) { b.cfg.Shim = script(t) }, subject: "shim", level: LevelFailed, says: "no program of this system"},
		"a shim with libraries":   {change: func(_ *testing.T, b *bench) { b.cfg.Shim = "/bin/sh" }, subject: "shim", level: LevelFailed, says: "CGO_ENABLED=0"},
		"no interpreter": {change: ends(executor.Exit{Known: true, Code: 127, ExecError: "no such file"}),
			subject: "job", level: LevelFailed, says: "python_executable", jobs: 1},
		"another program": {change: ends(exited(1)), subject: "job", level: LevelFailed, says: "does not behave like a Python", jobs: 1},
		"no start": {change: func(_ *testing.T, b *bench) {
			b.executor.start = func(context.Context, executor.Spec) error { return errors.New("no such runtime") }
		}, subject: "job", level: LevelFailed, says: "no such runtime"},
	}
}

// troublesInside are found by the job that looks around.
func troublesInside() map[string]finds {
	return map[string]finds{
		"no telemetry":    {change: prints(`"telemetry": {"ok": true`, `"telemetry": {"ok": false`), subject: "telemetry", level: LevelFailed, says: "runtime_dir", jobs: 2},
		"unreadable code": {change: prints(`"files": {"ok": true, "value": null`, `"files": {"ok": false, "value": "PermissionError"`), subject: "files", level: LevelFailed, says: "PermissionError", jobs: 2},
		"no Basilisk":     {change: prints(`"basilisk": {"ok": true`, `"basilisk": {"ok": false`), subject: "basilisk", level: LevelWarning, says: "no Basilisk", jobs: 2},
		"root":            {change: prints(`1600000000\t1600000000`, `0\t0`), subject: "sandbox", level: LevelFailed, says: "user 0", jobs: 2},
		"capabilities":    {change: prints(`0000000000000000`, `00000000a80425fb`), subject: "sandbox", level: LevelFailed, says: "capabilities", jobs: 2},
		"privileges":      {change: prints(`"NoNewPrivs": "1"`, `"NoNewPrivs": "0"`), subject: "sandbox", level: LevelFailed, says: "gain privileges", jobs: 2},
		"no filter":       {change: prints(`"Seccomp": "2"`, `"Seccomp": "0"`), subject: "sandbox", level: LevelFailed, says: "not filtered", jobs: 2},
		"a network":       {change: prints(`["lo"]`, `["lo", "eth0"]`), subject: "sandbox", level: LevelFailed, says: "a network", jobs: 2},
		"writable image":  {change: prints(`"root": {"ok": true, "value": false`, `"root": {"ok": true, "value": true`), subject: "sandbox", level: LevelFailed, says: "image's files", jobs: 2},
		"nothing known":   {change: prints(`"network": {"ok": true, "value": ["lo"]`, `"network": {"ok": false, "value": "OSError"`), subject: "sandbox", level: LevelWarning, says: "nothing can be said", jobs: 2},
	}
}

// TestCheckNamesTheTrouble: each trouble is found, said together with what to do,
// and nothing is tried that it makes pointless.
func TestCheckNamesTheTrouble(t *testing.T) {
	shim := buildShim(t)
	all := troublesBefore()
	maps.Copy(all, troublesInside())
	for name, tc := range all {
		t.Run(name, func(t *testing.T) {
			b := checkBench(t, shim, confined)
			if tc.change != nil {
				tc.change(t, b)
			}
			found := b.check(t, tc.connect, tc.engine)
			f := found.finding(tc.subject, tc.level)
			if !strings.Contains(f.Detail, tc.says) || f.Subject == "" {
				t.Errorf("findings %+v; want %s %s: …%s…", found.Findings, tc.level, tc.subject, tc.says)
			}
			if found.OK() == (tc.level == LevelFailed) || found.Unreachable != (name == "no engine") {
				t.Errorf("OK is %v, unreachable %v", found.OK(), found.Unreachable)
			}
			if len(b.executor.handles) != tc.jobs {
				t.Errorf("%d jobs ran, want %d", len(b.executor.handles), tc.jobs)
			}
		})
	}
}

func ends(exit executor.Exit) func(*testing.T, *bench) {
	return func(_ *testing.T, b *bench) {
		b.executor.script = func(_ context.Context, p *program) executor.Exit { p.log("stdout.log", "?"); return exit }
	}
}

// prints makes the job print something else in a place.
func prints(old, replacement string) func(*testing.T, *bench) {
	return func(t *testing.T, b *bench) {
		text := strings.ReplaceAll(confined, "\n", "")
		changed := strings.Replace(text, old, replacement, 1)
		if changed == text {
			t.Fatalf("no %q to replace", old)
		}
		b.executor.script = func(_ context.Context, p *program) executor.Exit { p.log("stdout.log", changed); return exited(0) }
	}
}

func openState(t *testing.T, b *bench) {
	if err := os.Mkdir(b.cfg.StateDir, 0o700); err != nil {
		t.Fatal(err)
	}
	chmod(t, b.cfg.StateDir, 0o777)
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func script(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "shim")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	chmod(t, path, 0o755)
	return path
}

// TestCheckOfAJobThatHangs kills and removes it when the check is given up.
func TestCheckOfAJobThatHangs(t *testing.T) {
	b := checkBench(t, buildShim(t), confined)
	ctx, cancel := context.WithCancel(t.Context())
	b.executor.script = func(job context.Context, p *program) executor.Exit { cancel(); return untilKilled(job, p) }
	found := Check(ctx, b.cfg, CheckDeps{
		Platform: b.platform.client(),
		Connect:  func(context.Context) (*Engine, error) { return &Engine{Executor: b.executor}, nil },
	})
	if f := found.finding("job", LevelFailed); !strings.Contains(f.Detail, "did not end") {
		t.Errorf("findings %+v", found.Findings)
	}
	for id, h := range b.executor.handles {
		if !h.removed || h.kills == 0 {
			t.Errorf("%s: removed %v, killed %d times", id, h.removed, h.kills)
		}
	}
}

// refusing answers every heartbeat with an error.
type refusing struct {
	runnerv1.RunnerServiceClient

	err error
}

func (r refusing) Heartbeat(context.Context, *runnerv1.HeartbeatRequest, ...grpc.CallOption) (*runnerv1.HeartbeatResponse, error) {
	return nil, r.err
}

func TestCheckOfThePlatform(t *testing.T) {
	nowhere, err := grpc.NewClient("unix:///nowhere.sock", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer nowhere.Close()
	for name, tc := range map[string]struct {
		platform runnerv1.RunnerServiceClient
		level    Level
		says     string
	}{
		"a platform":      {refusing{err: runnerv1.NewError(codes.Unauthenticated, runnerv1.ReasonUnknownSession, "no such session")}, LevelOK, "takes the token"},
		"wrong token":     {refusing{err: runnerv1.NewError(codes.Unauthenticated, runnerv1.ReasonBadToken, "no")}, LevelFailed, "--token-file"},
		"nobody":          {runnerv1.NewRunnerServiceClient(nowhere), LevelWarning, "start lynx-server"},
		"another service": {refusing{err: runnerv1.NewError(codes.Unimplemented, "", "what?")}, LevelWarning, "not as a Lynx platform"},
	} {
		t.Run(name, func(t *testing.T) {
			c := &checker{cfg: newBench(t).cfg, deps: CheckDeps{Platform: tc.platform}, out: &Checked{}}
			c.platform(t.Context())
			if f := c.out.finding("platform", tc.level); !strings.Contains(f.Detail, tc.says) {
				t.Errorf("findings %+v, want %s: …%s…", c.out.Findings, tc.level, tc.says)
			}
		})
	}
}

// TestProbeTellsARealServer: the program that the check's job runs, run here by a
// Python of this host: its telemetry probe believes nobody but a
// gRPC server.
func TestProbeTellsARealServer(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Fatal("tests need a python3 on PATH:", err)
	}
	b := checkBench(t, buildShim(t), "")
	b.cfg.PythonExecutable = python
	b.executor.script = func(ctx context.Context, p *program) executor.Exit {
		target, stop := forward(t, filepath.Join(p.spec.RuntimeDir, executor.TelemetrySocket))
		defer stop()
		cmd := exec.CommandContext(ctx, p.spec.Argv[0], p.spec.Argv[1:]...)
		cmd.Dir = p.spec.WorkDir
		cmd.Env = []string{"TETRYX_TELEMETRY_TARGET=" + target, "TETRYX_RUN_CONFIG=" + p.spec.RunConfig, "TETRYX_OUTPUT_DIR=" + p.spec.OutputDir}
		out, err := cmd.Output()
		p.log("stdout.log", string(out))
		if err != nil {
			t.Errorf("the probe: %v", err)
		}
		return exited(0)
	}
	found := b.check(t, nil, Engine{})
	for _, subject := range []string{"job", "files", "telemetry"} {
		if found.finding(subject, LevelOK).Subject == "" {
			t.Errorf("%s: %+v", subject, found.Findings)
		}
	}
	// This host is no container, and the check sees that.
	if found.finding("sandbox", LevelFailed).Subject == "" {
		t.Errorf("the host passes for a sandbox: %+v", found.Findings)
	}
	for _, limit := range []string{"memory and swap", "pids", "tmpfs"} {
		if !slices.ContainsFunc(found.Findings, func(f Finding) bool {
			return f.Level == LevelFailed && strings.Contains(f.Detail, "limit on "+limit+" does not hold")
		}) {
			t.Errorf("the host passes for one with a limit on %s: %+v", limit, found.Findings)
		}
	}
	if f := found.finding("seccomp", LevelFailed); !strings.Contains(f.Detail, "AF_ALG") {
		t.Errorf("the host passes for one with our filter: %+v", found.Findings)
	}
}

// Of a process executor's check nobody reads about engines, images or containers.
func TestCheckOfProcesses(t *testing.T) {
	for name, change := range map[string]func(*testing.T, *bench){
		"good":           func(*testing.T, *bench) {},
		"no executor":    nil,
		"no interpreter": ends(executor.Exit{Known: true, Code: 127, ExecError: "no such file"}),
		"no Python":      ends(exited(1)),
		"no telemetry":   prints(`"telemetry": {"ok": true`, `"telemetry": {"ok": false`),
		"no Basilisk":    prints(`"basilisk": {"ok": true`, `"basilisk": {"ok": false`),
		"no limits":      prints(`"memory": {"ok": true`, `"memory": {"ok": false`),
	} {
		b := checkBench(t, buildShim(t), confined)
		b.cfg.Executor = config.ExecutorProcess
		var connect error
		if change == nil {
			connect = errors.New("the state directory is not there")
		} else {
			change(t, b)
		}
		found := b.check(t, connect, Engine{})
		if wantOK := name == "good" || name == "no Basilisk" || name == "no limits"; found.OK() != wantOK {
			t.Errorf("%s: OK is %v: %+v", name, found.OK(), found.Findings)
		}
		for _, f := range found.Findings {
			text := f.Subject + " " + f.Detail
			for _, word := range []string{"engine", "image", "container", "tmpfs", "seccomp"} {
				if strings.Contains(text, word) {
					t.Errorf("%s: %q speaks of %s", name, text, word)
				}
			}
		}
	}
}

// A runner in a container is told what it needs; a machine that was made of an
// image, whose marks are left, is not taken for one.
func TestCheckInAContainer(t *testing.T) {
	const marked, kernel, mounts = ".dockerenv", "proc/2/comm", "proc/1/ns/mnt"
	for name, tc := range map[string]struct {
		there []string
		level Level // none: nothing is said
		says  string
	}{
		"a host":                      {[]string{kernel, mounts}, "", ""},
		"a host without rights":       {[]string{kernel}, "", ""},
		"a host made of an image":     {[]string{kernel, mounts, marked}, "", ""},
		"a container":                 {[]string{marked}, LevelFailed, "--pid=host"},
		"another engine's":            {[]string{"run/.containerenv"}, LevelFailed, "--pid=host"},
		"a pod":                       {[]string{"proc/1/cgroup"}, LevelFailed, "pid: host"},
		"with the host's process ids": {[]string{marked, kernel}, LevelOK, "under the same path"},
	} {
		root := t.TempDir()
		write := func(path, text string) {
			if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(root, path)), 0o755), os.WriteFile(filepath.Join(root, path), []byte(text), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		for _, path := range tc.there {
			switch path {
			case kernel:
				write(path, "kthreadd\n")
			case "proc/1/cgroup":
				write(path, "0::/kubepods.slice/x\n")
			case mounts:
				for _, at := range []string{"proc/1/ns", "proc/self/ns"} {
					if err := errors.Join(os.MkdirAll(filepath.Join(root, at), 0o755), os.Symlink("mnt:[1]", filepath.Join(root, at, "mnt"))); err != nil {
						t.Fatal(err)
					}
				}
			default:
				write(path, "")
			}
		}
		c := &checker{cfg: newBench(t).cfg, out: &Checked{}}
		c.container(root)
		switch f := c.out.Findings; {
		case tc.level == "" && len(f) > 0, tc.level != "" && (len(f) != 1 || f[0].Level != tc.level || !strings.Contains(f[0].Detail, tc.says)):
			t.Errorf("%s: %+v, want %s with %q", name, f, tc.level, tc.says)
		}
	}
}

func TestLabels(t *testing.T) {
	for label, says := range map[string]string{
		"": "neither AppArmor nor SELinux", "unconfined": "no profile", "docker-default (enforce)": "AppArmor confines a job with the profile docker-default",
		"system_u:system_r:container_t:s0:c1,c2": "SELinux confines a job as system_u",
	} {
		if got := labelText(label); !strings.Contains(got, says) {
			t.Errorf("%q: %q, want %q", label, got, says)
		}
	}
	for text, says := range map[string]string{"0 0 4294967295": "those of the host", "0 100000 65536": "is user 100000 outside", "": "not known", "x": "not known"} {
		if got := userMapText(text); !strings.Contains(got, says) {
			t.Errorf("%q: %q, want %q", text, got, says)
		}
	}
}

func TestCheckSaysWhoCannotShareContainers(t *testing.T) {
	for uid, warned := range map[int]bool{0: false, 1000: true} {
		c := &checker{cfg: &config.Config{Sandbox: config.Sandbox{Isolation: []string{config.IsolationJob, config.IsolationBatch}}}, out: &Checked{}}
		c.sharing(uid)
		if got := c.out.finding("users", LevelWarning); (got.Detail != "") != warned {
			t.Errorf("user %d: %+v", uid, got)
		}
	}
}
