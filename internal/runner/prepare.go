package runner

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/runner/config"
	"github.com/tetryx/lynx-runner/internal/runner/engine"
)

// prepare makes everything that a start needs but the runtime directory.
func (j *job) prepare(rec *record) error {
	var err error
	if rec.paths, err = j.makeDirectories(); err != nil {
		return fmt.Errorf("attempt directory: %w", err)
	}
	j.writeDown(rec)
	eng := engine.For(j.r.engines, j.a.GetSimulation().GetType())
	rec.engine = eng.Name()
	rec.image = j.image(engine.Command{})
	command, err := eng.Command(j.engineJob())
	if err != nil {
		return err
	}
	rec.entry, rec.program, rec.image = command.Entrypoint, command.Origin, j.image(command)
	if rec.spec, err = j.limited(rec.image); err != nil {
		return err
	}
	if j.r.cfg.WorkingDirectory != "" {
		if rec.digest, err = j.r.code.sum(j.startCtx); err != nil {
			rec.warnings = append(rec.warnings, "The code's digest is not known: "+sentence(err.Error()))
		}
	}
	err = j.patiently(func(ctx context.Context) (err error) {
		rec.imageID, err = j.r.deps.Executor.Resolve(ctx, rec.image)
		return err
	})
	if err != nil {
		return err
	}
	j.complete(rec, command)
	return j.shareContainer(rec, command)
}

// engineJob is what the engine needs to know of the attempt.
func (j *job) engineJob() engine.Job {
	s := j.a.GetSimulation()
	return engine.Job{
		Type: s.GetType(), Command: s.GetCommand(), Entrypoint: s.GetEntrypoint(),
		HostWork: j.r.cfg.WorkingDirectory, Work: executor.ContainerWork, Tmp: jobTmp(j.r.cfg),
	}
}

// image is the reference that the job runs: the batch's, else the one of the
// named command, else the runner's.
func (j *job) image(command engine.Command) string {
	return cmp.Or(j.a.GetCompute().GetImage(), command.Image, j.r.cfg.Image)
}

// programText says what the setting that the command comes from must name, for a
// command that could not be executed.
func programText(rec *record) string {
	switch {
	case len(rec.spec.Argv) == 0:
		return ""
	case rec.imageID == "":
		return fmt.Sprintf("%s (%s) must be a program of the runner's host that the job's user may execute.", rec.program, rec.spec.Argv[0])
	}
	return fmt.Sprintf("%s (%s) must be a program in the image %q.", rec.program, rec.spec.Argv[0], rec.image)
}

// limited is a specification with the limits that the batch asks for, none above
// what the owner of this runner allows.
func (j *job) limited(image string) (executor.Spec, error) {
	c, l := j.a.GetCompute(), j.r.cfg.Limits
	switch {
	case !j.r.cfg.AllowsImage(image):
		return executor.Spec{}, invalid("the image %q is not allowed on this runner; it allows %q (sandbox.allowed_images in its configuration)", image, j.r.cfg.AllowedImages)
	case c.GetIsolation() != "" && !slices.Contains(j.r.cfg.Sandbox.Isolation, c.GetIsolation()):
		return executor.Spec{}, invalid("the batch asks for the isolation %q (compute.isolation), and this runner allows %q (sandbox.isolation in its configuration)", c.GetIsolation(), j.r.cfg.Sandbox.Isolation)
	case c.GetGpus() > j.r.admission.capacity.gpus:
		return executor.Spec{}, invalid("the batch asks for %d GPUs (gpu_request), and this runner offers %d (gpus in its configuration)", c.GetGpus(), j.r.admission.capacity.gpus)
	case c.GetCpuMillis() > l.MaxCPUMillis:
		return executor.Spec{}, invalid("the batch asks for %d thousandths of a CPU (cpu_request), and this runner allows %d (sandbox.max_cpu)", c.GetCpuMillis(), l.MaxCPUMillis)
	case c.GetMemoryBytes() > l.MaxMemoryBytes:
		return executor.Spec{}, invalid("the batch asks for %s of memory (memory_request), and this runner allows %s (sandbox.max_memory)", bytesText(c.GetMemoryBytes()), bytesText(l.MaxMemoryBytes))
	case c.GetTimeout().AsDuration() > l.MaxTimeout:
		return executor.Spec{}, invalid("the batch asks for a time limit of %v (job_timeout_seconds), and this runner allows %v (sandbox.max_timeout)", c.GetTimeout().AsDuration(), l.MaxTimeout)
	}
	if need, most := j.ticket.need, j.r.admission.capacity; !need.within(most) {
		return executor.Spec{}, invalid("the batch asks for %d thousandths of a CPU (cpu_request) and %s of memory (memory_request), and all jobs of this runner together are given %d and %s (capabilities and reserve.memory in its configuration)",
			need.cpu, bytesText(need.memory), most.cpu, bytesText(most.memory))
	}
	spec := executor.Spec{
		Timeout: positive(c.GetTimeout().AsDuration(), l.Timeout), Grace: l.Grace, LogHead: l.LogHead, LogTail: l.LogTail,
		Sandbox: j.r.cfg.JobSandbox(positive(c.GetCpuMillis(), l.CPUMillis), positive(c.GetMemoryBytes(), l.MemoryBytes)),
	}
	return spec, nil
}

