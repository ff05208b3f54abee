package docker

import (
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/api/types/system"

	"github.com/tetryx/lynx-runner/executor"
)

func TestNewFailures(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(*daemon)
		say     string
	}{
		"hangs":           {func(d *daemon) { d.on("HEAD /_ping", hang) }, "no engine answers"},
		"too old":         {func(d *daemon) { d.on("HEAD /_ping", apiVersion("1.39")) }, "1.40"},
		"info hangs":      {func(d *daemon) { d.on("GET /info", hang) }, "did not answer in time"},
		"ping is refused": {func(d *daemon) { d.on("HEAD /_ping", status(500)); d.on("GET /_ping", status(500)) }, "no engine answers"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDaemon(t)
			c.prepare(d)
			_, err := New(t.Context(), Config{RunnerID: "r", Shim: fakeShim(t), Host: d.host, CallTimeout: time.Second})
			if !errors.Is(err, executor.ErrUnavailable) || !strings.Contains(err.Error(), c.say) {
				t.Errorf("got %v, want ErrUnavailable that says %q", err, c.say)
			}
		})
	}
	_, err := New(t.Context(), Config{RunnerID: "r", Shim: fakeShim(t), Host: "unix:///nowhere/docker.sock"})
	if !errors.Is(err, executor.ErrUnavailable) || !strings.Contains(err.Error(), "/nowhere/docker.sock") || !strings.Contains(err.Error(), "start Docker") {
		t.Errorf("no engine: %v, want ErrUnavailable that names the socket and says what to do", err)
	}
}

func apiVersion(v string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Api-Version", v) }
}

func TestNewChecksItsConfiguration(t *testing.T) {
	good := Config{RunnerID: "r", Shim: fakeShim(t), Host: "unix:///nowhere/docker.sock"}
	private := filepath.Join(t.TempDir(), "shim")
	if err := os.WriteFile(private, nil, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		spoil func(*Config)
		say   string
	}{
		"no runner id":     {func(c *Config) { c.RunnerID = "" }, "runner id"},
		"policy":           {func(c *Config) { c.PullPolicy = "sometimes" }, "sometimes"},
		"no shim":          {func(c *Config) { c.Shim = "/nowhere/lynx-shim" }, "/nowhere/lynx-shim"},
		"a private shim":   {func(c *Config) { c.Shim = private }, "0755"},
		"shim a directory": {func(c *Config) { c.Shim = t.TempDir() }, "regular file"},
	} {
		cfg := good
		c.spoil(&cfg)
		if _, err := New(t.Context(), cfg); err == nil || errors.Is(err, executor.ErrUnavailable) || !strings.Contains(err.Error(), c.say) {
			t.Errorf("%s: %v, want an error that says %q", name, err, c.say)
		}
	}
}

func TestEngineInfo(t *testing.T) {
	e := newDaemon(t).executor()
	if i := e.Engine(); i.Version != "20.10.24" || i.APIVersion != "1.41" || !slices.Equal(i.Security, []string{"seccomp"}) || len(i.Warnings)+len(i.Unenforced) > 0 {
		t.Errorf("got %+v", i)
	}
	if e.Name() != "docker" {
		t.Errorf("Name is %q", e.Name())
	}
}

