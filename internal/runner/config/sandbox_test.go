package config

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"pgregory.net/rapid"

	"github.com/tetryx/lynx-runner/executor"
)

// With nothing said a job's sandbox is the executor's default, but for the sizes
// that it is asked for.
func TestJobSandboxByDefault(t *testing.T) {
	c := mustLoad(t, "{}", nil, nil)
	want := executor.DefaultSandbox().WithCPU(2000).WithMemory(3 << 30)
	sorted := func(l []specs.POSIXRlimit) []specs.POSIXRlimit {
		return slices.SortedFunc(slices.Values(l), func(a, b specs.POSIXRlimit) int { return strings.Compare(a.Type, b.Type) })
	}
	got := c.JobSandbox(2000, 3<<30)
	got.Rlimits, want.Rlimits = sorted(got.Rlimits), sorted(want.Rlimits)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(c.Relaxations) > 0 {
		t.Errorf("the defaults are relaxed: %v", c.Relaxations)
	}
}

// What the section says reaches the job.
func TestJobSandbox(t *testing.T) {
	profile := filepath.Join(t.TempDir(), "profile.json")
	if err := os.WriteFile(profile, []byte(`{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	c := mustLoad(t, `sandbox:
  capabilities: [CAP_NET_RAW]
  devices: [/dev/kvm]
  network: lab
  runtime: runsc
  pids: 40
  seccomp: `+profile+`
  tmpfs: {tmp: 1Mi, home: 2Mi, shm: 3Mi}
  output: {per_file: 4Mi}
  rlimits: [{type: RLIMIT_NOFILE, hard: 100, soft: 99}, {type: RLIMIT_MEMLOCK, hard: unlimited, soft: 8Mi}]
`, nil, nil)
	s := c.JobSandbox(1000, 1<<30)
	if s.TmpBytes != 1<<20 || s.HomeBytes != 2<<20 || s.ShmBytes != 3<<20 || *s.Resources.Pids.Limit != 40 {
		t.Errorf("sizes %+v", s)
	}
	if s.Network != "lab" || s.Runtime != "runsc" || !slices.Equal(s.Capabilities, []string{"CAP_NET_RAW"}) || len(s.Devices) != 1 || s.Devices[0].Path != "/dev/kvm" {
		t.Errorf("sandbox %+v", s)
	}
	if s.EngineSeccomp || s.Seccomp == nil || s.Seccomp.DefaultAction != specs.ActErrno || len(s.Seccomp.Syscalls) != 1 {
		t.Errorf("filter %+v", s.Seccomp)
	}
	want := []specs.POSIXRlimit{
		{Type: "RLIMIT_CORE"}, {Type: "RLIMIT_NOFILE", Hard: 100, Soft: 99},
		{Type: "RLIMIT_MEMLOCK", Hard: math.MaxUint64, Soft: 8 << 20}, {Type: "RLIMIT_FSIZE", Hard: 4 << 20, Soft: 4 << 20},
	}
	if diff := cmp.Diff(want, s.Rlimits); diff != "" {
		t.Errorf("resource limits (-want +got):\n%s", diff)
	}
	if s := mustLoad(t, "sandbox: {seccomp: engine}", nil, nil).JobSandbox(1, 1); !s.EngineSeccomp || s.Seccomp != nil {
		t.Errorf("the engine's filter: %+v", s)
	}
}

// Every way to weaken the sandbox is named, with what it means.
func TestRelaxations(t *testing.T) {
	for _, tc := range []struct{ text, setting, value string }{
		{"executor: process", "executor", "process"},
		{"sandbox: {seccomp: engine}", "sandbox.seccomp", "engine"},
		{"sandbox: {capabilities: [CAP_KILL, CAP_CHOWN]}", "sandbox.capabilities", "CAP_KILL, CAP_CHOWN"},
		{"sandbox: {devices: [/dev/kvm]}", "sandbox.devices", "/dev/kvm"},
		{"sandbox: {network: bridge}", "sandbox.network", "bridge"},
		{"sandbox: {runtime: runsc}", "sandbox.runtime", "runsc"},
		{"sandbox: {isolation: [job, batch]}", "sandbox.isolation", "job, batch"},
		{"sandbox: {unenforced: [swap, cpu]}", "sandbox.unenforced", "swap, cpu"},
		{"sandbox: {allowed_images: [a, 'b/*']}", "sandbox.allowed_images", "b/*"},
		{"sandbox: {pull_policy: always}", "sandbox.pull_policy", "always"},
		{"sandbox: {data_mounts: [{source: /d, target: /data}]}", "sandbox.data_mounts", "/d"},
		{"sandbox: {rlimits: [{type: RLIMIT_NOFILE, hard: 5000}]}", "sandbox.rlimits", "RLIMIT_NOFILE 5000"},
		{"sandbox: {rlimits: [{type: RLIMIT_CORE, hard: unlimited}]}", "sandbox.rlimits", "RLIMIT_CORE unlimited"},
		{"sandbox: {rlimits: [{type: RLIMIT_STACK, hard: 1}]}", "sandbox.rlimits", "RLIMIT_STACK 1"},
		{"sandbox: {max_cpu: 5}", "sandbox.max_cpu", "5 CPU"},
		{"sandbox: {max_memory: 5Gi}", "sandbox.max_memory", "5Gi"},
		{"sandbox: {max_timeout: 25h}", "sandbox.max_timeout", "25h0m0s"},
		{"sandbox: {pids: 513}", "sandbox.pids", "513"},
		{"sandbox: {tmpfs: {tmp: 1Gi}}", "sandbox.tmpfs.tmp", "1Gi"},
		{"sandbox: {tmpfs: {home: 1Gi}}", "sandbox.tmpfs.home", "1Gi"},
		{"sandbox: {tmpfs: {shm: 1Gi}}", "sandbox.tmpfs.shm", "1Gi"},
		{"sandbox: {output: {total: 3Gi}}", "sandbox.output.total", "3Gi"},
		{"sandbox: {output: {per_file: 3Gi}}", "sandbox.output.per_file", "3Gi"},
		{"sandbox: {output: {files: 10001}}", "sandbox.output.files", "10001"},
		{"sandbox: {output: {depth: 33}}", "sandbox.output.depth", "33"},
		{"sandbox: {log_head: 9Mi}", "sandbox.log_head", "9Mi"},
		{"sandbox: {log_tail: 9Mi}", "sandbox.log_tail", "9Mi"},
	} {
		got := mustLoad(t, tc.text, nil, nil).Relaxations
		if len(got) != 1 || got[0].Setting != tc.setting || got[0].Value != tc.value || len(got[0].Meaning) < 15 {
			t.Errorf("%s: %+v, want %s = %s", tc.text, got, tc.setting, tc.value)
			continue
		}
		if line := got[0].String(); !strings.HasPrefix(line, tc.setting+" is "+tc.value+": ") {
			t.Errorf("line %q", line)
		}
	}
	// What is as narrow as the default, or narrower, is none.
	narrow := `sandbox: {seccomp: default, capabilities: [], network: none, pids: 100, tmpfs: {tmp: 1Mi}, output: {files: 1}, allowed_images: [a],
  rlimits: [{type: RLIMIT_NOFILE, hard: 64}], max_cpu: 2, max_memory: 2Gi, memory: 2Gi, timeout: 2h, pull_policy: never, uid_range: 5000-6000}`
	if got := mustLoad(t, narrow, nil, nil).Relaxations; len(got) > 0 {
		t.Errorf("narrower than the default: %+v", got)
	}
}

// Without containers there is nothing to relax, and no wall to believe in.
func TestOnlyContainers(t *testing.T) {
	for _, setting := range []string{"seccomp: engine", "capabilities: [CAP_KILL]", "devices: [/dev/kvm]", "network: bridge", "runtime: runsc"} {
		_, err := loadText(t, "executor: process\nsandbox: {"+setting+"}", nil, nil)
		name, _, _ := strings.Cut(setting, ":")
		if err == nil || !strings.Contains(err.Error(), "sandbox."+name+": has no effect with executor process") {
			t.Errorf("%s: %v", setting, err)
		}
	}
}

func TestAllowsImage(t *testing.T) {
	c := mustLoad(t, "image: mine\nsandbox: {allowed_images: ['registry.example/team/*', pinned@sha256:"+strings.Repeat("a", 64)+"]}", nil, nil)
	for ref, want := range map[string]bool{
		"mine": true, "mine:latest": true, "mine:2": false, "registry.example/team/x:1": true, "registry.example/x": false,
		"pinned": false, "pinned@sha256:" + strings.Repeat("a", 64): true, "pinned@sha256:" + strings.Repeat("b", 64): false,
	} {
		if got := c.AllowsImage(ref); got != want {
			t.Errorf("%s: %v, want %v", ref, got, want)
		}
	}
}

func TestSeccompProfile(t *testing.T) {
	for text, says := range map[string]string{
		`{"defaultAction":"SCMP_ACT_ALLOW"}`: "",
		`{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,"architectures":["SCMP_ARCH_X86_64"],"syscalls":[{"names":["read"],"action":"SCMP_ACT_LOG","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"}]}]}`: "",
		``:                                     "no seccomp profile",
		`[]`:                                   "no seccomp profile",
		`{"defaultAction":"SCMP_ACT_ALLOW"} 1`: "something follows",
		`{}`:                                   `defaultAction is ""`,
		`{"defaultAction":"allow"}`:            `defaultAction is "allow"`,
		`{"defaultAction":"SCMP_ACT_NOTIFY"}`:  `defaultAction is "SCMP_ACT_NOTIFY"`,
		// The format of the engine's own file, whose conditions would be ignored.
		`{"defaultAction":"SCMP_ACT_ERRNO","archMap":[]}`:                                                            `unknown field "archMap"`,
		`{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW","includes":{}}]}`: `unknown field "includes"`,
		`{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":[],"action":"SCMP_ACT_ALLOW"}]}`:                     "syscalls[0] names no call",
		`{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"ok"}]}`:                           `syscalls[0]: action is "ok"`,
		`{"defaultAction":"SCMP_ACT_ERRNO","listenerPath":"/x"}`:                                                     "a listener can't be had",
	} {
		p, err := parseSeccomp([]byte(text))
		if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) || (p == nil) != (err != nil) {
			t.Errorf("%s: %v, want %q", text, err, says)
		}
	}
	large := filepath.Join(t.TempDir(), "large.json")
	if err := os.WriteFile(large, []byte(strings.Repeat(" ", maxSeccomp+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readSeccomp(large); err == nil || !strings.Contains(err.Error(), "more than a profile could") {
		t.Errorf("a large file: %v", err)
	}
}

// FuzzSeccomp: what is taken is a profile that says the same when it is written
// again, and nothing panics.
func FuzzSeccomp(f *testing.F) {
	f.Add([]byte(`{"defaultAction":"SCMP_ACT_ALLOW","flags":["SECCOMP_FILTER_FLAG_LOG"]}`))
	f.Add([]byte(`{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["a"],"action":"SCMP_ACT_ALLOW","errnoRet":1}]}`))
	f.Add([]byte(`{"defaultAction":null}`))
	f.Add([]byte(`{"defaultAction":"SCMP_ACT_ALLOW","architectures":[],"flags":[],"syscalls":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := parseSeccomp(data)
		if err != nil {
			return
		}
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseSeccomp(text)
		if err != nil {
			t.Fatalf("its own text is refused: %v\n%s", err, text)
		}
		if diff := cmp.Diff(p, again, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// Whatever the section says: what is accepted never is privileged, has every
// limit, and what is not a default is either narrower or named.
func TestSandboxProperties(t *testing.T) {
	settings := []struct{ key, values string }{
		{"seccomp", "default engine unconfined /nowhere"}, {"network", "none bridge host default container:x lab"},
		{"runtime", "'' runc runsc a/b"}, {"capabilities", "[] [CAP_KILL] [ALL] [CAP_SYS_ADMIN] [CAP_KILL,CAP_SYS_MODULE]"},
		{"devices", "[] [/dev/kvm] [/dev/mem] [/etc/shadow]"}, {"pids", "32 512 513 0 -1"}, {"unenforced", "[] [swap] [all]"},
		{"rlimits", "[] [{type:~RLIMIT_NOFILE,hard:~9999}] [{type:~RLIMIT_CORE,hard:~unlimited}] [{type:~RLIMIT_NPROC,hard:~1}]"},
		{"tmpfs", "{tmp:~1Mi} {tmp:~1Gi} {shm:~0}"}, {"output", "{files:~1} {total:~1Ti} {depth:~0}"},
	}
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		text := "sandbox:\n  grace: 1s\n"
		for _, s := range settings {
			if rapid.Bool().Draw(rt, s.key) {
				value := rapid.SampledFrom(strings.Fields(s.values)).Draw(rt, s.key+" value")
				text += "  " + s.key + ": " + strings.ReplaceAll(value, "~", " ") + "\n"
			}
		}
		path := filepath.Join(dir, "runner.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			rt.Fatal(err)
		}
		c, err := load(nil, path, []string{"LYNX_RUNNER_WORKING_DIRECTORY=/srv/work"}, nil, testHost)
		if err != nil {
			return
		}
		checkNeverPrivileged(rt, c)
		def := mustLoad(t, "{}", nil, nil).JobSandbox(1, 1)
		s := c.JobSandbox(1, 1)
		weaker := s.EngineSeccomp || s.Seccomp != nil || len(s.Capabilities)+len(s.Devices) > 0 || s.Network != def.Network || s.Runtime != "" ||
			*s.Resources.Pids.Limit > *def.Resources.Pids.Limit || s.TmpBytes > def.TmpBytes
		if weaker && len(c.Relaxations) == 0 {
			rt.Fatalf("not named: %s", text)
		}
	})
}

func checkNeverPrivileged(t *rapid.T, c *Config) {
	s := c.JobSandbox(1, 1)
	for _, name := range s.Capabilities {
		if name == "ALL" || name == "CAP_SYS_ADMIN" || name == "CAP_SYS_MODULE" {
			t.Fatalf("a job may have %s", name)
		}
	}
	for _, d := range s.Devices {
		if d.Path == "/dev/mem" || !strings.HasPrefix(d.Path, "/dev/") {
			t.Fatalf("a job may use %s", d.Path)
		}
	}
	if s.Network == "host" || s.Network == "default" || strings.Contains(s.Network, ":") {
		t.Fatalf("a job's network is %s", s.Network)
	}
	if *s.Resources.Pids.Limit < 1 || s.TmpBytes < 1 || s.HomeBytes < 1 || s.ShmBytes < 1 {
		t.Fatalf("a limit is missing: %+v", s)
	}
	if !slices.ContainsFunc(s.Rlimits, func(l specs.POSIXRlimit) bool { return l.Type == "RLIMIT_FSIZE" && l.Hard > 0 }) {
		t.Fatalf("no bound on files: %v", s.Rlimits)
	}
}
