package runner

import (
	"bytes"
	"context"
	"crypto/rand"
	_ "embed" // for the probe
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/runner/config"
	"github.com/tetryx/lynx-runner/internal/runner/engine"
	"github.com/tetryx/lynx-runner/internal/runner/telemetry"
)

//go:embed check_probe.py
var probeProgram string

// checkLimit is how long the check's job may take, its start included.
const checkLimit = time.Minute

// probe is one thing that the job tried.
type probe struct {
	OK    bool            `json:"ok"`
	Value json.RawMessage `json:"value"`
}

// text is the probe's value, for people.
func (p probe) text() string {
	var s string
	if json.Unmarshal(p.Value, &s) == nil {
		return s
	}
	return string(p.Value)
}

// probed is what check_probe.py prints.
type probed struct {
	Python                                            string
	Telemetry, Files, Basilisk, Status, Network, Root probe
}

// job lets the executor run a job that looks around, and if that went well another
// that goes against its limits.
func (c *checker) job(ctx context.Context, exec executor.Executor, image string, scenario engine.Command, s *slot) {
	if !slices.Contains(c.cfg.Engines, config.EngineBasilisk) {
		c.add("job", LevelSkipped, "only engines that run Python are tried")
		return
	}
	first, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	t := trial{
		program: probeProgram, image: image, slot: s, env: scenario.Env,
		sandbox: c.cfg.JobSandbox(c.cfg.Limits.CPUMillis, c.cfg.Limits.MemoryBytes),
	}
	if scenario.Entrypoint != "" {
		t.args = []string{scenario.Entrypoint}
	}
	var found probed
	if err := c.run(first, exec, t, &found); err != nil {
		c.out.Unreachable = c.out.Unreachable || errors.Is(err, executor.ErrUnavailable)
		c.add("job", LevelFailed, "%v%s", err, c.samePaths())
		return
	}
	c.judge(&found)
	c.limits(ctx, exec, image, s)
}

// samePaths is a hint for a runner in a container, where an engine's word on a path
// that is not there puzzles.
func (c *checker) samePaths() string {
	if !inContainer("/") || c.isProcess() {
		return ""
	}
	return "; this runner is in a container, and its directories must have the same paths there as on the host"
}

// trial is a job of the check's own: a program for the configured Python.
type trial struct {
	program string
	args    []string
	image   string
	env     map[string]string
	sandbox executor.Sandbox
	slot    *slot
}

