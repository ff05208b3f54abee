package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.yaml.in/yaml/v4"
)

// samples has three values for each setting, as they stand in a file, a variable
// and a flag, in the notation in which Value returns them.
var samples = map[string][3]string{
	"runner_id":              {"one", "two", "three"},
	"server":                 {"a:1", "b:2", "unix:///c"},
	"token_file":             {"/t/1", "/t/2", "/t/3"},
	"executor":               {"docker", "process", "docker"},
	"engines":                {`["basilisk"]`, `["command"]`, `["basilisk","command"]`},
	"commands":               {commandOf(1), commandOf(2), commandOf(3)},
	"capabilities":           {capabilitiesOf(1), capabilitiesOf(2), capabilitiesOf(3)},
	"python_executable":      {"/p1", "/p2", "/p3"},
	"preload":                {`["numpy"]`, `["a.b?","c"]`, `["os"]`},
	"basilisk_entrypoint":    {"a.py", "b/b.py", "c.py"},
	"working_directory":      {"/w1", "/w2", "/w3"},
	"output_root":            {"/o1", "/o2", "/o3"},
	"sandbox.output_owner":   {"4001:5001", "4002:5002", "4003:5003"},
	"sandbox.uid_range":      {"70001-71000", "72000-73000", "74000-75000"},
	"max_concurrent_jobs":    {"2", "3", "5"},
	"max_concurrent_starts":  {"2", "3", "5"},
	"image":                  {"i1", "i2:tag", "host:5000/i3@sha256:" + strings.Repeat("0", 64)},
	"sandbox.seccomp":        {"engine", "default", "engine"},
	"sandbox.capabilities":   {`["CAP_NET_RAW"]`, `["CAP_KILL","CAP_CHOWN"]`, `["CAP_SYS_NICE"]`},
	"sandbox.rlimits":        {rlimitsOf(4096, "11"), rlimitsOf(1024, "12"), rlimitsOf(64, `"unlimited"`)},
	"sandbox.devices":        {`["/dev/kvm"]`, `["/dev/null","/dev/zero"]`, `["/dev/fuse"]`},
	"sandbox.network":        {"bridge", "none", "lab"},
	"sandbox.runtime":        {"runc", "runsc", "io.containerd.runsc.v1"},
	"sandbox.isolation":      {`["job","batch"]`, `["batch","job"]`, `["job"]`},
	"sandbox.unenforced":     {`["swap"]`, `["cpu","pids"]`, `["memory"]`},
	"sandbox.allowed_images": {`["lynx-basilisk","a1"]`, `["lynx-basilisk","a2","b2"]`, `["lynx-basilisk","a3"]`},
	"sandbox.pull_policy":    {"always", "if-missing", "never"},
	"shim":                   {"/s1", "/s2", "/s3"},
	"state_dir":              {"/d1", "/d2", "/d3"},
	"runtime_dir":            {"/r1", "/r2", "/r3"},
	"lock_dir":               {"/l1", "/l2", "/l3"},
	"sandbox.data_mounts":    {mountOf(1), mountOf(2), mountOf(3)},
	"on_runner_loss":         {"kill", "continue", "kill"},
	"on_runner_loss_for":     {"1m0s", "2h0m0s", "3s"},
	"environment":            {`{"A":"1"}`, `{"A":"2"}`, `{"B":"3"}`},
	"sandbox.cpu":            {"0.25", "0.5", "0.75"},
	"sandbox.max_cpu":        {"8", "16", "32"},
	"sandbox.memory":         {"64Mi", "65Mi", "66Mi"},
	"sandbox.max_memory":     {"61Gi", "62Gi", "63Gi"},
	"sandbox.timeout":        {"1m0s", "2m0s", "3m0s"},
	"sandbox.max_timeout":    {"61h0m0s", "62h0m0s", "63h0m0s"},
	"sandbox.grace":          {"1s", "2s", "3s"},
	"sandbox.pids":           {"101", "102", "103"},
	"sandbox.tmpfs.tmp":      {"1Mi", "2Mi", "3Mi"},
	"sandbox.tmpfs.home":     {"1Mi", "2Mi", "3Mi"},
	"sandbox.tmpfs.shm":      {"1Mi", "2Mi", "3Mi"},
	"sandbox.log_head":       {"0", "2Mi", "3Mi"},
	"sandbox.log_tail":       {"1Mi", "0", "3Mi"},

	"gpus":           {"all", "2", `["0","GPU-8932f937"]`},
	"reserve.disk":   {"7%", "3Gi", "1.5% or 100Mi"},
	"reserve.memory": {"1Gi", "2Gi", "0"},

	"retention.outputs.age":  {"30d", "36h0m0s", "1d"},
	"retention.outputs.size": {"50Gi", "1Mi", "2Ti"},
	"retention.images.age":   {"7d", "14d", "1h0m0s"},
	"retention.rejected.age": {"90d", "91d", "1h30m0s"},

	"sandbox.output.total":    {"1Gi", "2Gi", "3Gi"},
	"sandbox.output.per_file": {"1Gi", "2Gi", "3Gi"},
	"sandbox.output.files":    {"11", "12", "13"},
	"sandbox.output.depth":    {"11", "12", "13"},
}

