package docker

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/types/mount"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/tetryx/lynx-runner/executor"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestCreateRequest compares the whole request with a file: whatever hardens a
// container is in there, and nothing leaves unnoticed. The seccomp profile has a
// test of its own.
func TestCreateRequest(t *testing.T) {
	d := newDaemon(t)
	d.init = fakeInit{Report: report(0)}
	e := d.executor()
	spec := testSpec(t)
	spec.DataMounts = []executor.Mount{{Source: "/srv/spice", Target: "/opt/spice"}}
	spec.Telemetry = true
	spec.User.AdditionalGids = []uint32{100}
	if _, err := mustStart(t, e, spec).Kill(t.Context()); err != nil {
		t.Error(err)
	}
	body := d.created
	for from, to := range map[string]string{
		spec.RuntimeDir: "RUNTIME_DIR", spec.LogDir: "LOG_DIR", e.cfg.Shim: "SHIM",
		strings.ReplaceAll(e.seccomp, `"`, `\"`): "seccomp=PROFILE",
	} {
		body = bytes.ReplaceAll(body, []byte(from), []byte(to))
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, bytes.TrimSpace(body), "", "  "); err != nil {
		t.Fatal(err)
	}
	pretty.WriteByte('\n')
	golden := filepath.Join("testdata", "create.golden.json")
	if *update {
		if err := os.WriteFile(golden, pretty.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), pretty.String()); diff != "" {
		t.Errorf("create request (-want +got):\n%s", diff)
	}
}

// plainExecutor translates and validates without an engine.
func plainExecutor(api string) *Executor {
	return &Executor{cfg: Config{RunnerID: "r", Shim: "/shim"}, info: EngineInfo{APIVersion: api}, seccomp: "seccomp={}"}
}

func TestTranslateSandbox(t *testing.T) {
	spec := testSpec(t)
	spec.Sandbox = executor.DefaultSandbox().WithCPU(2500).WithMemory(64 << 20).WithPids(7)
	spec.Sandbox.Capabilities = []string{"CAP_NET_BIND_SERVICE"}
	spec.Sandbox.Runtime, spec.Sandbox.Network = "runsc", "lab"
	spec.Sandbox.Devices = []specs.LinuxDevice{{Path: "/dev/kvm", Type: "b"}}
	spec.Sandbox.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow}
	body, err := plainExecutor("1.41").translate(spec, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	h := body.HostConfig
	if h.NanoCPUs != 2_500_000_000 || h.Memory != 64<<20 || h.MemorySwap != 64<<20 || *h.PidsLimit != 7 {
		t.Errorf("limits: %+v", h.Resources)
	}
	if !slices.Equal(h.CapDrop, []string{"ALL"}) || !slices.Equal(h.CapAdd, []string{"CAP_NET_BIND_SERVICE"}) {
		t.Errorf("capabilities: drop %v, add %v", h.CapDrop, h.CapAdd)
	}
	if h.Runtime != "runsc" || h.NetworkMode != "lab" {
		t.Errorf("runtime %q, network %q", h.Runtime, h.NetworkMode)
	}
	if want := `seccomp={"defaultAction":"SCMP_ACT_ALLOW"}`; !slices.Contains(h.SecurityOpt, want) {
		t.Errorf("security options %v, want %s", h.SecurityOpt, want)
	}
	if d := h.Devices; len(d) != 1 || d[0].PathOnHost != "/dev/kvm" || d[0].PathInContainer != "/dev/kvm" || d[0].CgroupPermissions != "rw" {
		t.Errorf("devices %+v", d)
	}
}

// The filter is left to the engine only by its own word.
func TestTranslateEngineSeccomp(t *testing.T) {
	spec := testSpec(t)
	for engine, want := range map[bool][]string{false: {"no-new-privileges", "seccomp={}"}, true: {"no-new-privileges"}} {
		spec.Sandbox.EngineSeccomp = engine
		body, err := plainExecutor("1.41").translate(spec, nil, nil)
		if err != nil || !slices.Equal(body.SecurityOpt, want) {
			t.Errorf("engine's %v: options %v, %v, want %v", engine, body.SecurityOpt, err, want)
		}
	}
}