func TestUnenforced(t *testing.T) {
	full := system.Info{
		MemoryLimit: true, SwapLimit: true, PidsLimit: true, CPUCfsQuota: true, CgroupVersion: "2", CgroupDriver: "systemd",
		SecurityOptions: []string{"name=seccomp,profile=default", "name=cgroupns"},
	}
	for name, c := range map[string]struct {
		spoil func(*system.Info)
		limit string
		say   string
	}{
		"nothing":                 {func(*system.Info) {}, "", ""},
		"no memory limit":         {func(s *system.Info) { s.MemoryLimit = false }, "memory", "cgroup_enable=memory"},
		"no swap limit":           {func(s *system.Info) { s.SwapLimit = false }, "swap", "swapaccount=1"},
		"no process limit":        {func(s *system.Info) { s.PidsLimit = false }, "pids", "pids controller"},
		"no CPU limit":            {func(s *system.Info) { s.CPUCfsQuota = false }, "cpu", "cpu controller"},
		"rootless with cgroup v1": {func(s *system.Info) { s.CgroupVersion = "1"; s.SecurityOptions[1] = "name=rootless" }, "memory pids cpu", "Delegate="},
		"rootless, no driver":     {func(s *system.Info) { s.CgroupDriver = "none"; s.SecurityOptions[1] = "name=rootless" }, "memory pids cpu", "Delegate="},
	} {
		s := full
		s.SecurityOptions = slices.Clone(full.SecurityOptions)
		c.spoil(&s)
		info := newEngineInfo(s, "1.41", true)
		var limits []string
		for _, u := range info.Unenforced {
			limits = append(limits, u.Limit)
			if !strings.Contains(u.Reason, c.say) {
				t.Errorf("%s: %q does not say %q", name, u.Reason, c.say)
			}
		}
		if got := strings.Join(limits, " "); got != c.limit || len(info.Warnings) > 0 {
			t.Errorf("%s: %q, want %q; %q", name, got, c.limit, info.Warnings)
		}
	}
	without := full
	without.SwapLimit = false
	if i := newEngineInfo(without, "1.41", false); len(i.Unenforced) > 0 {
		t.Errorf("swap that there is not: %+v", i.Unenforced)
	}
	without.SecurityOptions = nil
	if i := newEngineInfo(without, "1.41", false); len(i.Warnings) != 1 || !strings.Contains(i.Warnings[0], "seccomp") {
		t.Errorf("no seccomp: %q", i.Warnings)
	}
	full.SecurityOptions = append(full.SecurityOptions, "name=rootless")
	if i := newEngineInfo(full, "1.41", true); len(i.Unenforced) > 0 || !i.Remapped() {
		t.Errorf("rootless with cgroup v2: %+v", i)
	}
}

