package docker

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/executor/internal/cgroup"
)

// answers is an engine that answers every request the same.
type answers struct {
	status int
	body   []byte
}

// RoundTrip implements http.RoundTripper.
func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		Status: http.StatusText(a.status), StatusCode: a.status, Request: r, ContentLength: -1,
		Header: http.Header{"Content-Type": {"application/json"}, "Api-Version": {string(a.body)}},
		Body:   io.NopCloser(bytes.NewReader(a.body)),
	}, nil
}

// engineThat makes an engine of answers. status is made one.
func engineThat(t *testing.T, status int, body []byte) *engine {
	t.Helper()
	cli, err := client.New(client.WithHost("tcp://engine:2375"), client.WithAPIVersion("1.41"),
		client.WithHTTPClient(&http.Client{Transport: answers{200 + int(uint(status)%400), body}}))
	if err != nil {
		t.Fatal(err)
	}
	return &engine{api: cli, timeout: time.Minute}
}

// FuzzInspect: whatever an engine says of a container, it is refused or makes a
// handle's worth of facts; and what follows for the exit does not contradict
// itself.
func FuzzInspect(f *testing.F) {
	f.Add(200, []byte(`{"Id":"a","Name":"/x","Config":{"Labels":{"io.tetryx.lynx.attempt":"job-1"}},"HostConfig":{"Memory":5,"Mounts":[{"Target":"/lynx/log","Source":"/s"}]},`+
		`"State":{"Status":"exited","ExitCode":137,"OOMKilled":true,"Pid":0,"StartedAt":"2026-03-01T12:00:00Z","FinishedAt":"2026-03-01T12:00:01.5Z"}}`), true, false, int64(1))
	f.Add(200, []byte(`{"Id":"a","Config":{},"HostConfig":{},"State":{"Status":"created","Error":"no such device"}}`), false, true, int64(0))
	f.Add(200, []byte(`{"Id":"a","Config":{},"HostConfig":{},"State":{"Status":"dead","ExitCode":-1,"StartedAt":"0001-01-01T00:00:00Z","FinishedAt":"x"}}`), false, true, int64(0))
	f.Add(200, []byte(`{"Id":"a"}`), false, true, int64(0))
	f.Add(404, []byte(`{"message":"no such container"}`), false, true, int64(0))
	f.Fuzz(func(t *testing.T, status int, body []byte, killed, brokeOff bool, oomKills int64) {
		c, err := engineThat(t, status, body).inspect(t.Context(), "id")
		if err != nil {
			return
		}
		_ = labelled(c.Config.Labels, labelKillAfter)
		if !ended(c.State) {
			return
		}
		r := newRecord(c.State)
		x := evidence{
			record: r, killed: killed, brokeOff: brokeOff, counters: cgroup.Counters{OOMKills: max(0, oomKills)}, memoryLimit: c.HostConfig.Memory,
			started: engineTime(c.State.StartedAt), ended: engineTime(c.State.FinishedAt),
		}.exit()
		switch {
		case x.Usage.Wall < 0:
			t.Fatalf("it took %v", x.Usage.Wall)
		case x.Known && brokeOff && r.exitCode != sigkilled:
			t.Fatalf("of an engine that was away %+v makes %+v", r, x)
		case x.Known && (r.neverStarted || x.Code != r.exitCode):
			t.Fatalf("%+v makes %+v", r, x)
		case x.ExternalKill && (killed || r.neverStarted || r.exitCode != sigkilled):
			t.Fatalf("%+v was not killed by somebody else: %+v", r, x)
		case !x.Known && len(x.Notes) == 0 && !killed && !x.DeadlineKill:
			t.Fatalf("%+v: nobody is told why the exit is not known: %+v", r, x)
		}
	})
}

// FuzzInfo: a limit of which the engine does not say that it can enforce it is
// always one that it can't, whatever else it says.
func FuzzInfo(f *testing.F) {
	f.Add([]byte(`{"ServerVersion":"20.10.24","CgroupVersion":"1","CgroupDriver":"cgroupfs","MemoryLimit":true,"SwapLimit":true,"PidsLimit":true,"CpuCfsQuota":true,`+
		`"SecurityOptions":["name=seccomp,profile=default","name=userns"],"Runtimes":{"runc":{"path":"runc"},"nvidia":{}},"NCPU":2}`), true)
	f.Add([]byte(`{"CgroupDriver":"none","SecurityOptions":["name=rootless",""],"Runtimes":null,"DiscoveredDevices":[{"ID":"nvidia.com/gpu=0"}]}`), false)
	f.Add([]byte(`null`), false)
	f.Fuzz(func(t *testing.T, body []byte, swap bool) {
		res, err := engineThat(t, 0, body).api.Info(t.Context(), infoOptions)
		if err != nil {
			return
		}
		info := newEngineInfo(res.Info, "1.41", swap)
		said := func(limit string) bool {
			return slices.ContainsFunc(info.Unenforced, func(u executor.Unenforced) bool { return u.Limit == limit && u.Reason != "" })
		}
		if !res.Info.MemoryLimit && !said("memory") || !res.Info.PidsLimit && !said("pids") || !res.Info.CPUCfsQuota && !said("cpu") ||
			res.Info.MemoryLimit && !res.Info.SwapLimit && swap && !said("swap") && !said("memory") {
			t.Errorf("of %s only %+v is not enforced", body, info.Unenforced)
		}
		if len(info.Runtimes) != len(res.Info.Runtimes) || len(info.Security) != len(res.Info.SecurityOptions) {
			t.Errorf("%s became %+v", body, info)
		}
	})
}