// TestVolumesAreCovered wants a bounded tmpfs over each volume of the image that
// nothing of ours is mounted at already.
func TestVolumesAreCovered(t *testing.T) {
	spec := testSpec(t)
	body, err := plainExecutor("1.41").translate(spec, []string{"/data/", "/lynx/output", "/tmp", "/lynx/home", "/var/x"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var covered []string
	for _, m := range body.Mounts {
		if m.Type == mount.TypeTmpfs {
			covered = append(covered, m.Target)
			if m.TmpfsOptions.SizeBytes != spec.Sandbox.TmpBytes {
				t.Errorf("%s has %d bytes", m.Target, m.TmpfsOptions.SizeBytes)
			}
		}
	}
	if want := []string{"/data", "/var/x"}; !slices.Equal(covered, want) {
		t.Errorf("covered %v, want %v", covered, want)
	}
}

// TestVolumesInTheWay has volumes that a cover would break the job by.
func TestVolumesInTheWay(t *testing.T) {
	spec := testSpec(t)
	spec.DataMounts = []executor.Mount{{Source: "/srv/spice", Target: "/opt/spice"}}
	for volume, ok := range map[string]bool{
		"/": false, "/lynx": false, "/lynx/output/sub": false, "/lynx/log/stdout.log": false, "/lynx/run/x": false,
		"/lynx/work/../work/x": false, "/lynx/other": false, "/lynx/home/x": false, "/opt/spice/x": false,
		"/proc": false, "/proc/1": false, "/sys/fs/cgroup": false, "/dev": false, "/dev/mqueue": false,
		"/lynx/output": true, "/lynx/shim": true, "/lynx/home": true, "/opt": true, "/opt/spice": true, "/dev/shm": true,
		"/tmp": true, "/tmp/x": true, "/procedures": true, "/lynxes": true, "/data": true, "relative": true,
	} {
		_, err := plainExecutor("1.41").translate(spec, []string{volume}, nil)
		if ok != (err == nil) || err != nil && !errors.Is(err, executor.ErrInvalidSpec) {
			t.Errorf("%s: %v", volume, err)
		}
	}
}

// TestSubmounts has a file system mounted below a read-only source.
func TestSubmounts(t *testing.T) {
	spec := testSpec(t)
	points := []string{"/", "/srv", "/srv/workshop", "/srv/work/scratch", "/srv/out/output/ok"}
	_, err := plainExecutor("1.43").translate(spec, nil, points)
	if !errors.Is(err, executor.ErrInvalidSpec) || !strings.Contains(err.Error(), "/srv/work/scratch") {
		t.Errorf("API 1.43: %v, want ErrInvalidSpec that names the mount", err)
	}
	body, err := plainExecutor("1.44").translate(spec, nil, points)
	if err != nil {
		t.Fatalf("API 1.44: %v", err)
	}
	for _, m := range body.Mounts {
		if want := m.Target == executor.ContainerWork; m.BindOptions.ReadOnlyForceRecursive != want {
			t.Errorf("%s: forced recursive: %v, want %v", m.Target, m.BindOptions.ReadOnlyForceRecursive, want)
		}
	}
	if _, err := plainExecutor("1.41").translate(spec, nil, []string{"/", "/srv/work", "/srv/workshop"}); err != nil {
		t.Errorf("a source that is itself a mount point: %v", err)
	}
}

func TestParseMountpoints(t *testing.T) {
	const text = `22 28 0:21 / /proc rw,nosuid - proc proc rw
36 35 98:0 /mnt1 /mnt/with\040blank\134and rw,noatime master:1 - ext3 /dev/root rw
garbage
37 35 98:0 /x /mnt/end\04 rw - ext3 /dev/root rw
`
	got, err := parseMountpoints(strings.NewReader(text))
	if want := []string{"/proc", `/mnt/with blank\and`, `/mnt/end\04`}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

func FuzzParseMountpoints(f *testing.F) {
	f.Add(`36 35 98:0 /mnt1 /mnt/with\040blank rw - ext3 /dev/root rw`)
	f.Add(`1 2 3 4 \777\`)
	f.Fuzz(func(t *testing.T, text string) {
		points, err := parseMountpoints(strings.NewReader(text))
		if err == nil && len(points) > strings.Count(text, "\n")+1 {
			t.Errorf("%d mount points in %d lines", len(points), strings.Count(text, "\n")+1)
		}
	})
}

func TestValidate(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*executor.Spec)
		say   string
	}{
		"user 0":                {func(s *executor.Spec) { s.User.UID = 0 }, "0:61234"},
		"group 0":               {func(s *executor.Spec) { s.User.GID = 0 }, "61234:0"},
		"no image":              {func(s *executor.Spec) { s.Image = "" }, "image"},
		"empty program":         {func(s *executor.Spec) { s.Argv = []string{""} }, "command"},
		"name with a slash":     {func(s *executor.Spec) { s.AttemptID = "a/b" }, "a/b"},
		"name of options":       {func(s *executor.Spec) { s.AttemptID = "-rm" }, "-rm"},
		"relative work":         {func(s *executor.Spec) { s.WorkDir = "work" }, "work directory"},
		"no log directory":      {func(s *executor.Spec) { s.LogDir = "" }, "log directory"},
		"host network":          {func(s *executor.Spec) { s.Sandbox.Network = "host" }, `"host"`},
		"container network":     {func(s *executor.Spec) { s.Sandbox.Network = "container:x" }, "container:x"},
		"default network":       {func(s *executor.Spec) { s.Sandbox.Network = "default" }, "default"},
		"no network said":       {func(s *executor.Spec) { s.Sandbox.Network = "" }, "network"},
		"no memory limit":       {func(s *executor.Spec) { s.Sandbox.Resources.Memory = nil }, "memory"},
		"unlimited memory":      {func(s *executor.Spec) { s.Sandbox = s.Sandbox.WithMemory(-1) }, "memory"},
		"no CPU limit":          {func(s *executor.Spec) { s.Sandbox.Resources.CPU = nil }, "CPU"},
		"unlimited CPU":         {func(s *executor.Spec) { s.Sandbox = s.Sandbox.WithCPU(-1) }, "CPU"},
		"no process limit":      {func(s *executor.Spec) { s.Sandbox.Resources.Pids = nil }, "processes"},
		"unlimited processes":   {func(s *executor.Spec) { s.Sandbox = s.Sandbox.WithPids(-1) }, "processes"},
		"unlimited tmp":         {func(s *executor.Spec) { s.Sandbox.TmpBytes = 0 }, "/tmp"},
		"devices":               {func(s *executor.Spec) { s.Sandbox.Resources.Devices = []specs.LinuxDeviceCgroup{{Allow: true}} }, "only memory"},
		"privileged":            {func(s *executor.Spec) { s.Sandbox.Capabilities = []string{"ALL"} }, "never privileged"},
		"the host's rights":     {func(s *executor.Spec) { s.Sandbox.Capabilities = []string{"CAP_SYS_ADMIN"} }, "as good as root"},
		"the host's memory":     {func(s *executor.Spec) { s.Sandbox.Devices = []specs.LinuxDevice{{Path: "/dev/mem"}} }, "all of the host"},
		"no such device":        {func(s *executor.Spec) { s.Sandbox.Devices = []specs.LinuxDevice{{Path: "/dev/nowhere"}} }, "/dev/nowhere"},
		"a directory":           {func(s *executor.Spec) { s.Sandbox.Devices = []specs.LinuxDevice{{Path: "/dev/fd"}} }, "only character devices"},
		"two filters":           {func(s *executor.Spec) { s.Sandbox.EngineSeccomp, s.Sandbox.Seccomp = true, &specs.LinuxSeccomp{} }, "both"},
		"data over output":      {func(s *executor.Spec) { s.DataMounts = []executor.Mount{{Source: "/x", Target: "/lynx/output"}} }, "/lynx/output"},
		"data below the work":   {func(s *executor.Spec) { s.DataMounts = []executor.Mount{{Source: "/x", Target: "/lynx/work/x"}} }, "/lynx/work"},
		"data over everything":  {func(s *executor.Spec) { s.DataMounts = []executor.Mount{{Source: "/x", Target: "/lynx"}} }, "/lynx"},
		"data at the root":      {func(s *executor.Spec) { s.DataMounts = []executor.Mount{{Source: "/x", Target: "/"}} }, "data mount target"},
		"data in proc":          {func(s *executor.Spec) { s.DataMounts = []executor.Mount{{Source: "/x", Target: "/proc/sys"}} }, "/proc"},
		"data by dots":          {func(s *executor.Spec) { s.DataMounts = []executor.Mount{{Source: "/x", Target: "/a/../lynx"}} }, "'..'"},
		"data from nowhere":     {func(s *executor.Spec) { s.DataMounts = []executor.Mount{{Source: "x", Target: "/a"}} }, "data mount source"},
		"sockets' paths longer": {func(s *executor.Spec) { s.RuntimeDir = "/" + strings.Repeat("x", 100) }, "107"},
	} {
		t.Run(name, func(t *testing.T) {
			spec := testSpec(t)
			c.spoil(&spec)
			err := plainExecutor("1.41").validate(spec)
			if !errors.Is(err, executor.ErrInvalidSpec) || !strings.Contains(err.Error(), c.say) {
				t.Errorf("got %v, want ErrInvalidSpec that says %q", err, c.say)
			}
		})
	}
	good := testSpec(t)
	good.Sandbox.Capabilities, good.Sandbox.Devices = []string{"CAP_NET_RAW"}, []specs.LinuxDevice{{Path: "/dev/null"}}
	good.DataMounts = []executor.Mount{{Source: "/x", Target: "/tmp/data"}, {Source: "/y", Target: "/lynxes"}}
	if err := plainExecutor("1.41").validate(good); err != nil {
		t.Errorf("a good specification: %v", err)
	}
	rootless := plainExecutor("1.41")
	rootless.info.Security = []string{"seccomp", "rootless"}
	good.User = specs.User{}
	if err := rootless.validate(good); err != nil {
		t.Errorf("user 0 of a rootless engine: %v", err)
	}
}
