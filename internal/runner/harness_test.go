package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/runner/artifact"
	"github.com/tetryx/lynx-runner/internal/runner/config"
	"github.com/tetryx/lynx-runner/internal/runner/host"
	"github.com/tetryx/lynx-runner/internal/runner/journal"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// bench is a runner between a scripted platform and a scripted executor.
type bench struct {
	t        *testing.T
	cfg      *config.Config
	platform *scriptedPlatform
	executor *scriptedExecutor
	pace     pace
	// measure, if set, measures the output in artifact.Usage's place.
	measure func(context.Context, artifact.Limits, ...string) (artifact.Use, error)
	// gpus are the host's, and space, if set, is what is free on its disks.
	gpus     host.GPUFinder
	space    func(dir string) (host.Space, error)
	runner   *Runner
	hardStop context.CancelFunc
	ended    chan error
}

// quickPace has tests wait for little. What bounds something that must happen leaves
// time for a busy machine: an engine is given up only where a test is about that.
var quickPace = pace{
	call: 5 * time.Second, poll: 5 * time.Second, answer: 5 * time.Second, backoffMin: time.Millisecond, backoffMax: 20 * time.Millisecond,
	usage: 5 * time.Millisecond, engine: patience, record: patience, kill: 10 * time.Second, stop: 5 * time.Second, deliver: 5 * time.Second,
	recheck: time.Second, look: 10 * time.Millisecond, ping: 5 * time.Second, gpus: 5 * time.Millisecond, table: time.Minute, space: 10 * time.Millisecond,
	sickMin: 10 * time.Millisecond, sickMax: 100 * time.Millisecond,
}

