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

// job lets the executor run a job that looks around.
func (c *checker) job(ctx context.Context, exec executor.Executor, image string, scenario engine.Command, s *slot) {
	if !slices.Contains(c.cfg.Engines, "basilisk") {
		c.add("job", LevelSkipped, "only engines that run Python are tried")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	found, err := c.runProbe(ctx, exec, image, scenario, s)
	if err != nil {
		c.out.Unreachable = c.out.Unreachable || errors.Is(err, executor.ErrUnavailable)
		c.add("job", LevelFailed, "%v", err)
		return
	}
	c.judge(found, exec.Name())
}

// runProbe makes the probe's directories, runs it, and removes everything.
func (c *checker) runProbe(ctx context.Context, exec executor.Executor, image string, scenario engine.Command, s *slot) (found *probed, err error) {
	spec := executor.Spec{
		AttemptID: "lynx-check-" + strings.ToLower(rand.Text()[:12]), JobID: "lynx-check", BatchID: "lynx-check",
		Argv: []string{c.cfg.PythonExecutable, "-c", probeProgram}, Image: image,
		WorkDir: c.cfg.WorkingDirectory, DataMounts: c.cfg.DataMounts,
		User:    specs.User{UID: uint32(s.uid), GID: uint32(s.gid)},
		Sandbox: c.cfg.JobSandbox(c.cfg.Limits.CPUMillis, c.cfg.Limits.MemoryBytes),
		Timeout: checkLimit, Telemetry: true, LogHead: 1 << 20, LogTail: 1 << 20,
	}
	if scenario.Entrypoint != "" {
		spec.Argv = append(spec.Argv, scenario.Entrypoint)
	}
	spec.Env = environment(spec.Sandbox, map[string]string{"TMPDIR": jobTmp(c.cfg)}, scenario.Env, c.cfg.Environment)
	dir, err := os.MkdirTemp(c.cfg.OutputRoot, ".lynx-check-")
	if err != nil {
		return nil, fmt.Errorf("output_root: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if spec.RuntimeDir, err = os.MkdirTemp(c.cfg.RuntimeDir, ""); err != nil {
		return nil, fmt.Errorf("runtime_dir: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(spec.RuntimeDir)) }()
	spec.OutputDir, spec.LogDir, spec.RunConfig = filepath.Join(dir, outputDir), filepath.Join(dir, logDir), filepath.Join(dir, runConfigFile)
	err = errors.Join(os.Chmod(dir, 0o755), os.Chmod(spec.RuntimeDir, 0o755), os.Mkdir(spec.OutputDir, 0o750), os.Mkdir(spec.LogDir, 0o750),
		os.Chown(spec.OutputDir, s.uid, s.gid), os.Chown(spec.LogDir, s.uid, s.gid), os.WriteFile(spec.RunConfig, []byte("{}\n"), 0o644))
	if err != nil {
		return nil, err
	}
	server, err := telemetry.Serve(telemetry.Config{
		AttemptID: spec.AttemptID, Socket: filepath.Join(spec.RuntimeDir, executor.TelemetrySocket), LogPath: filepath.Join(dir, "telemetry.log"),
	})
	if err != nil {
		return nil, fmt.Errorf("telemetry: %w", err)
	}
	exit, err := runToEnd(ctx, exec, spec)
	_, finishErr := server.Finish(context.WithoutCancel(ctx))
	if err = errors.Join(err, finishErr); err != nil {
		return nil, err
	}
	return readProbe(spec, exit)
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

// readProbe reads what the job printed.
func readProbe(spec executor.Spec, exit executor.Exit) (*probed, error) {
	python := spec.Argv[0]
	if exit.ExecError != "" {
		return nil, fmt.Errorf("%s can't be executed: %s; python_executable must be the path of a Python 3 in the image", python, strings.TrimSuffix(exit.ExecError, "."))
	}
	stdout, err := os.ReadFile(filepath.Join(spec.LogDir, "stdout.log"))
	if err != nil {
		return nil, fmt.Errorf("the job's output: %w", err)
	}
	var found probed
	lines := bytes.Split(bytes.TrimSpace(stdout), []byte("\n"))
	if !exit.Known || exit.Code != 0 || json.Unmarshal(lines[len(lines)-1], &found) != nil {
		stderr, _ := os.ReadFile(filepath.Join(spec.LogDir, "stderr.log"))
		return nil, fmt.Errorf("%s ended with status %d and does not behave like a Python 3: %.500q; python_executable must be one in the image",
			python, exit.Code, bytes.TrimSpace(append(stdout, stderr...)))
	}
	return &found, nil
}

// judge says what the job's findings mean.
func (c *checker) judge(found *probed, executorName string) {
	c.add("job", LevelOK, "a job ran and left nothing; its Python is %s", found.Python)
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
			"a job's telemetry does not arrive at the runner (%s); is runtime_dir on a file system that the engine sees as well?"},
		{"basilisk", found.Basilisk, LevelWarning, "Basilisk " + found.Basilisk.text(),
			"the image's Python has no Basilisk (%s); scenarios that use it will fail"},
	} {
		if p.probe.OK {
			c.add(p.subject, LevelOK, "%s", p.good)
		} else {
			c.add(p.subject, p.level, p.bad, p.probe.text())
		}
	}
	if executorName == "docker" {
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
	var open []string
	for _, hole := range []struct {
		open bool
		what string
	}{
		{strings.HasPrefix(s.Uid, "0\t"), "it runs as user 0"},
		{strings.Trim(s.CapEff, "0") != "", "it has capabilities (" + s.CapEff + ")"},
		{s.NoNewPrivs != "1", "it can gain privileges"},
		{s.Seccomp != "2", "its system calls are not filtered"},
		{len(slices.DeleteFunc(interfaces, func(n string) bool { return n == "lo" })) > 0, "it has a network"},
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
	c.add("sandbox", LevelOK, "no network, no capabilities, no root user, read-only image, system calls filtered")
}
