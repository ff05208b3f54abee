//go:build engine

package docker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/wait"
	"golang.org/x/sys/unix"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/executor/executortest/facts"
	"github.com/tetryx/lynx-runner/executor/internal/cgroup"
)

// engineSpec is a run of the test program in a container, with directories of
// its own.
func engineSpec(t *testing.T, args ...string) executor.Spec {
	t.Helper()
	spec := testSpec(t)
	dir := t.TempDir()
	spec.AttemptID = fmt.Sprintf("%s-%d", strings.NewReplacer("/", "-", "_", "-").Replace(t.Name()), os.Getpid())
	spec.Image, spec.Argv = plainImage, append([]string{"/job"}, args...)
	spec.Env = []string{"TETRYX_OUTPUT_DIR=" + executor.ContainerOutput}
	spec.WorkDir, spec.RunConfig = "", ""
	spec.OutputDir = filepath.Join(dir, "output")
	if err := os.Mkdir(spec.OutputDir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{spec.OutputDir, spec.LogDir} {
		if err := os.Chown(d, int(testUser.UID), int(testUser.GID)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(spec.RuntimeDir, 0o755); err != nil {
		t.Fatal(err)
	}
	return spec
}

// engineStart starts an attempt that is removed with the test.
func engineStart(t *testing.T, e *Executor, spec executor.Spec) *handle {
	t.Helper()
	h := mustStart(t, e, spec)
	t.Cleanup(func() {
		if _, err := h.Kill(context.Background()); err != nil {
			t.Error(err)
		}
		mustWait(t, h)
		if err := h.Remove(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return h
}

func engineClient(t *testing.T) *client.Client {
	t.Helper()
	cli, err := client.New(client.FromEnv)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cli.Close() })
	return cli
}

func testExecutor(t *testing.T, change ...func(*Config)) *Executor {
	t.Helper()
	e := newTestExecutor(t, testRunners+t.Name(), change...)
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// ready waits for the job's file.
func ready(t *testing.T, spec executor.Spec) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(2 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(spec.OutputDir, "ready")); err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the job does not come to its point")
		}
	}
}

// TestHostileImage runs a job in an image that sets all it can against it.
func TestHostileImage(t *testing.T) {
	spec := engineSpec(t, "facts")
	spec.Image = nastyImage
	e := testExecutor(t)
	if x := mustWait(t, engineStart(t, e, spec)); x.Code != 0 || !x.Known {
		t.Fatalf("got %+v", x)
	}
	f, err := facts.Read(filepath.Join(spec.OutputDir, "facts.json"))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(f.Env, spec.Env) {
		t.Errorf("environment %q, want %q alone", f.Env, spec.Env)
	}
	if f.UID != int(testUser.UID) || f.Dir != executor.ContainerOutput {
		t.Errorf("user %d in %s", f.UID, f.Dir)
	}
	want := []string{"/data", "/dev/mqueue", "/dev/shm", "/lynx/home", "/lynx/log", "/lynx/output", "/tmp", "/var/lib/thing"}
	if !slices.Equal(f.Writable, want) {
		t.Errorf("writable %v, want %v", f.Writable, want)
	}
}

// TestHostileImageAndShim looks at the shim's own environment and health check
// from outside, and at what is left of the image's volumes.
func TestHostileImageAndShim(t *testing.T) {
	spec := engineSpec(t, "sleep")
	spec.Image = nastyImage
	h := mustStart(t, testExecutor(t), spec)
	ready(t, spec)
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", h.init.pid))
	if err != nil {
		t.Fatal(err)
	}
	vars := strings.Split(strings.TrimRight(string(env), "\x00"), "\x00")
	for _, v := range vars {
		if name, value, _ := strings.Cut(v, "="); strings.HasPrefix(name, "GO") && value != "" && v != "GOTRACEBACK=none" {
			t.Errorf("the image reaches the shim's runtime: %s", v)
		}
		if strings.HasSuffix(v, "_VISIBLE_DEVICES=all") {
			t.Errorf("the image asks for the host's GPUs: %s", v)
		}
	}
	cli := engineClient(t)
	c, err := cli.ContainerInspect(t.Context(), h.id, client.ContainerInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Container.Config.StopSignal; got != "SIGTERM" {
		t.Errorf("the image has the engine stop the container by %s", got)
	}
	if c.Container.State.Health != nil {
		t.Errorf("a health check runs: %+v", c.Container.State.Health)
	}
	if _, err := h.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustWait(t, h)
	if err := h.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, m := range c.Container.Mounts {
		if m.Name == "" {
			continue
		}
		if _, err := cli.VolumeInspect(t.Context(), m.Name, client.VolumeInspectOptions{}); !errdefs.IsNotFound(err) {
			t.Errorf("volume %s of %s is left: %v", m.Name, m.Destination, err)
		}
	}
}

// TestEndedByOthers has an administrator end a container in every way there is.
func TestEndedByOthers(t *testing.T) {
	stop := 0
	for name, end := range map[string]func(*client.Client, *handle) error{
		"docker kill": func(c *client.Client, h *handle) error {
			_, err := c.ContainerKill(t.Context(), h.id, client.ContainerKillOptions{})
			return err
		},
		"docker stop": func(c *client.Client, h *handle) error {
			_, err := c.ContainerStop(t.Context(), h.id, client.ContainerStopOptions{Timeout: &stop})
			return err
		},
		"docker kill -s TERM": func(c *client.Client, h *handle) error {
			_, err := c.ContainerKill(t.Context(), h.id, client.ContainerKillOptions{Signal: "TERM"})
			return err
		},
		"docker rm -f": func(c *client.Client, h *handle) error {
			_, err := c.ContainerRemove(t.Context(), h.id, client.ContainerRemoveOptions{Force: true})
			return err
		},
		"kill -9": func(_ *client.Client, h *handle) error {
			if !kill9(h.init.pid) {
				return errors.New("the init can't be killed")
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			spec := engineSpec(t, "sleep")
			spec.AttemptID = strings.ReplaceAll(spec.AttemptID, " ", "")
			h := engineStart(t, testExecutor(t), spec)
			ready(t, spec)
			if err := end(engineClient(t), h); err != nil {
				t.Fatal(err)
			}
			if x := mustWait(t, h); !x.ExternalKill {
				t.Errorf("got %+v, want an ExternalKill", x)
			}
		})
	}
}

// TestKilledGoesFirst looks at a container whose children left no CPU to it, or to
// its init, when it was to die.
func TestKilledGoesFirst(t *testing.T) {
	spec := engineSpec(t, "sleep")
	h := engineStart(t, testExecutor(t), spec)
	ready(t, spec)
	h.cgroup.Hurry()
	cgroup.HurryProcess(h.init.pid)
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", h.init.pid))
	if err != nil || len(threads) == 0 {
		t.Fatal(threads, err)
	}
	for _, thread := range threads {
		id, _ := strconv.Atoi(filepath.Base(thread))
		a, err := unix.SchedGetAttr(id, 0)
		if err != nil || a.Policy != unix.SCHED_FIFO && a.Nice != -20 {
			t.Errorf("thread %d: %+v, %v", id, a, err)
		}
	}
	for _, lifted := range [][2]string{{"cpu.cfs_quota_us", "-1\n"}, {"cpu.shares", "262144\n"}, {"cpu.max", "max"}, {"cpu.weight", "10000\n"}} {
		got, err := os.ReadFile(h.cgroup.File("cpu", lifted[0]))
		if err == nil && !strings.HasPrefix(string(got), lifted[1]) {
			t.Errorf("%s is %q, want %q", lifted[0], got, lifted[1])
		}
	}
}

// TestVacatedByTheEngine: a real container's place is free when its cgroup has no
// memory left, and its end is known afterwards.
func TestVacatedByTheEngine(t *testing.T) {
	spec := engineSpec(t, "exit", "0")
	h := engineStart(t, testExecutor(t), spec)
	select {
	case <-h.Vacated():
	case <-time.After(time.Minute):
		t.Fatal("it never was")
	}
	select {
	case <-h.gone:
	default:
		t.Error("vacated before its processes were gone")
	}
	if bytes, known := held(h.cgroup); !known || bytes > freed {
		t.Errorf("%d bytes are held (known: %v)", bytes, known)
	}
	if x := mustWait(t, h); !x.Known || x.Code != 0 {
		t.Errorf("got %+v", x)
	}
}

// TestWithoutRights runs and kills as a runner does that may not signal the
// container's init nor hold it.
func TestWithoutRights(t *testing.T) {
	e := testExecutor(t)
	e.open = noRight
	spec := engineSpec(t, "exit", "3")
	if x := mustWait(t, engineStart(t, e, spec)); !x.Known || x.Code != 3 || len(x.Notes) > 0 {
		t.Errorf("got %+v", x)
	}
	spec = engineSpec(t, "ignore-term")
	spec.AttemptID += "-kill"
	h := engineStart(t, e, spec)
	ready(t, spec)
	if _, err := h.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if x := mustWait(t, h); x.ExternalKill {
		t.Errorf("got %+v", x)
	}
	c, err := e.engine.inspect(t.Context(), h.id)
	if err != nil || c.State.Status != container.StateExited {
		t.Errorf("after Kill the container is %v, %v", c.State, err)
	}
}

func TestImages(t *testing.T) {
	e := testExecutor(t)
	if id, err := e.Resolve(t.Context(), plain.Name); err != nil || id != plainImage {
		t.Errorf("%q, %v; want the id that was computed, %s", id, err, plainImage)
	}
	if _, err := e.Resolve(t.Context(), "lynx-test-missing"); !errors.Is(err, executor.ErrImage) {
		t.Errorf("missing: %v", err)
	}
	spec := engineSpec(t, "exit", "0")
	spec.Image = "sha256:" + strings.Repeat("0", 64)
	if _, err := e.Start(t.Context(), spec); !errors.Is(err, executor.ErrImage) {
		t.Errorf("gone before Start: %v", err)
	}
}

// TestUnknownRuntime is a limit of the engine that makes the specification
// impossible.
func TestImpossible(t *testing.T) {
	e := testExecutor(t)
	for name, spoil := range map[string]func(*executor.Spec){
		"runtime":       func(s *executor.Spec) { s.Sandbox.Runtime = "no-such-runtime" },
		"too many CPUs": func(s *executor.Spec) { s.Sandbox = s.Sandbox.WithCPU(100_000_000) },
		"no work":       func(s *executor.Spec) { s.WorkDir = "/nowhere/at/all" },
	} {
		spec := engineSpec(t, "exit", "0")
		spoil(&spec)
		if _, err := e.Start(t.Context(), spec); !errors.Is(err, executor.ErrInvalidSpec) {
			t.Errorf("%s: %v, want ErrInvalidSpec", name, err)
		}
	}
}

// TestByHand starts the same container through testcontainers-go, with the
// request that Start would send and the shim as its entrypoint, and no runner:
// the job runs and ends all the same.
func TestByHand(t *testing.T) {
	t.Setenv("TESTCONTAINERS_RYUK_DISABLED", "true")
	spec := engineSpec(t, "facts")
	e := testExecutor(t)
	body, err := e.body(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(writeShimConfig(spec), writeHosts(spec.RuntimeDir)); err != nil {
		t.Fatal(err)
	}
	now := 0
	c, err := testcontainers.GenericContainer(t.Context(), testcontainers.GenericContainerRequest{
		Started: true,
		ContainerRequest: testcontainers.ContainerRequest{
			Image: plain.Name,
			ConfigModifier: func(c *container.Config) {
				labels := c.Labels
				*c = body.Config
				c.Image, c.StopTimeout = plain.Name, &now
				for k, v := range labels {
					c.Labels[k] = v
				}
				delete(c.Labels, labelRunner) // no runner is to find it
			},
			HostConfigModifier: func(h *container.HostConfig) { *h = body.HostConfig },
			WaitingFor:         wait.ForExit().WithExitTimeout(time.Minute),
		},
	})
	testcontainers.CleanupContainer(t, c)
	if err != nil {
		t.Fatal(err)
	}
	state, err := c.State(t.Context())
	if err != nil || state.ExitCode != 0 {
		t.Fatalf("state %+v, %v", state, err)
	}
	f, err := facts.Read(filepath.Join(spec.OutputDir, "facts.json"))
	if err != nil {
		t.Fatal(err)
	}
	if f.UID != int(testUser.UID) || len(f.Interfaces) > 0 || f.Status["Seccomp"] != "2" {
		t.Errorf("got %+v", f)
	}
}

// TestGroupsOfABrokenStart: the groups of a container whose start was broken off go
// with the container.
func TestGroupsOfABrokenStart(t *testing.T) {
	id, above := newID(), filepath.Join(cgroupMount, "pids") // of version 1
	if _, err := os.Stat(above); err != nil {
		above = cgroupMount
	}
	group := filepath.Join(above, "docker", id)
	if err := os.MkdirAll(group, 0o755); err != nil {
		t.Fatal(err)
	}
	testExecutor(t).discard(id)
	if _, err := os.Stat(group); err == nil {
		t.Errorf("%s is there: %v", group, unix.Rmdir(group))
	}
}