func newBench(t *testing.T) *bench {
	t.Helper()
	dir := t.TempDir()
	work := filepath.Join(dir, "work")
	for _, err := range []error{
		os.Mkdir(work, 0o755),
		os.WriteFile(filepath.Join(work, "scenario.py"), []byte("pass\n"), 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	sockets, err := os.MkdirTemp("", "lr") // short, unlike t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(sockets) })
	return &bench{
		t: t, platform: newPlatform(t), pace: quickPace,
		executor: &scriptedExecutor{t: t, script: func(context.Context, *program) executor.Exit { return exited(0) }},
		cfg:      benchConfig(dir, sockets),
	}
}

// benchConfig is the configuration of a runner whose files lie below dir. Its users are
// not those of the default, which other tests of this host may have processes of.
func benchConfig(dir, sockets string) *config.Config {
	return &config.Config{
		RunnerID: "test", Server: "test", Executor: "docker", Engines: []string{"basilisk"},
		Capabilities:     config.Capabilities{CPUCores: 2, MemoryGB: 4, SimulationTypes: []string{"basilisk"}},
		PythonExecutable: "/usr/bin/python3", BasiliskEntrypoint: "scenario.py", WorkingDirectory: filepath.Join(dir, "work"),
		OutputRoot: filepath.Join(dir, "out"), UIDs: config.UIDRange{First: 1_700_000_000, Last: 1_700_000_009},
		MaxConcurrentJobs: 2, Image: "lynx-basilisk", AllowedImages: []string{"lynx-basilisk", "other"},
		StateDir: filepath.Join(dir, "state"), RuntimeDir: sockets, LockDir: filepath.Join(dir, "locks"),
		Environment: map[string]string{"EXTRA": "1"},
		Limits: config.Limits{
			CPUMillis: 1000, MaxCPUMillis: 2000, MemoryBytes: 1 << 30, MaxMemoryBytes: 2 << 30,
			Timeout: time.Hour, MaxTimeout: 2 * time.Hour, Grace: 10 * time.Second, Pids: 512,
			TmpBytes: 1 << 20, HomeBytes: 1 << 20, ShmBytes: 1 << 20, LogHead: 1 << 20, LogTail: 1 << 20,
			Output: config.OutputLimits{TotalBytes: 1 << 20, FileBytes: 1 << 20, Files: 50, Depth: 8},
		},
	}
}

// start runs the runner. Its end is checked by stop or drain.
func (b *bench) start() *bench {
	b.t.Helper()
	log := slog.New(slog.NewTextHandler(testWriter{b.t, &sync.Mutex{}}, nil))
	r, err := New(b.cfg, Deps{Executor: b.executor, Platform: b.platform.client(), Version: "1.2.3", Log: log, GPUs: b.gpus})
	if err != nil {
		b.t.Fatal(err)
	}
	r.pace = b.pace
	r.admission.retry = b.pace.gpus
	r.starts.wait = backoff{min: b.pace.sickMin, max: b.pace.sickMax}
	if b.space != nil {
		r.disk.Space = b.space
	}
	if b.measure != nil {
		r.measure = b.measure
	}
	ctx, cancel := context.WithCancel(context.Background())
	b.runner, b.hardStop, b.ended = r, cancel, make(chan error, 1)
	go func() { b.ended <- r.Run(ctx) }()
	b.t.Cleanup(func() {
		cancel()
		if b.ended != nil {
			<-b.ended
			b.ended = nil
		}
	})
	return b
}

// drain ends the runner in peace and checks that nothing is left.
func (b *bench) drain() {
	b.t.Helper()
	b.runner.Drain()
	if err := b.wait(); err != nil {
		b.t.Errorf("Run after Drain: %v", err)
	}
	b.clean()
}

// stop is a hard stop.
func (b *bench) stop() {
	b.t.Helper()
	b.hardStop()
	if err := b.wait(); !errors.Is(err, context.Canceled) {
		b.t.Errorf("Run after a hard stop: %v", err)
	}
	b.clean()
}

func (b *bench) wait() error {
	b.t.Helper()
	select {
	case err := <-b.ended:
		b.ended = nil
		b.platform.restart()
		return err
	case <-time.After(patience):
		b.t.Fatal("Run does not end")
		return nil
	}
}

// clean checks that every started attempt was removed, but those that could not
// be killed, and that no socket is left.
func (b *bench) clean() {
	b.t.Helper()
	for id, h := range b.executor.handles {
		select {
		case <-h.done:
		default:
			continue
		}
		if _, removed := h.state(); !removed {
			b.t.Errorf("%s was not removed", id)
		}
	}
	entries, err := os.ReadDir(b.cfg.RuntimeDir)
	if err != nil || len(entries) > 0 {
		b.t.Errorf("left in the runtime directory: %v %v", entries, err)
	}
}

// testWriter passes the runner's log on to the test's, while there is one.
type testWriter struct {
	t  *testing.T
	mu *sync.Mutex
}

func (w testWriter) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.t.Log(strings.TrimSpace(string(line)))
	return len(line), nil
}

// assignment is a job of the documented kind.
func assignment(job string, run uint64) *runnerv1.Assignment {
	return &runnerv1.Assignment{
		BatchId: "batch", JobId: job, AttemptId: job + "-1", Attempt: 1, Token: &runnerv1.Token{Epoch: 7, Counter: run + 1},
		Simulation: &runnerv1.Simulation{Type: "basilisk", Name: "orbit", Version: "1.0.0", DurationMinutes: proto.Float64(10)},
		RunIndex:   run, Seed: 81234567,
		Parameters: []*runnerv1.Parameter{{Name: "eccentricity", Value: 0.001}, {Name: "semi_major_axis_m", Value: 6991822.4, Unit: "m"}},
		Compute:    &runnerv1.Compute{},
	}
}

// radiusBelow makes the tutorial's rule the assignment's.
func radiusBelow(a *runnerv1.Assignment) *runnerv1.Assignment {
	a.EarlyTermination = &runnerv1.EarlyTermination{Enabled: true, Conditions: []*runnerv1.Condition{
		{Name: "reentry", Variable: "orbit.radius_km", Operator: "lt", Threshold: 6371, Units: "km"},
	}}
	return a
}

func withTimeout(a *runnerv1.Assignment, d time.Duration) *runnerv1.Assignment {
	a.Compute.Timeout = durationpb.New(d)
	return a
}

// readManifest reads and checks what every manifest has.
func readManifest(t *testing.T, result *runnerv1.Result) map[string]any {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(result.GetDirectory(), "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	if got := m["result"].(map[string]any)["outcome"]; got != result.GetOutcome() {
		t.Errorf("the manifest says %v, the result %v", got, result.GetOutcome())
	}
	return m
}

// files lists an attempt's files, relative and in order.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, p)
			list = append(list, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func attemptDir(b *bench, run int) string {
	return filepath.Join(b.cfg.OutputRoot, "batch", fmt.Sprintf("%05d", run), "attempt-1")
}

// mustOpen opens the journal of a runner that has ended.
func mustOpen(t *testing.T, b *bench) *journal.Journal {
	t.Helper()
	j, err := journal.Open(b.cfg.StateDir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

func unavailable(method string) func(string) error {
	return func(m string) error {
		if m == method {
			return status.Error(codes.Unavailable, "scripted")
		}
		return nil
	}
}