// FuzzAnswers: calls whose answer decides something end, and only an answer of
// success is one.
func FuzzAnswers(f *testing.F) {
	f.Add(0, []byte(`{"StatusCode":0,"Error":{"Message":"x"}}`))
	f.Add(0, []byte(`[{"Id":"a"},{"Id":"b"}]`))
	f.Add(0, []byte(`{"Type":"container","Action":"kill"}`))
	f.Add(0, []byte(`{"status":"Pulling"}{"errorDetail":{"message":"denied"},"error":"denied"}`))
	f.Add(0, []byte("1.41"))
	f.Add(204, []byte(`{"Id":"a","Warnings":["w"]}`))
	f.Add(304, []byte(``))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		e := engineThat(t, status, body)
		refused := uint(status)%400 >= 200 // 400 and above
		var errs []error
		add := func(err error) { errs = append(errs, err) }
		_, _, err := e.create(t.Context(), "name", createBody{})
		add(err)
		add(e.start(t.Context(), "id"))
		_, err = e.list(t.Context(), "label", "value")
		add(err)
		_, err = e.image(t.Context(), "ref")
		add(err)
		add(e.pull(t.Context(), "ref"))
		for _, err := range errs {
			if refused && err == nil {
				t.Fatalf("status %d of %q is success: %v", 200+uint(status)%400, body, errs)
			}
		}
		_ = e.killedByOthers(t.Context(), "id", time.Unix(0, 0))
		w, err := e.wait(t.Context(), "id", container.WaitConditionNotRunning)
		if err == nil {
			err = <-w
		}
		if refused && err == nil {
			t.Fatalf("a wait with status %d ends well", 200+uint(status)%400)
		}
	})
}

// FuzzVolumes: of an image whose volumes are accepted, every volume is covered
// once, by a path that the engine takes, and none covers what the runner or the
// system needs.
func FuzzVolumes(f *testing.F) {
	for _, v := range []string{"/data", "/data/", "data", "/lynx/output", "/lynx/home", "/proc/x", "/dev/shm", "/a/../..", "/tmp", "tmp", "/a//b\n/a/b", "/srv/data", "/srv", "/"} {
		f.Add(v)
	}
	spec := executor.Spec{
		WorkDir: "/w", OutputDir: "/o", LogDir: "/l", RunConfig: "/r", RuntimeDir: "/t", Sandbox: executor.DefaultSandbox(),
		DataMounts: []executor.Mount{{Source: "/host", Target: "/srv/data"}},
	}
	others := binds(spec, "/shim")
	f.Fuzz(func(t *testing.T, list string) {
		volumes := strings.Split(list, "\n")
		if err := validateVolumes(volumes, others); err != nil {
			if !errors.Is(err, executor.ErrInvalidSpec) {
				t.Fatal(err)
			}
			return
		}
		targets := map[string]bool{}
		for _, m := range covers(volumes, spec, others) {
			if m.Type != mount.TypeTmpfs || !filepath.IsAbs(m.Target) || filepath.Clean(m.Target) != m.Target || targets[m.Target] {
				t.Fatalf("%q is covered at %q", list, m.Target)
			}
			targets[m.Target] = true
			if m.Target == "/" || within(m.Target, "/lynx") || inSystem(m.Target) && m.Target != "/dev/shm" {
				t.Fatalf("%q covers %q", list, m.Target)
			}
		}
		for _, v := range volumes {
			path := filepath.Clean("/" + v)
			known := path == "/tmp" || path == executor.ContainerHome || path == "/dev/shm" ||
				slices.ContainsFunc(others, func(m mount.Mount) bool { return m.Target == path })
			if !known && !targets[path] {
				t.Fatalf("%q is not covered", v)
			}
		}
	})
}

// FuzzFindCgroup: the files of a process's cgroup lie below the mounts of the
// cgroup file systems, whatever its paths are called.
func FuzzFindCgroup(f *testing.F) {
	f.Add([]byte("12:cpu,cpuacct:/docker/x\n5:memory:/docker/x\n0::/a:b\n"))
	f.Add([]byte("5:memory:/../../../etc\n"))
	f.Add([]byte("0::/../..\n"))
	f.Add([]byte("1:name=systemd:/\n0::/\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		sys := filepath.Join(dir, "sys")
		if err := errors.Join(os.MkdirAll(filepath.Join(dir, "7"), 0o700), os.MkdirAll(filepath.Join(sys, "memory"), 0o700),
			os.WriteFile(filepath.Join(dir, "7", "cgroup"), text, 0o600)); err != nil {
			t.Fatal(err)
		}
		g, err := findCgroup(dir, sys, 7, "x")
		if err != nil {
			return
		}
		for _, path := range g.Dirs {
			if !strings.HasPrefix(path, sys+"/") {
				t.Errorf("%q is read for %q", path, text)
			}
		}
	})
}

// FuzzMountinfo: each mount point is read as the kernel escaped it.
func FuzzMountinfo(f *testing.F) {
	f.Add("/mnt/with blank\\and\ttab\nline")
	f.Add(`/mnt/\040`)
	f.Add(`/\`)
	f.Fuzz(func(t *testing.T, point string) {
		// mangle() in the kernel's fs/proc_namespace.c escapes these, and #.
		escaped := strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, `\`, `\134`, "#", `\043`).Replace(point)
		if len(strings.Fields(escaped)) != 1 || strings.Fields(escaped)[0] != escaped {
			return // other blanks, which no mount point that is looked for has
		}
		got, err := parseMountpoints(strings.NewReader("36 35 98:0 / " + escaped + " rw - ext3 /dev/root rw\n"))
		if len(escaped) < 1<<16 && (err != nil || len(got) != 1 || got[0] != point) {
			t.Errorf("%q became %q, %v", point, got, err)
		}
	})
}