// run makes a trial's directories, runs it, decodes the last line that it printed,
// and removes everything.
func (c *checker) run(ctx context.Context, exec executor.Executor, t trial, into any) (err error) {
	spec := executor.Spec{
		AttemptID: "lynx-check-" + strings.ToLower(rand.Text()[:12]), JobID: "lynx-check", BatchID: "lynx-check",
		Argv: append([]string{c.cfg.PythonExecutable, "-c", t.program}, t.args...), Image: t.image,
		WorkDir: c.cfg.WorkingDirectory, DataMounts: c.cfg.DataMounts,
		User:    specs.User{UID: uint32(t.slot.uid), GID: uint32(t.slot.gid)},
		Sandbox: t.sandbox, Timeout: checkLimit, Telemetry: true, LogHead: 1 << 20, LogTail: 1 << 20,
	}
	spec.Env = environment(spec.Sandbox, map[string]string{"TMPDIR": jobTmp(c.cfg)}, t.env, c.cfg.Environment)
	dir, err := os.MkdirTemp(c.cfg.OutputRoot, ".lynx-check-")
	if err != nil {
		return fmt.Errorf("output_root: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if spec.RuntimeDir, err = os.MkdirTemp(c.cfg.RuntimeDir, ""); err != nil {
		return fmt.Errorf("runtime_dir: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(spec.RuntimeDir)) }()
	spec.OutputDir, spec.LogDir, spec.RunConfig = filepath.Join(dir, outputDir), filepath.Join(dir, logDir), filepath.Join(dir, runConfigFile)
	err = errors.Join(os.Chmod(dir, 0o755), os.Chmod(spec.RuntimeDir, 0o755), os.Mkdir(spec.OutputDir, 0o750), os.Mkdir(spec.LogDir, 0o750),
		os.Chown(spec.OutputDir, t.slot.uid, t.slot.gid), os.Chown(spec.LogDir, t.slot.uid, t.slot.gid), os.WriteFile(spec.RunConfig, []byte("{}\n"), 0o644))
	if err != nil {
		return err
	}
	server, err := telemetry.Serve(telemetry.Config{
		AttemptID: spec.AttemptID, Socket: filepath.Join(spec.RuntimeDir, executor.TelemetrySocket), LogPath: filepath.Join(dir, "telemetry.log"),
	})
	if err != nil {
		return fmt.Errorf("telemetry: %w", err)
	}
	exit, err := runToEnd(ctx, exec, spec)
	_, finishErr := server.Finish(context.WithoutCancel(ctx))
	if err = errors.Join(err, finishErr); err != nil {
		return err
	}
	return c.read(spec, exit, into)
}

// runToEnd starts an attempt, waits for its end, or brings it about when ctx
// ends, and removes it.
func runToEnd(ctx context.Context, exec executor.Executor, spec executor.Spec) (executor.Exit, error) {
	handle, err := exec.Start(ctx, spec)
	if err != nil {
		return executor.Exit{}, err
	}
	exit, err := handle.Wait(ctx)
	after := context.WithoutCancel(ctx)
	if err != nil {
		_, killErr := handle.Kill(after)
		err = errors.Join(fmt.Errorf("the job did not end within %v: %w", checkLimit, err), killErr)
	}
	return exit, errors.Join(err, handle.Remove(after))
}

// read decodes what a trial printed.
func (c *checker) read(spec executor.Spec, exit executor.Exit, into any) error {
	python, where := spec.Argv[0], "in the image"
	if c.isProcess() {
		where = "on this host, which the jobs' users may execute (`make venv` makes one)"
	}
	if exit.ExecError != "" {
		return fmt.Errorf("%s can't be executed: %s; python_executable must be the path of a Python 3 %s", python, strings.TrimSuffix(exit.ExecError, "."), where)
	}
	stdout, err := os.ReadFile(filepath.Join(spec.LogDir, "stdout.log"))
	if err != nil {
		return fmt.Errorf("the job's output: %w", err)
	}
	lines := bytes.Split(bytes.TrimSpace(stdout), []byte("\n"))
	if !exit.Known || exit.Code != 0 || json.Unmarshal(lines[len(lines)-1], into) != nil {
		stderr, _ := os.ReadFile(filepath.Join(spec.LogDir, "stderr.log"))
		return fmt.Errorf("%s ended with status %d and does not behave like a Python 3: %.500q; python_executable must be the path of one %s",
			python, exit.Code, bytes.TrimSpace(append(stdout, stderr...)), where)
	}
	return nil
}

// judge says what the job's findings mean.
func (c *checker) judge(found *probed) {
	c.add("job", LevelOK, "a job ran and left nothing; its Python is %s", found.Python)
	seenBy, python, remedy := "a file system that the engine sees as well", "the image's Python", "take the image lynx-basilisk (`make image`), or one on top of it"
	if c.isProcess() {
		seenBy, python, remedy = "this host's own file system", "this Python", "name one that has it as python_executable (`make venv` makes one)"
	}
	for _, p := range []struct {
		subject string
		probe   probe
		level   Level
		good    string
		bad     string
	}{
		{"files", found.Files, LevelFailed, "a job can read its configuration and the working directory, and write its output",
			"a job can't use its files (%s): is everything in working_directory readable for everybody?"},
		{"telemetry", found.Telemetry, LevelFailed, "a job's telemetry arrives at the runner",
			"a job's telemetry does not arrive at the runner (%s); is runtime_dir on " + seenBy + "?"},
		{"basilisk", found.Basilisk, LevelWarning, "Basilisk " + found.Basilisk.text(),
			python + " has no Basilisk (%s); scenarios that use it will fail: " + remedy},
	} {
		if p.probe.OK {
			c.add(p.subject, LevelOK, "%s", p.good)
		} else {
			c.add(p.subject, p.level, p.bad, p.probe.text())
		}
	}
	if !c.isProcess() {
		c.sandbox(found)
	}
}

// sandbox compares what the job saw of its sandbox with what it should be.
func (c *checker) sandbox(found *probed) {
	var s struct{ Uid, CapEff, NoNewPrivs, Seccomp string } //nolint:revive // the kernel's spelling
	var interfaces []string
	var rootWritable bool
	if err := errors.Join(json.Unmarshal(found.Status.Value, &s), json.Unmarshal(found.Network.Value, &interfaces), json.Unmarshal(found.Root.Value, &rootWritable)); err != nil {
		c.add("sandbox", LevelWarning, "nothing can be said about the sandbox: %v", err)
		return
	}
	relaxed := c.cfg.Sandbox
	networked := relaxed.Network != "" && relaxed.Network != config.NetworkNone
	var open []string
	for _, hole := range []struct {
		open bool
		what string
	}{
		{strings.HasPrefix(s.Uid, "0\t"), "it runs as user 0"},
		{strings.Trim(s.CapEff, "0") != "" && len(relaxed.Capabilities) == 0, "it has capabilities (" + s.CapEff + ")"},
		{s.NoNewPrivs != "1", "it can gain privileges"},
		{s.Seccomp != "2" && relaxed.Runtime == "", "its system calls are not filtered"},
		{slices.ContainsFunc(interfaces, func(n string) bool { return n != "lo" }) && !networked, "it has a network"},
		{rootWritable, "it can write to the image's files"},
	} {
		if hole.open {
			open = append(open, hole.what)
		}
	}
	if len(open) > 0 {
		c.add("sandbox", LevelFailed, "a job is not as confined as it should be: %s; the engine does not do what it is asked", strings.Join(open, ", "))
		return
	}
	if len(relaxed.Capabilities) > 0 && strings.Trim(s.CapEff, "0") == "" {
		c.add("sandbox", LevelWarning, "jobs do not have the capabilities of sandbox.capabilities: the kernel takes them from every user but 0, which jobs are only under a rootless or remapping engine")
	}
	walls := []string{"no root user", "read-only image", "system calls filtered"}
	if len(relaxed.Capabilities) == 0 {
		walls = slices.Insert(walls, 0, "no capabilities")
	}
	if !networked {
		walls = slices.Insert(walls, 0, "no network")
	}
	c.add("sandbox", LevelOK, "%s", strings.Join(walls, ", "))
}
