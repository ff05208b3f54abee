package config

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/tetryx/lynx-runner/internal/strictyaml"
)

var testHost = host{
	uid: 1000, name: "lab host!", executable: "/opt/lynx/bin/lynx-runner", cpus: 4, memory: 16 << 30,
	home: "/home/u", runtimeDir: "/run/user/1000", tmp: "/tmp",
}

// jobMemory is what the default reserve of 1638 MiB leaves of testHost's memory, in
// GiB.
const jobMemory = 14.4

// loadText loads a file with this text; work lies beside the output root, so
// that the defaults do not collide.
func loadText(t *testing.T, text string, environ []string, flags map[string]string) (*Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "runner.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return load(nil, path, append([]string{"LYNX_RUNNER_WORKING_DIRECTORY=/srv/work"}, environ...), flags, testHost)
}

func mustLoad(t *testing.T, text string, environ []string, flags map[string]string) *Config {
	t.Helper()
	c, err := loadText(t, text, environ, flags)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDefaults(t *testing.T) {
	c := mustLoad(t, "{}", nil, nil)
	cwd, _ := os.Getwd()
	want := &Config{
		RunnerID: "lab-host", Server: "127.0.0.1:5970", Executor: "docker", Engines: []string{"basilisk"},
		Capabilities:     Capabilities{CPUCores: 4, MemoryGB: jobMemory, SimulationTypes: []string{"basilisk"}},
		Preload:          defaultPreload(),
		PythonExecutable: "/usr/bin/python3", WorkingDirectory: "/srv/work", OutputRoot: filepath.Join(cwd, "lynx-output"),
		UIDs: UIDRange{1_600_000_000, 1_600_065_535}, MaxConcurrentJobs: 4, MaxStarts: 4,
		Image: "lynx-basilisk", AllowedImages: []string{"lynx-basilisk"}, PullPolicy: "never",
		Shim:     "/opt/lynx/bin/lynx-shim",
		StateDir: "/home/u/.local/state/lynx-runner", RuntimeDir: "/run/user/1000/lynx-runner", LockDir: "/run/user/1000/lynx-runner/lock",
		OnRunnerLoss: "continue", OnRunnerLossFor: time.Hour,
		Reserve: Reserve{Disk: DiskReserve{Percent: 5, Bytes: 2 << 30}, MemoryBytes: 1638 << 20}, HostMemoryBytes: 16 << 30,
		Sandbox: Sandbox{
			Seccomp: "default", Network: "none", Isolation: []string{"job"},
			Rlimits: []specs.POSIXRlimit{{Type: "RLIMIT_CORE"}, {Type: "RLIMIT_NOFILE", Soft: 4096, Hard: 4096}},
		},
		Limits: Limits{
			CPUMillis: 1000, MaxCPUMillis: 4000, MemoryBytes: 1 << 30, MaxMemoryBytes: 15461882265 / 4 / (1 << 20) * (1 << 20),
			Timeout: time.Hour, MaxTimeout: 24 * time.Hour, Grace: 10 * time.Second, Pids: 512,
			TmpBytes: 256 << 20, HomeBytes: 64 << 20, ShmBytes: 64 << 20,
			Output:  OutputLimits{TotalBytes: 2 << 30, FileBytes: 2 << 30, Files: 10_000, Depth: 32},
			LogHead: 8 << 20, LogTail: 8 << 20,
		},
	}
	c.origins = nil
	if diff := cmp.Diff(want, c, cmp.AllowUnexported(Config{})); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
}

func TestDirectoriesOfRootAndOthers(t *testing.T) {
	for _, tc := range []struct {
		name                  string
		h                     host
		state, runtime, locks string
	}{
		{"root", host{root: true, home: "/root", runtimeDir: "/run/user/0", stateHome: "/x"},
			"/var/lib/lynx-runner", "/run/lynx-runner", "/run/lock/lynx-runner"},
		{"XDG", host{stateHome: "/s", runtimeDir: "/r", home: "/h"}, "/s/lynx-runner", "/r/lynx-runner", "/r/lynx-runner/lock"},
		{"nothing set", host{uid: 7, tmp: "/tmp"}, "/tmp/lynx-runner-7/state", "/tmp/lynx-runner-7/run", "/tmp/lynx-runner-7/run/lock"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := []string{tc.h.stateDir(), tc.h.runtime(), tc.h.locks()}
			if diff := cmp.Diff([]string{tc.state, tc.runtime, tc.locks}, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestLayersAndOrigins(t *testing.T) {
	text := "sandbox: {memory: 2Gi, cpu: 0.5, timeout: 90}\nimage: a\nserver: s1:1\nenvironment: {A: b}\n"
	c := mustLoad(t, text,
		[]string{"LYNX_RUNNER_IMAGE=b", "LYNX_RUNNER_SERVER=s2:1", "LYNX_RUNNER_SANDBOX_OUTPUT_FILES=7", "LYNX_RUNNER_SHIM=", "LYNX_RUNNER_CONFIG=/x", "PATH=/bin"},
		map[string]string{"server": "s3:1", "sandbox-timeout": "2m"})
	if c.Limits.MemoryBytes != 2<<30 || c.Limits.CPUMillis != 500 || c.Limits.Timeout != 2*time.Minute || c.Limits.Output.Files != 7 {
		t.Errorf("limits %+v", c.Limits)
	}
	if c.Image != "b" || c.Server != "s3:1" || c.Environment["A"] != "b" {
		t.Errorf("image %q, server %q, environment %v", c.Image, c.Server, c.Environment)
	}
	for path, want := range map[string]Origin{
		"server":               {"flag", "--server"},
		"sandbox.timeout":      {"flag", "--sandbox-timeout"},
		"image":                {"env", "LYNX_RUNNER_IMAGE"},
		"sandbox.output.files": {"env", "LYNX_RUNNER_SANDBOX_OUTPUT_FILES"},
		"shim":                 {"default", ""},
	} {
		if got := c.Origin(path); got != want {
			t.Errorf("origin of %s is %v, want %v", path, got, want)
		}
	}
	if got := c.Origin("sandbox.memory"); got.Kind != "file" || !strings.HasSuffix(got.Name, "runner.yaml") {
		t.Errorf("origin of sandbox.memory is %v", got)
	}
}

// The seven documented fields have their documented variables.
func TestDocumentedVariables(t *testing.T) {
	c := mustLoad(t, "{}", []string{
		"LYNX_RUNNER_ENGINES=basilisk",
		"LYNX_RUNNER_CAPABILITIES=basilisk, orbital",
		"LYNX_RUNNER_PYTHON_EXECUTABLE=/opt/python",
		"LYNX_RUNNER_BASILISK_ENTRYPOINT=a/b.py",
		"LYNX_RUNNER_OUTPUT_ROOT=/srv/out",
		"LYNX_RUNNER_WORKING_DIRECTORY=/srv/code",
		"LYNX_RUNNER_MAX_CONCURRENT_JOBS=3",
	}, nil)
	got := []any{c.Engines, c.Capabilities.SimulationTypes, c.PythonExecutable, c.BasiliskEntrypoint, c.OutputRoot, c.WorkingDirectory, c.MaxConcurrentJobs}
	want := []any{[]string{"basilisk"}, []string{"basilisk", "orbital"}, "/opt/python", "a/b.py", "/srv/out", "/srv/code", 3}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestCapabilities(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		environ    []string
		slots      int
		want       Capabilities
	}{
		{name: "list", text: "capabilities: [a, b]", slots: 4, want: Capabilities{4, jobMemory, false, []string{"a", "b"}}},
		{name: "mapping", slots: 2, want: Capabilities{8, 1.5, true, []string{"x"}},
			text: "capabilities: {max_concurrent_jobs: 2, cpu_cores: 8, memory_gb: 1.5, gpu_available: true, supported_simulation_types: [x]}"},
		{name: "in the environment", text: "capabilities: [a]", environ: []string{"LYNX_RUNNER_CAPABILITIES={cpu_cores: 2}"}, slots: 4,
			want: Capabilities{2, jobMemory, false, []string{"basilisk"}}},
		{name: "slots named twice alike", text: "max_concurrent_jobs: 2\ncapabilities: {max_concurrent_jobs: 2}", slots: 2,
			want: Capabilities{4, jobMemory, false, []string{"basilisk"}}},
		{name: "slots from a variable", text: "capabilities: {max_concurrent_jobs: 2}", environ: []string{"LYNX_RUNNER_MAX_CONCURRENT_JOBS=3"}, slots: 3,
			want: Capabilities{4, jobMemory, false, []string{"basilisk"}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := mustLoad(t, tc.text, tc.environ, nil)
			if diff := cmp.Diff(tc.want, c.Capabilities); diff != "" || c.MaxConcurrentJobs != tc.slots {
				t.Errorf("%d slots, want %d; (-want +got):\n%s", c.MaxConcurrentJobs, tc.slots, diff)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		environ    []string
		flags      map[string]string
		want       string // a part of the message
	}{
		{name: "unknown key", text: "max_concurent_jobs: 2", want: `did you mean "max_concurrent_jobs"`},
		{name: "unknown key in capabilities", text: "capabilities: {cpu_core: 2}", want: `did you mean "cpu_cores"`},
		{name: "unknown nested key", text: "sandbox: {memroy: 2Gi}", want: "runner.yaml:1:11: sandbox.memroy"},
		{name: "unknown variable", environ: []string{"LYNX_RUNNER_OUTPUT_ROT=/x"}, want: "LYNX_RUNNER_OUTPUT_ROOT?"},
		{name: "unknown flag", flags: map[string]string{"output-rot": "/x"}, want: "--output-root?"},
		{name: "wrong type in a variable", environ: []string{"LYNX_RUNNER_MAX_CONCURRENT_JOBS=many"}, want: "LYNX_RUNNER_MAX_CONCURRENT_JOBS: max_concurrent_jobs: "},
		{name: "size", text: "sandbox:\n  memory: lots", want: "runner.yaml:2:11: sandbox.memory"},
		{name: "thousandths", text: "sandbox: {memory: 512m}", want: "write 512Mi"},
		{name: "too little memory", text: "sandbox: {memory: 1Mi}", want: "want 6Mi to"},
		{name: "unbounded tmpfs", text: "sandbox: {tmpfs: {tmp: 0}}", want: "sandbox.tmpfs.tmp"},
		{name: "duration", text: "sandbox: {timeout: soon}", want: "write 90s, 1h30m"},
		{name: "negative duration", text: "sandbox: {timeout: -3}", want: "sandbox.timeout"},
		{name: "default above maximum", text: "sandbox: {memory: 2Gi, max_memory: 1Gi}", want: "sandbox.memory: 2Gi is more than sandbox.max_memory, 1Gi"},
		{name: "cpu above maximum", text: "sandbox: {cpu: 2, max_cpu: 1}", want: "sandbox.cpu: 2 CPU is more than sandbox.max_cpu, 1 CPU"},
		{name: "timeout above maximum", text: "sandbox: {timeout: 2h, max_timeout: 1h}", want: "sandbox.timeout: 2h0m0s is more than sandbox.max_timeout, 1h0m0s"},
		{name: "slots", text: "max_concurrent_jobs: 0", want: "want 1 to 1024"},
		{name: "slots contradict", text: "max_concurrent_jobs: 2\ncapabilities: {max_concurrent_jobs: 3}", want: "leave one of them out"},
		{name: "too few uids", text: "sandbox: {uid_range: 5000-5001}\nmax_concurrent_jobs: 3", want: "has 2 user ids for 3 slots"},
		{name: "root in the range", text: "sandbox: {uid_range: 0-99}", want: "no job may run as root"},
		{name: "range", text: "sandbox: {uid_range: a-b}", want: "write FIRST-LAST"},
		{name: "owner", text: "sandbox: {output_owner: nobody-knows-me}", want: "neither a number nor known"},
		{name: "engine", text: "engines: [fortran]", want: `"fortran" is not an engine`},
		{name: "no engine", text: "engines: []", want: "a runner needs an engine"},
		{name: "executor", text: "executor: podman", want: "executor"},
		{name: "pull policy", text: "sandbox: {pull_policy: sometimes}", want: "never, if-missing or always"},
		{name: "entrypoint outside", text: "basilisk_entrypoint: ../x.py", want: "does not lie below working_directory"},
		{name: "absolute entrypoint", text: "basilisk_entrypoint: /x.py", want: "does not lie below working_directory"},
		{name: "runner id", text: "runner_id: a b", want: "runner_id"},
		{name: "reserved variable", text: "environment: {TETRYX_OUTPUT_DIR: /x}", want: "cannot be overridden"},
		{name: "bad variable", text: "environment: {'A=B': x}", want: "not a variable's name"},
		{name: "long runtime directory", text: "runtime_dir: /" + strings.Repeat("x", 80), want: "limited"},
		{name: "outputs readable by jobs", text: "output_root: /srv/work/out", want: "every job could then read"},
		{name: "state readable by jobs", text: "sandbox: {data_mounts: [{source: /srv, target: /data}]}\nstate_dir: /srv/state", want: "every job could then read"},
		{name: "relative mount", text: "sandbox: {data_mounts: [{source: x, target: /data}]}", want: "not an absolute path"},
		{name: "mount over the runner's", text: "sandbox: {data_mounts: [{source: /x, target: /lynx/output}]}", want: "belongs to the runner"},
		{name: "mount over the system's", text: "sandbox: {data_mounts: [{source: /x, target: /proc/1}]}", want: "belongs to the system"},
		{name: "mount twice", text: "sandbox: {data_mounts: [{source: /x, target: /d}, {source: /y, target: /d/}]}", want: "named twice"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			text := tc.text
			if text == "" {
				text = "{}"
			}
			_, err := loadText(t, text, tc.environ, tc.flags)
			var list *strictyaml.Errors
			if !errors.As(err, &list) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v\nwant a *strictyaml.Errors with %q", err, tc.want)
			}
		})
	}
}

func TestOwner(t *testing.T) {
	for text, want := range map[string]Owner{
		"4242:4343": {4242, 4343, true},
		"root":      {0, 0, true},
		"0":         {0, 0, true},
	} {
		if c := mustLoad(t, "sandbox: {output_owner: '"+text+"'}", nil, nil); c.OutputOwner != want {
			t.Errorf("%s: %+v, want %+v", text, c.OutputOwner, want)
		}
	}
	if _, err := loadText(t, "sandbox: {output_owner: 4242}", nil, nil); err == nil || !strings.Contains(err.Error(), "write UID:GID") {
		t.Errorf("an unknown user without a group: %v", err)
	}
}

// Names that a person can confuse would make a variable mean two things.
func TestNamesAreUnique(t *testing.T) {
	seen := map[string]string{}
	for _, f := range fields() {
		for _, name := range []string{f.path, f.env(), "--" + f.flag()} {
			if other, ok := seen[name]; ok {
				t.Errorf("%s names both %s and %s", name, other, f.path)
			}
			seen[name] = f.path
		}
	}
	if len(Paths()) < 30 {
		t.Errorf("only %d settings", len(Paths()))
	}
}

// The example is valid, and what it shows in comments are the defaults.
func TestExample(t *testing.T) {
	t.Chdir("../../..")
	text, err := os.ReadFile("configs/lynx-runner-basilisk.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := load(nil, "configs/lynx-runner-basilisk.yaml", nil, nil, testHost)
	if err != nil {
		t.Fatal(err)
	}
	if c.BasiliskEntrypoint != "scenario_basic_orbit_lynx.py" || !strings.HasSuffix(c.WorkingDirectory, "/scenarios/aerospace/python") {
		t.Errorf("runs %s in %s", c.BasiliskEntrypoint, c.WorkingDirectory)
	}
	var uncommented strings.Builder
	for line := range strings.Lines(string(text)) {
		// What has no default shows an example.
		if strings.Contains(line, "data_mounts:") || strings.Contains(line, "source:") || strings.Contains(line, "BSK_") || strings.Contains(line, "output_owner:") {
			continue
		}
		if strings.HasPrefix(line, "# sandbox:") || strings.HasPrefix(line, "# reserve:") || strings.HasPrefix(line, "#   ") {
			line = strings.TrimPrefix(line, "# ")
		}
		uncommented.WriteString(line)
	}
	full := mustLoad(t, uncommented.String(), nil, nil)
	for _, path := range Paths() {
		shown := full.Origin(path).Kind == "file" || slices.Contains([]string{"sandbox.data_mounts", "sandbox.output_owner"}, path)
		if (strings.HasPrefix(path, "sandbox.") || strings.HasPrefix(path, "reserve.")) && !shown {
			t.Errorf("the example does not show %s", path)
		}
	}
	if len(full.Relaxations) > 0 {
		t.Errorf("what the example shows as defaults relaxes them: %v", full.Relaxations)
	}
	full.Reserve.MemoryBytes, full.Capabilities.MemoryGB = c.Reserve.MemoryBytes, c.Capabilities.MemoryGB // as the host has
	full.Limits.MaxCPUMillis, full.Limits.MaxMemoryBytes = c.Limits.MaxCPUMillis, c.Limits.MaxMemoryBytes
	if diff := cmp.Diff(c, full, cmpopts.IgnoreUnexported(Config{}), cmpopts.EquateEmpty(), cmpopts.SortSlices(func(a, b specs.POSIXRlimit) bool { return a.Type < b.Type }),
		cmpopts.IgnoreFields(Config{}, "WorkingDirectory")); diff != "" {
		t.Errorf("what the example shows in comments are not the defaults (-default +comment):\n%s", diff)
	}
}

// The defaults suit hosts of any size, also those with more CPUs than a runner
// may have slots.
func TestDefaultsOfLargeHosts(t *testing.T) {
	for cpus, slots := range map[int]int{1: 1, 384: 384, 4096: 1024} {
		h := testHost
		h.cpus, h.memory = cpus, 8<<40
		c, err := load(nil, "", []string{"LYNX_RUNNER_WORKING_DIRECTORY=/srv/work"}, nil, h)
		if err != nil || c.MaxConcurrentJobs != slots {
			t.Errorf("%d CPUs: %+v, %v", cpus, c, err)
		}
	}
}

// A directory that no protocol message could name is refused before any job has
// a result there.
func TestPathsAreText(t *testing.T) {
	_, err := resolve(&document{WorkingDirectory: new("/srv/work"), OutputRoot: new("/srv/\xff")}, testHost, map[string]Origin{}, nil)
	if err == nil || !strings.Contains(err.Error(), `output_root: "/srv/\xff" is not valid UTF-8`) {
		t.Errorf("error %v", err)
	}
}