func invalid(format string, args ...any) error {
	return &engine.InvalidError{Message: fmt.Sprintf(format, args...)}
}

// positive is v, or def where nothing was asked for.
func positive[T ~int64](v, def T) T {
	if v > 0 {
		return v
	}
	return def
}

// complete fills in what does not depend on limits.
func (j *job) complete(rec *record, command engine.Command) {
	s := &rec.spec
	s.AttemptID, s.JobID, s.BatchID = j.a.GetAttemptId(), j.a.GetJobId(), j.a.GetBatchId()
	s.Argv, s.Image = command.Argv, rec.imageID
	dir := rec.paths.dir
	s.WorkDir, s.OutputDir = j.r.cfg.WorkingDirectory, filepath.Join(dir, outputDir)
	s.LogDir, s.RunConfig = filepath.Join(dir, logDir), filepath.Join(dir, runConfigFile)
	s.DataMounts = j.r.cfg.DataMounts
	s.User = specs.User{UID: uint32(j.slot.uid), GID: uint32(j.slot.gid)}
	s.Telemetry, s.RunnerLoss = true, runnerLoss(j.r.cfg)
	s.Env = environment(s.Sandbox, map[string]string{"TMPDIR": jobTmp(j.r.cfg)}, command.Env, j.r.cfg.Environment)
}

// jobTmp is TMPDIR as jobs of this runner see it.
func jobTmp(cfg *config.Config) string {
	if cfg.Executor == config.ExecutorProcess {
		return executor.HostTmp
	}
	return "/tmp"
}

// jobPath is a job's PATH, unless the runner's file says otherwise.
const jobPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// environment builds a job's environment from nothing: the runner's, then the
// engine's, then the configuration's, of which the last wins.
func environment(s executor.Sandbox, layers ...map[string]string) []string {
	cpus := strconv.FormatInt(max(*s.Resources.CPU.Quota/executor.CPUPeriod, 1), 10)
	env := map[string]string{
		"PATH":                 jobPath,
		"HOME":                 executor.ContainerHome,
		"LANG":                 "C.UTF-8",
		"PYTHONHASHSEED":       "0",
		"OMP_NUM_THREADS":      cpus,
		"OPENBLAS_NUM_THREADS": cpus,
		"TETRYX_RUN_CONFIG":    executor.ContainerRunConfig,
		"TETRYX_OUTPUT_DIR":    executor.ContainerOutput,
	}
	for _, layer := range layers {
		maps.Copy(env, layer)
	}
	list := make([]string, 0, len(env))
	for _, name := range slices.Sorted(maps.Keys(env)) {
		list = append(list, name+"="+env[name])
	}
	return list
}