func TestEngineGPUs(t *testing.T) {
	for name, c := range map[string]struct {
		info system.Info
		want bool
	}{
		"none":    {system.Info{Runtimes: map[string]system.RuntimeWithStatus{"runc": {}}}, false},
		"runtime": {system.Info{Runtimes: map[string]system.RuntimeWithStatus{"runc": {}, "nvidia": {}}}, true},
		"CDI":     {system.Info{DiscoveredDevices: []system.DeviceInfo{{Source: "cdi", ID: "nvidia.com/gpu=0"}}}, true},
		"other":   {system.Info{DiscoveredDevices: []system.DeviceInfo{{Source: "cdi", ID: "vendor.com/net=0"}}}, false},
	} {
		if got := newEngineInfo(c.info, "1.41", false).GPUs; got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestResolve(t *testing.T) {
	d := newDaemon(t)
	pulls := 0
	d.on("POST /images/create", func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		pulls++
		d.images["lynx-far:latest"], d.images["lynx-far"] = "sha256:bbbb", "sha256:bbbb"
		d.mu.Unlock()
		_, _ = io.WriteString(w, `{"status":"done"}`)
	})
	allow := func(c *Config) { c.AllowedImages = []string{"lynx-*"} }
	with := func(p PullPolicy) func(*Config) { return func(c *Config) { c.PullPolicy = p } }
	resolve := func(e *Executor, ref string) (string, error) { return e.Resolve(t.Context(), ref) }

	never := d.executor(allow)
	if id, err := resolve(never, "lynx-test:latest"); err != nil || id != "sha256:aaaa" {
		t.Errorf("there: %q, %v", id, err)
	}
	if _, err := resolve(never, "lynx-far"); !errors.Is(err, executor.ErrImage) || !strings.Contains(err.Error(), "docker pull lynx-far") || pulls != 0 {
		t.Errorf("never: %v after %d pulls, want ErrImage that says what to do", err, pulls)
	}
	if _, err := resolve(never, "other"); !errors.Is(err, executor.ErrImage) || !strings.Contains(err.Error(), "lynx-*") {
		t.Errorf("not allowed: %v, want ErrImage that names what is", err)
	}
	missing := d.executor(allow, with(PullIfMissing))
	for range 2 {
		if id, err := resolve(missing, "lynx-far"); err != nil || id != "sha256:bbbb" || pulls != 1 {
			t.Errorf("if-missing: %q, %v after %d pulls", id, err, pulls)
		}
	}
	if id, err := resolve(d.executor(allow, with(PullAlways)), "lynx-far"); err != nil || id != "sha256:bbbb" || pulls != 2 {
		t.Errorf("always: %q, %v after %d pulls", id, err, pulls)
	}
	d.on("POST /images/create", status(http.StatusInternalServerError))
	if id, err := resolve(d.executor(allow, with(PullAlways)), "lynx-far"); err != nil || id != "sha256:bbbb" {
		t.Errorf("always, without a registry: %q, %v; want what is there", id, err)
	}
	if _, err := resolve(missing, "lynx-farther"); err == nil || errors.Is(err, executor.ErrImage) {
		t.Errorf("if-missing, without a registry: %v, which is nothing against the image", err)
	}
	for _, code := range []int{http.StatusNotFound, http.StatusForbidden} {
		d.on("POST /images/create", status(code))
		if _, err := resolve(missing, "lynx-farther"); !errors.Is(err, executor.ErrImage) {
			t.Errorf("if-missing, the registry says %d: %v", code, err)
		}
	}
	d.on("GET /images/{id}/json", hang)
	if _, err := resolve(d.executor(allow, impatient), "lynx-test"); !errors.Is(err, executor.ErrUnavailable) || errors.Is(err, executor.ErrImage) {
		t.Errorf("the engine hangs: %v, want ErrUnavailable", err)
	}
}

// TestImageWithANamelessVariable: the engine would refuse each attempt anew.
func TestImageWithANamelessVariable(t *testing.T) {
	d := newDaemon(t)
	e := d.executor()
	d.on("GET /images/{id}/json", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"Id":"sha256:aaaa","Config":{"Env":["A=1","=x"]}}`)
	})
	if _, err := e.imageVolumes(t.Context(), "sha256:aaaa"); !errors.Is(err, executor.ErrInvalidSpec) || !strings.Contains(err.Error(), "=x") {
		t.Errorf("%v", err)
	}
}

// TestPullsAreShared has several callers want the same image at once.
func TestPullsAreShared(t *testing.T) {
	d := newDaemon(t)
	e := d.executor(func(c *Config) { c.AllowedImages, c.PullPolicy = []string{"far"}, PullIfMissing })
	const callers = 4
	var mu sync.Mutex
	asked, pulls := 0, 0
	all := make(chan struct{})
	d.on("GET /images/{id}/json", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked++
		if asked == callers {
			close(all)
		}
		pulled := pulls > 0
		mu.Unlock()
		if pulled {
			_, _ = io.WriteString(w, `{"Id":"sha256:cccc"}`)
			return
		}
		problem(w, http.StatusNotFound, "No such image")
	})
	d.on("POST /images/create", func(w http.ResponseWriter, _ *http.Request) {
		<-all // everybody has asked
		mu.Lock()
		pulls++
		mu.Unlock()
		_, _ = io.WriteString(w, `{"status":"done"}`)
	})
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			if id, err := e.Resolve(t.Context(), "far"); err != nil || id != "sha256:cccc" {
				t.Errorf("%q, %v", id, err)
			}
		})
	}
	wg.Wait()
	if pulls < 1 || pulls >= callers {
		t.Errorf("%d pulls for %d callers", pulls, callers)
	}
}
