//go:build engine

package docker

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/executor/docker/dockertest"
	"github.com/tetryx/lynx-runner/executor/executortest"
)

// What the tests with an engine share: the shim, the test program and two images
// of it, one of which is hostile.
var (
	shimPath, jobPath      string
	plainImage, nastyImage string

	plain, nasty dockertest.Image
	testRunners                    = fmt.Sprintf("runner-%d-", os.Getpid())
	_            executor.Executor = (*Executor)(nil)
)

func TestMain(m *testing.M) {
	code, err := withEngine(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "tests with an engine:", err)
		code = 1
	}
	os.Exit(code)
}

func withEngine(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "docker-executor")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		return 1, err
	}
	if jobPath, err = executortest.BuildJob(dir); err != nil {
		return 1, err
	}
	if shimPath, err = executortest.BuildShim(dir); err != nil {
		return 1, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	plain = dockertest.Image{
		Name: fmt.Sprintf("lynx-test-plain:%d", os.Getpid()), Files: map[string]string{"/job": jobPath},
		Config: map[string]any{"Cmd": []string{"/job", "exit", "0"}},
	}
	nasty = hostileImage()
	for _, image := range []struct {
		dockertest.Image
		id *string
	}{{plain, &plainImage}, {nasty, &nastyImage}} {
		if *image.id, err = image.Load(ctx); err != nil {
			return 1, err
		}
		defer func() {
			if e := image.Remove(context.Background()); e != nil && err == nil {
				code, err = 1, e
			}
		}()
	}
	code = m.Run()
	return code, noneLeft(ctx)
}

// noneLeft wants no container of these tests on the engine.
func noneLeft(ctx context.Context) error {
	cli, err := client.New(client.FromEnv)
	if err != nil {
		return err
	}
	defer cli.Close()
	res, err := cli.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: client.Filters{}.Add("label", labelRunner)})
	if err != nil {
		return err
	}
	for _, c := range res.Items {
		if r := c.Labels[labelRunner]; len(r) >= len(testRunners) && r[:len(testRunners)] == testRunners {
			err = fmt.Errorf("container %v of %s is left", c.Names, r)
		}
	}
	return err
}

// hostileImage sets everything that an image can set against a job.
func hostileImage() dockertest.Image {
	return dockertest.Image{
		Name: fmt.Sprintf("lynx-test-hostile:%d", os.Getpid()), Files: map[string]string{"/job": jobPath},
		Config: map[string]any{
			"User": "0:0", "WorkingDir": "/lynx/log/made-by-image",
			"Entrypoint": []string{"/job", "exit", "77"}, "Cmd": []string{"exit", "78"},
			"Env": []string{
				"GODEBUG=inittrace=1,schedtrace=1", "GOTRACEBACK=crash", "GOMEMLIMIT=1", "GOGC=1", "GOMAXPROCS=1000",
				"LD_PRELOAD=/evil.so", "PATH=/evil", "TETRYX_OUTPUT_DIR=/evil", "http_proxy=http://evil", "LEAK=from-image",
				"NVIDIA_VISIBLE_DEVICES=all", "AMD_VISIBLE_DEVICES=all",
			},
			"Volumes":     map[string]any{"/data": struct{}{}, "/tmp": struct{}{}, "/lynx/home": struct{}{}, "/var/lib/thing": struct{}{}},
			"StopSignal":  "SIGUSR1",
			"Healthcheck": map[string]any{"Test": []string{"CMD", "/job", "exit", "1"}, "Interval": 1_000_000_000},
		},
	}
}

func newTestExecutor(t *testing.T, runnerID string, change ...func(*Config)) *Executor {
	t.Helper()
	cfg := Config{
		RunnerID: runnerID, Shim: shimPath, AllowedImages: []string{"lynx-test-*"},
		Log: slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, c := range change {
		c(&cfg)
	}
	e, err := New(t.Context(), cfg)
	if err != nil {
		// During the cleanup t.Context has ended.
		if e, err = New(context.Background(), cfg); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

// testWriter sends a logger's lines to the test's log.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", p)
	return len(p), nil
}

func TestSuite(t *testing.T) {
	executortest.Run(t, executortest.Harness{
		New:       func(t *testing.T, id string) executor.Executor { return newTestExecutor(t, id) },
		Image:     plainImage,
		Job:       "/job",
		User:      testUser,
		Container: true,
		Limits:    true,
	})
}