func capabilitiesOf(n int) string {
	return fmt.Sprintf(`{"cpu_cores":%d,"gpu_available":true,"memory_gb":%d,"supported_simulation_types":["t%d"]}`, n, n, n)
}

func commandOf(n int) string { return fmt.Sprintf(`{"c":{"argv":["/c%d"]}}`, n) }

// rlimitsOf is the default for core files, one for open files, and another.
func rlimitsOf(files int, stack string) string {
	return fmt.Sprintf(`[{"hard":0,"soft":0,"type":"RLIMIT_CORE"},{"hard":%d,"soft":%d,"type":"RLIMIT_NOFILE"},{"hard":%s,"soft":7,"type":"RLIMIT_STACK"}]`, files, files, stack)
}

func mountOf(n int) string { return fmt.Sprintf(`[{"source":"/m%d","target":"/data/%d"}]`, n, n) }

// written is a setting's effective value in the notation of samples.
func written(t *testing.T, c *Config, path string) string {
	t.Helper()
	v := c.Value(path)
	if s, ok := v.(string); ok {
		return s
	}
	if path == "sandbox.data_mounts" { // its keys are the file's, not JSON's, by name only
		var list []string
		for _, m := range c.DataMounts {
			list = append(list, fmt.Sprintf(`{"source":%q,"target":%q}`, m.Source, m.Target))
		}
		return "[" + strings.Join(list, ",") + "]"
	}
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// loadAlone loads with nothing said but what the arguments say.
func loadAlone(t *testing.T, text string, environ []string, flags map[string]string) (*Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "runner.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return load(map[string]string{"working-directory": "/srv/work"}, path, environ, flags, testHost)
}

// Every setting can be made in the file, by its variable and by its flag; the
// flag wins over the variable, and that over the file; Origin tells which it was.
func TestEverySettingInEveryPlace(t *testing.T) {
	for _, f := range fields() {
		values, ok := samples[f.path]
		if !ok {
			t.Errorf("there is no sample of %s", f.path)
			continue
		}
		for places := 1; places < 8; places++ {
			var environ []string
			flags, text, want, kind := map[string]string{}, "{}", "", ""
			if places&1 != 0 {
				text, want, kind = inFile(f.path, values[0]), values[0], "file"
			}
			if places&2 != 0 {
				environ, want, kind = []string{f.env() + "=" + values[1]}, values[1], "env"
			}
			if places&4 != 0 {
				flags, want, kind = map[string]string{f.flag(): values[2]}, values[2], "flag"
			}
			c, err := loadAlone(t, text, environ, flags)
			if err != nil {
				t.Errorf("%s in places %03b: %v", f.path, places, err)
				continue
			}
			if got := written(t, c, f.path); got != want {
				t.Errorf("%s in places %03b: %s, want %s", f.path, places, got, want)
			}
			if got := c.Origin(f.path); got.Kind != kind || got.Name == "" {
				t.Errorf("%s in places %03b comes from %v, want %s", f.path, places, got, kind)
			}
			for _, other := range fields() {
				if other.path != f.path && c.Origin(other.path).Kind != "default" {
					t.Errorf("setting %s sets %s", f.path, other.path)
				}
			}
		}
	}
	if len(samples) != len(fields()) {
		t.Errorf("%d samples of %d settings", len(samples), len(fields()))
	}
}

// inFile writes one setting as a file.
func inFile(path, value string) string {
	keys := strings.Split(path, ".")
	return "{" + strings.Join(keys, ": {") + ": " + value + strings.Repeat("}", len(keys))
}

// complaints are values, and what is said about them.
var complaints = []struct{ path, value, says string }{
	{"runner_id", "-x", `"-x" is not an id: want`},
	{"executor", "podman", `"podman" is not an executor; want`},
	{"engines", "[fortran]", `"fortran" is not an engine; want`},
	{"capabilities", "{cpu_cores: 0}", "cpu_cores is 0; want a number greater than 0"},
	{"capabilities", "{memory_gb: -1.5}", "memory_gb is -1.5; want a number greater than 0"},
	{"basilisk_entrypoint", "../x", `"../x" does not lie below working_directory; want`},
	{"sandbox.uid_range", "9-5", "ends before it begins"},
	{"sandbox.uid_range", "5000-5001", "has 2 user ids for 4 slots; want"},
	{"max_concurrent_jobs", "1025", "1025 is not a number of slots; want 1 to 1024"},
	{"max_concurrent_starts", "0", "0 is not a number of containers that start at the same time; want 1 to 1024"},
	{"image", "-x", `"-x" is not an image reference`},
	{"image", "x*", `"x*" stands for more than one image`},
	{"sandbox.allowed_images", "[a b]", `"a b" is not an image reference; want`},
	{"sandbox.allowed_images", "[x@sha256:1]", "64 hexadecimal digits"},
	{"sandbox.seccomp", "unconfined", `"unconfined" is no filter; want`},
	{"sandbox.seccomp", "/nowhere.json", "/nowhere.json: no such file or directory; want"},
	{"sandbox.seccomp", "/dev/null", "/dev/null is no file"},
	{"sandbox.capabilities", "[ALL]", "never privileged"},
	{"sandbox.capabilities", "[CAP_SYS_ADMIN]", "as good as root"},
	{"sandbox.capabilities", "[NET_RAW]", "want a name such as CAP_NET_RAW"},
	{"sandbox.rlimits", "[{type: RLIMIT_NOFILE, hard: 63}]", "RLIMIT_NOFILE is out of range; want 64 to"},
	{"sandbox.rlimits", "[{type: RLIMIT_NOFILE, hard: unlimited}]", "RLIMIT_NOFILE is out of range; want 64 to"},
	{"sandbox.rlimits", "[{type: RLIMIT_FSIZE, hard: 63}]", "RLIMIT_FSIZE is sandbox.output.per_file; set that"},
	{"sandbox.rlimits", "[{type: RLIMIT_NPROC, hard: 63}]", "set sandbox.pids"},
	{"sandbox.rlimits", "[{type: nofile, hard: 63}]", `"nofile" is not a resource limit; want one of`},
	{"sandbox.rlimits", "[{type: RLIMIT_STACK, hard: 1, soft: 2}]", "soft limit is above"},
	{"sandbox.rlimits", "[{type: RLIMIT_STACK, hard: 1}, {type: RLIMIT_STACK, hard: 2}]", "named twice"},
	{"sandbox.devices", "[/etc/passwd]", "not the path of a device; want"},
	{"sandbox.devices", "[/dev/mem]", "reaches all of the host"},
	{"sandbox.network", "host", "never host"},
	{"sandbox.network", "container:x", "never host or another container's"},
	{"sandbox.runtime", "/usr/bin/runc", "not the name of a runtime; want"},
	{"preload", "['numpy, os']", `"numpy, os" is not a Python module's name; want`},
	{"preload", "[--help]", `"--help" is not a Python module's name; want`},
	{"sandbox.isolation", "[job, none]", `"none" is no isolation; want`},
	{"sandbox.isolation", "[batch]", "lacks job, which is what studies get"},
	{"sandbox.unenforced", "[disk]", `"disk" is not a limit that an engine could leave out; want`},
	{"on_runner_loss", "wait", `"wait" is not what can become of jobs; want continue or kill`},
	{"on_runner_loss_for", "10ms", "10ms is out of range; want 1s to"},
	{"sandbox.pull_policy", "often", `"often" is not a pull policy; want`},
	{"runtime_dir", "/" + strings.Repeat("r", 90), "91 bytes long; want at most"},
	{"output_root", "/srv/work/out", "which every job could then read; name"},
	{"sandbox.cpu", "0.001", "1m CPU is out of range; want 10m CPU to 1k CPU"},
	{"sandbox.memory", "5Mi", "5Mi is out of range; want 6Mi to 64Ti"},
	{"sandbox.memory", "1e30", "is out of range; want 6Mi to 64Ti"},
	{"sandbox.log_head", "1e30", "is out of range; want 0 to 1Ti"},
	{"sandbox.log_head", "-1e30", "is out of range; want 0 to 1Ti"},
	{"sandbox.max_cpu", "1e18", "is out of range; want 10m CPU to"},
	{"sandbox.max_cpu", "1e-9999999", "not a number of cores; write"},
	{"sandbox.tmpfs.tmp", "1e9999999", "not a size; write"},
	{"sandbox.max_memory", "1Gi1", "not a size; write"},
	{"sandbox.timeout", "0s", "0s is out of range; want 1ms to"},
	{"sandbox.timeout", "-5", "-5s is out of range; want"},
	{"sandbox.timeout", "1e300", "no possible duration"},
	{"sandbox.grace", "2h", "2h0m0s is out of range; want 0s to 1h0m0s"},
	{"sandbox.pids", "31", "31 is out of range; want 32 to"},
	{"sandbox.tmpfs.tmp", "1Ki", "1Ki is out of range; want 64Ki to"},
	{"sandbox.tmpfs.home", "0", "0 is out of range; want 64Ki to"},
	{"sandbox.tmpfs.shm", "-1", "-1 is out of range; want 64Ki to"},
	{"sandbox.log_head", "-1", "-1 is out of range; want 0 to"},
	{"sandbox.log_tail", "2Ti", "2Ti is out of range; want 0 to 1Ti"},
	{"sandbox.output.total", "1023", "1023 is out of range; want 1Ki to"},
	{"sandbox.output.per_file", "1", "1 is out of range; want 1Ki to"},
	{"sandbox.output.files", "0", "0 is out of range; want 1 to"},
	{"sandbox.output.depth", "1001", "1001 is out of range; want 1 to 1000"},
	{"retention.outputs.age", "a month", "not an age; write 30d, 2w, 36h"},
	{"retention.outputs.age", "1e300d", "not an age; write"},
	{"retention.outputs.age", "0d", "0s is out of range; want 1h to"},
	{"retention.images.age", "-1w", "is out of range; want 1h to"},
	{"retention.rejected.age", "30m", "30m0s is out of range; want 1h to"},
	{"retention.outputs.size", "0", "0 is out of range; want at least 1Mi"},
	{"retention.outputs.size", "1d", "not a size; write"},
}

// Every complaint about a value names the setting, says what is there and what
// would be right, and where it was set.
func TestComplaints(t *testing.T) {
	for _, tc := range complaints {
		f := fields()[slices.IndexFunc(fields(), func(f field) bool { return f.path == tc.path })]
		about := tc.path
		if tc.path == "output_root" {
			about = "working_directory"
		}
		for place, load := range map[string]func() error{
			"runner.yaml:1:": func() error { _, err := loadAlone(t, inFile(tc.path, "'"+tc.value+"'"), nil, nil); return err },
			f.env():          func() error { _, err := loadAlone(t, "{}", []string{f.env() + "=" + tc.value}, nil); return err },
			"--" + f.flag():  func() error { _, err := loadAlone(t, "{}", nil, map[string]string{f.flag(): tc.value}); return err },
		} {
			quoted := place == "runner.yaml:1:" && (strings.ContainsAny(tc.value, "[{") || slices.Contains([]string{"max_concurrent_jobs", "max_concurrent_starts", "sandbox.pids", "sandbox.output.files", "sandbox.output.depth"}, tc.path))
			if quoted { // a list, a mapping or a whole number stands without quotes
				load = func() error { _, err := loadAlone(t, inFile(tc.path, tc.value), nil, nil); return err }
			}
			if about != tc.path {
				place = "" // where the one that it collides with was set
			}
			err := load()
			if err == nil || !strings.Contains(err.Error(), place) || !strings.Contains(err.Error(), about+": ") || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%s = %s: %v\nwant %q with %q", tc.path, tc.value, err, place, tc.says)
			}
		}
	}
}

