package config

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/strictyaml"
)

// moduleName is a Python module's, with what marks it as one that may be missing.
var moduleName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*\??$`)

// maxSlots is how many jobs a runner runs at a time at most.
const maxSlots = 1024

// DefaultServer is the address of a platform's gRPC interface on this host.
const DefaultServer = "127.0.0.1:5970"

// defaults is the configuration with nothing said.
func defaults(h host) *Config {
	return &Config{
		RunnerID:          h.runnerID(),
		Server:            DefaultServer,
		Executor:          ExecutorDocker,
		Engines:           []string{EngineBasilisk},
		Capabilities:      Capabilities{CPUCores: float64(h.cpus), MemoryGB: float64(h.memory>>20) / 1024},
		PythonExecutable:  "/usr/bin/python3",
		Preload:           defaultPreload(),
		WorkingDirectory:  ".",
		OutputRoot:        "lynx-output",
		UIDs:              UIDRange{First: 1_600_000_000, Last: 1_600_065_535},
		MaxConcurrentJobs: min(h.cpus, maxSlots),
		MaxStarts:         min(h.cpus, maxSlots),
		Image:             "lynx-basilisk",
		PullPolicy:        PullNever,
		Shim:              filepath.Join(filepath.Dir(h.executable), "lynx-shim"),
		StateDir:          h.stateDir(),
		RuntimeDir:        h.runtime(),
		LockDir:           h.locks(),
		OnRunnerLoss:      RunnerLossContinue,
		OnRunnerLossFor:   time.Hour,
		Sandbox:           Sandbox{Seccomp: SeccompDefault, Network: NetworkNone, Isolation: []string{IsolationJob}},
		Reserve:           defaultReserve(h),
		Limits:            defaultLimits(h),
	}
}

// defaultPreload is what most Basilisk scenarios import that takes long to.
func defaultPreload() []string {
	return []string{
		"lynx_sdk?", "lynx_sdk._buffer?", "grpc?", "numpy?", "numpy.random?", "numpy.typing?",
		"PIL.BmpImagePlugin?", "PIL.GifImagePlugin?", "PIL.JpegImagePlugin?", "PIL.PngImagePlugin?", "PIL.PpmImagePlugin?",
		"matplotlib.pyplot?", "matplotlib.figure?", "matplotlib.backends.backend_agg?",
		"Basilisk.simulation.spacecraft?", "Basilisk.utilities.SimulationBaseClass?", "Basilisk.utilities.macros?",
		"Basilisk.utilities.orbitalMotion?", "Basilisk.utilities.simIncludeGravBody?",
	}
}

func defaultLimits(h host) Limits {
	return Limits{
		CPUMillis:    executor.DefaultCPUMillis,
		MaxCPUMillis: int64(h.cpus) * 1000,
		MemoryBytes:  executor.DefaultMemoryBytes,
		Timeout:      time.Hour,
		MaxTimeout:   24 * time.Hour,
		Grace:        10 * time.Second,
		Pids:         executor.DefaultPids,
		TmpBytes:     executor.DefaultTmpBytes,
		HomeBytes:    executor.DefaultHomeBytes,
		ShmBytes:     executor.DefaultShmBytes,
		Output:       OutputLimits{TotalBytes: 2 << 30, FileBytes: executor.DefaultFileBytes, Files: 10_000, Depth: 32},
		LogHead:      8 << 20,
		LogTail:      8 << 20,
	}
}

// resolver makes a Config of a document and collects what is wrong.
type resolver struct {
	cfg   *Config
	doc   *document
	host  host
	file  *strictyaml.Document // nil if there is none
	other []strictyaml.Error
}

// resolve lays the document over the defaults and checks the whole.
func resolve(doc *document, h host, origins map[string]Origin, file *strictyaml.Document) (*Config, error) {
	r := &resolver{cfg: defaults(h), doc: doc, host: h, file: file}
	r.cfg.origins = origins
	r.general()
	r.commands()
	r.capabilities()
	r.gpus()
	r.reserve()
	r.images()
	r.sandbox()
	r.limits()
	r.fits()
	r.paths()
	r.retention()
	r.environment()
	r.relaxations()
	return r.result()
}

// errorf records what is wrong with the value at path, where it was set.
func (r *resolver) errorf(path, format string, args ...any) {
	origin := r.cfg.Origin(path)
	if origin.Kind == "file" {
		r.file.Errorf(path, format, args...)
		return
	}
	r.other = append(r.other, strictyaml.Error{File: origin.Name, Path: path, Message: fmt.Sprintf(format, args...)})
}

func (r *resolver) result() (*Config, error) {
	var list []strictyaml.Error
	if r.file != nil {
		var errs *strictyaml.Errors
		if errors.As(r.file.Err(), &errs) {
			list = errs.List
		}
	}
	if list = append(list, r.other...); len(list) > 0 {
		return nil, &strictyaml.Errors{List: list}
	}
	return r.cfg, nil
}

// set copies a value that the document has.
func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

func (r *resolver) general() {
	c, d := r.cfg, r.doc
	set(&c.RunnerID, d.RunnerID)
	set(&c.Server, d.Server)
	set(&c.Executor, d.Executor)
	set(&c.BasiliskEntrypoint, d.BasiliskEntrypoint)
	set(&c.OutputOwner, d.Sandbox.OutputOwner)
	set(&c.UIDs, d.Sandbox.UIDRange)
	if d.Engines != nil {
		c.Engines = d.Engines
	}
	if !validID.MatchString(c.RunnerID) {
		r.errorf("runner_id", "%q is not an id: want 1 to 63 letters, digits, dots, dashes and underscores, a letter or digit first", c.RunnerID)
	}
	if c.Executor != ExecutorDocker && c.Executor != ExecutorProcess {
		r.errorf("executor", "%q is not an executor; want docker or process", c.Executor)
	}
	r.runnerLoss()
	r.python()
	if d.Preload != nil {
		c.Preload = d.Preload
	}
	for _, name := range c.Preload {
		if !moduleName.MatchString(name) {
			r.errorf("preload", "%q is not a Python module's name; want one such as numpy or Basilisk.utilities.macros, with a ? behind it if an image may be without", name)
		}
	}
	if len(c.Engines) == 0 {
		r.errorf("engines", "is empty; a runner needs an engine, basilisk or command")
	}
	for _, name := range c.Engines {
		if name != EngineBasilisk && name != EngineCommand {
			r.errorf("engines", "%q is not an engine; want basilisk or command", name)
		}
	}
	if e := c.BasiliskEntrypoint; e != "" && !filepath.IsLocal(e) {
		r.errorf("basilisk_entrypoint", "%q does not lie below working_directory; want a relative path without \"..\"", e)
	}
}

// runnerLoss reads what becomes of jobs whose runner is killed.
func (r *resolver) runnerLoss() {
	c, d := r.cfg, r.doc
	set(&c.OnRunnerLoss, d.OnRunnerLoss)
	if c.OnRunnerLoss != RunnerLossContinue && c.OnRunnerLoss != RunnerLossKill {
		r.errorf("on_runner_loss", "%q is not what can become of jobs; want continue or kill", c.OnRunnerLoss)
	}
	if d.OnRunnerLossFor == nil {
		return
	}
	if c.OnRunnerLossFor = time.Duration(*d.OnRunnerLossFor); c.OnRunnerLossFor < time.Second || c.OnRunnerLossFor > time.Duration(decade) {
		r.errorf("on_runner_loss_for", "%v is out of range; want %v to %v", c.OnRunnerLossFor, time.Second, time.Duration(decade))
	}
}

// python settles the interpreter. For processes it is one of this host: by
// default the environment that `make venv` makes below the current directory.
func (r *resolver) python() {
	c := r.cfg
	if c.Executor == ExecutorProcess && r.host.venv != "" {
		c.PythonExecutable = r.host.venv
	}
	set(&c.PythonExecutable, r.doc.PythonExecutable)
	switch p := c.PythonExecutable; {
	case p == "" && c.Executor == ExecutorProcess:
		r.errorf("python_executable", "is empty; want the interpreter's path on this host, such as /usr/bin/python3")
	case p == "":
		r.errorf("python_executable", "is empty; want the interpreter's path in the image, such as /usr/bin/python3")
	case c.Executor == ExecutorProcess && strings.Contains(p, "/"):
		abs, err := filepath.Abs(p) // the job has another current directory
		if err != nil {
			r.errorf("python_executable", "%q cannot be made absolute: %v", p, err)
		}
		c.PythonExecutable = abs
	}
}

func (r *resolver) capabilities() {
	c := r.cfg
	d := r.doc.Capabilities
	if d == nil {
		d = &capabilities{}
	}
	const path = "capabilities"
	set(&c.MaxConcurrentJobs, d.MaxConcurrentJobs)
	set(&c.MaxConcurrentJobs, r.doc.MaxConcurrentJobs)
	set(&c.Capabilities.CPUCores, d.CPUCores)
	set(&c.Capabilities.MemoryGB, d.MemoryGB)
	set(&c.Capabilities.GPUAvailable, d.GPUAvailable)
	c.Capabilities.SimulationTypes = c.simulationTypes()
	if d.SupportedSimulationTypes != nil {
		c.Capabilities.SimulationTypes = d.SupportedSimulationTypes
	}
	if a, b := d.MaxConcurrentJobs, r.doc.MaxConcurrentJobs; a != nil && b != nil && *a != *b && r.cfg.Origin("max_concurrent_jobs").Kind == r.cfg.Origin(path).Kind {
		r.errorf("max_concurrent_jobs", "is %d here and %d in capabilities; leave one of them out", *b, *a)
	}
	if n := c.MaxConcurrentJobs; n < 1 || n > maxSlots {
		r.errorf("max_concurrent_jobs", "%d is not a number of slots; want 1 to %d", n, maxSlots)
	}
	set(&c.MaxStarts, r.doc.MaxStarts)
	if n := c.MaxStarts; n < 1 || n > maxSlots {
		r.errorf("max_concurrent_starts", "%d is not a number of containers that start at the same time; want 1 to %d", n, maxSlots)
	}
	if n := c.UIDs.Last - c.UIDs.First + 1; n < c.MaxConcurrentJobs {
		r.errorf("sandbox.uid_range", "has %d user ids for %d slots; want at least one for each", n, c.MaxConcurrentJobs)
	}
	for _, f := range []struct {
		name  string
		value float64
	}{{"cpu_cores", c.Capabilities.CPUCores}, {"memory_gb", c.Capabilities.MemoryGB}} {
		if f.value <= 0 {
			r.errorf(path, "%s is %v; want a number greater than 0", f.name, f.value)
		}
	}
	if len(c.Capabilities.SimulationTypes) == 0 || slices.Contains(c.Capabilities.SimulationTypes, "") {
		r.errorf(path, "supported_simulation_types must name at least one type, and none may be empty")
	}
}

func (r *resolver) images() {
	c := r.cfg
	set(&c.Image, r.doc.Image)
	set(&c.PullPolicy, r.doc.Sandbox.PullPolicy)
	if executor.IsImagePattern(c.Image) {
		r.errorf("image", "%q stands for more than one image; patterns are for sandbox.allowed_images", c.Image)
	}
	r.must("image", executor.CheckImage(c.Image))
	if !slices.Contains([]string{PullNever, PullIfMissing, PullAlways}, c.PullPolicy) {
		r.errorf("sandbox.pull_policy", "%q is not a pull policy; want never, if-missing or always", c.PullPolicy)
	}
	c.AllowedImages = append([]string{c.Image}, slices.DeleteFunc(slices.Clone(r.doc.Sandbox.AllowedImages), func(s string) bool { return s == c.Image })...)
	for _, image := range c.commandImages() {
		if !slices.Contains(c.AllowedImages, image) {
			c.AllowedImages = append(c.AllowedImages, image)
		}
	}
	for _, image := range r.doc.Sandbox.AllowedImages {
		r.must("sandbox.allowed_images", executor.CheckImage(image))
	}
}

// reserved are the variables of a job's environment that the runner sets itself.
var reserved = []string{"HOME", "TMPDIR", "TETRYX_RUN_CONFIG", "TETRYX_TELEMETRY_URL", "TETRYX_TELEMETRY_TARGET", "TETRYX_OUTPUT_DIR"}

func (r *resolver) environment() {
	r.cfg.Environment = r.doc.Environment
	for _, name := range slices.Sorted(maps.Keys(r.doc.Environment)) {
		switch {
		case name == "" || strings.ContainsAny(name, "=\x00"):
			r.errorf("environment", "%q is not a variable's name", name)
		case slices.Contains(reserved, name):
			r.errorf("environment", "%s is set by the runner for each job and cannot be overridden", name)
		case strings.ContainsRune(r.doc.Environment[name], 0):
			r.errorf("environment", "the value of %s contains a NUL character", name)
		}
	}
}