// Whatever stands in the file and in a variable: Load does not panic, and what it
// accepts is within its own rules and says of itself what a file could say.
func FuzzLoad(f *testing.F) {
	paths := slices.Sorted(maps.Keys(samples))
	for i, path := range paths {
		f.Add(inFile(path, samples[path][0]), uint8(i), samples[path][1])
	}
	for _, text := range []string{"", "a: &a [*a, *a]", "sandbox: {cpu: 1e400}", "sandbox: [1]", "{runner_id: {}}", "\xff", "environment: {? {a: b} : c}", "capabilities: [[]]"} {
		f.Add(text, uint8(4), text)
	}
	f.Fuzz(func(t *testing.T, text string, which uint8, value string) {
		path := paths[int(which)%len(paths)]
		at := fields()[slices.IndexFunc(fields(), func(f field) bool { return f.path == path })]
		c, err := loadAlone(t, text, []string{at.env() + "=" + value}, nil)
		if err != nil {
			if strings.TrimSpace(err.Error()) == "" {
				t.Error("an error that says nothing")
			}
			return
		}
		for _, dir := range []string{c.WorkingDirectory, c.OutputRoot, c.Shim, c.StateDir, c.RuntimeDir, c.LockDir} {
			if !filepath.IsAbs(dir) {
				t.Errorf("%q is not absolute", dir)
			}
		}
		l := c.Limits
		if l.CPUMillis < 1 || l.CPUMillis > l.MaxCPUMillis || l.MemoryBytes < 6<<20 || l.MemoryBytes > l.MaxMemoryBytes || l.Timeout <= 0 || l.Timeout > l.MaxTimeout ||
			l.Timeout+l.Grace < 0 || l.Grace > time.Hour || l.TmpBytes < 1 || l.Output.Files < 1 || c.MaxConcurrentJobs < 1 || c.UIDs.First < 1 || c.UIDs.Last-c.UIDs.First+1 < c.MaxConcurrentJobs {
			t.Errorf("%+v", c)
		}
		again, err := loadAlone(t, asFile(t, c), nil, nil)
		if err != nil {
			t.Fatalf("its own values are refused: %v", err)
		}
		if diff := cmp.Diff(c, again, cmpopts.IgnoreUnexported(Config{}), cmpopts.EquateEmpty(), cmpopts.EquateApprox(0, 0.005)); diff != "" {
			t.Errorf("of its own values (-want +got):\n%s", diff)
		}
	})
}

// asFile writes a configuration's values as a file.
func asFile(t *testing.T, c *Config) string {
	t.Helper()
	file := map[string]any{}
	for path, v := range c.values() {
		at, keys := file, strings.Split(path, ".")
		for _, key := range keys[:len(keys)-1] {
			if at[key] == nil {
				at[key] = map[string]any{}
			}
			at = at[key].(map[string]any)
		}
		if v != nil {
			at[keys[len(keys)-1]] = v
		}
	}
	text, err := yaml.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
