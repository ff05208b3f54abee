package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/rpc"
	"net/rpc/jsonrpc"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/runner/config"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// A mortal runner is a process of its own, this test's program once more, so that
// SIGKILL is what it is. Its platform is the scripted one, and its executor the
// scripted one as well, over a socket: what an engine has outlives its runner.

// The variables that make this program a runner: where its files, its sockets and
// the two far ends are, and what becomes of jobs when it is killed.
const (
	mortalDir     = "LYNX_TEST_MORTAL_DIR"
	mortalSockets = "LYNX_TEST_MORTAL_SOCKETS"
	mortalFar     = "LYNX_TEST_MORTAL_FAR"
	mortalOnLoss  = "LYNX_TEST_MORTAL_ON_LOSS"
)

// runMortal is the runner's process. SIGTERM drains it.
func runMortal() int {
	cfg := benchConfig(os.Getenv(mortalDir), os.Getenv(mortalSockets))
	cfg.OnRunnerLoss, cfg.OnRunnerLossFor = os.Getenv(mortalOnLoss), time.Hour
	platform, far, ok := filepathCut(os.Getenv(mortalFar))
	if !ok {
		return 2
	}
	conn, err := grpc.NewClient("unix://"+platform, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return 3
	}
	client, err := jsonrpc.Dial("unix", far)
	if err != nil {
		return 4
	}
	r, err := New(cfg, Deps{
		Executor: &nearExecutor{client: client}, Platform: runnerv1.NewRunnerServiceClient(conn), Version: "1.2.3",
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 5
	}
	r.pace = quickPace
	r.pace.settle = time.Second
	terminate := make(chan os.Signal, 1)
	signal.Notify(terminate, syscall.SIGTERM)
	go func() { <-terminate; r.Drain() }()
	if err := r.Run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 6
	}
	return 0
}

func filepathCut(list string) (first, second string, ok bool) {
	parts := filepath.SplitList(list)
	if len(parts) != 2 {
		return "", "", false
	}
	return parts[0], parts[1], true
}

// farExecutor serves a scripted executor. Each method tells at first where the
// attempt is in its life; a false answer says that nothing came of the call.
type farExecutor struct {
	e  *scriptedExecutor
	at func(point, attempt string) bool
	// gone is closed when the process that is served is gone: what it still asked for
	// does not happen.
	gone <-chan struct{}
}

var errNobody = errors.New("nobody is there to be answered")

// FarHandle is exported for net/rpc.
type FarHandle struct {
	ID      string
	Started time.Time
}

// Resolve is the claimed attempt's first call.
func (f *farExecutor) Resolve(image string, id *string) (err error) {
	if !f.at("claimed", "") {
		return errNobody
	}
	*id, err = f.e.Resolve(context.Background(), image)
	return err
}

// Start starts.
func (f *farExecutor) Start(spec executor.Spec, h *FarHandle) error {
	if !f.at("creating", spec.AttemptID) {
		return errNobody
	}
	select {
	case <-f.gone:
		return errNobody
	default:
	}
	started, err := f.e.Start(context.Background(), spec)
	if err != nil {
		return err
	}
	*h = FarHandle{spec.AttemptID, started.Started()}
	if !f.at("started", spec.AttemptID) {
		return errNobody
	}
	return nil
}

// Recover recovers.
func (f *farExecutor) Recover(_ struct{}, list *[]FarHandle) error {
	handles, err := f.e.Recover(context.Background())
	for _, h := range handles {
		*list = append(*list, FarHandle{h.AttemptID(), h.Started()})
	}
	return err
}

// Wait waits.
func (f *farExecutor) Wait(id string, exit *executor.Exit) (err error) {
	if *exit, err = f.e.handle(id).Wait(context.Background()); err == nil {
		f.at("ended", id)
	}
	return err
}

// Vacated waits until nothing of the job lives.
func (f *farExecutor) Vacated(id string, _ *struct{}) error {
	<-f.e.handle(id).vacated
	f.at("vacated", id)
	return nil
}

// Kill kills.
func (f *farExecutor) Kill(id string, gone *time.Time) (err error) {
	if !f.at("killing", id) {
		return errNobody
	}
	*gone, err = f.e.handle(id).Kill(context.Background())
	f.at("killed", id)
	return err
}

// Remove removes.
func (f *farExecutor) Remove(id string, _ *struct{}) error {
	if !f.at("removing", id) {
		return errNobody
	}
	return f.e.handle(id).Remove(context.Background())
}

// nearExecutor is the runner's end.
type nearExecutor struct{ client *rpc.Client }

func (e *nearExecutor) call(ctx context.Context, method string, in, out any) error {
	call := e.client.Go("Executor."+method, in, out, make(chan *rpc.Call, 1))
	select {
	case <-call.Done:
		return call.Error
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (e *nearExecutor) Name() string    { return "docker" }
func (e *nearExecutor) Version() string { return "docker 99.9" }
func (e *nearExecutor) Close() error    { return e.client.Close() }

func (e *nearExecutor) Resolve(ctx context.Context, image string) (id string, err error) {
	return id, e.call(ctx, "Resolve", image, &id)
}

func (e *nearExecutor) Start(ctx context.Context, spec executor.Spec) (executor.Handle, error) {
	var h FarHandle
	if err := e.call(ctx, "Start", spec, &h); err != nil {
		return nil, err
	}
	return newNearHandle(e, h), nil
}

func (e *nearExecutor) Recover(ctx context.Context) (handles []executor.Handle, err error) {
	var list []FarHandle
	err = e.call(ctx, "Recover", struct{}{}, &list)
	for _, h := range list {
		handles = append(handles, newNearHandle(e, h))
	}
	return handles, err
}

type nearHandle struct {
	e       *nearExecutor
	h       FarHandle
	vacated chan struct{}
}

func newNearHandle(e *nearExecutor, far FarHandle) *nearHandle {
	h := &nearHandle{e: e, h: far, vacated: make(chan struct{})}
	go func() {
		if e.call(context.Background(), "Vacated", far.ID, &struct{}{}) == nil {
			close(h.vacated)
		}
	}()
	return h
}

func (h *nearHandle) Vacated() <-chan struct{} { return h.vacated }

func (h *nearHandle) AttemptID() string  { return h.h.ID }
func (h *nearHandle) Started() time.Time { return h.h.Started }

func (h *nearHandle) Wait(ctx context.Context) (x executor.Exit, err error) {
	err = h.e.call(ctx, "Wait", h.h.ID, &x)
	return x, err
}

func (h *nearHandle) Kill(ctx context.Context) (gone time.Time, err error) {
	err = h.e.call(ctx, "Kill", h.h.ID, &gone)
	return gone, err
}

func (h *nearHandle) Remove(ctx context.Context) error {
	return h.e.call(ctx, "Remove", h.h.ID, &struct{}{})
}

// mortal is a bench whose runner is a process.
type mortal struct {
	*bench
	dir, far, onLoss string
	// at is told where an attempt is; false means that the call has no effect.
	at func(point, attempt string) bool

	mu      sync.Mutex
	process *exec.Cmd
	done    chan struct{}
}

func newMortal(t *testing.T) *mortal {
	t.Helper()
	b := newBench(t)
	m := &mortal{bench: b, dir: filepath.Dir(b.cfg.WorkingDirectory), onLoss: config.RunnerLossContinue}
	m.far = filepath.Join(b.cfg.RuntimeDir+".far", "e.sock")
	if err := os.Mkdir(filepath.Dir(m.far), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(filepath.Dir(m.far)) })
	m.at = func(string, string) bool { return true }
	listener, err := net.Listen("unix", m.far)
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			server := rpc.NewServer()
			far := &farExecutor{e: b.executor, at: func(point, id string) bool { return m.at(point, id) }, gone: m.gone()}
			if err := server.RegisterName("Executor", far); err != nil {
				t.Error(err)
			}
			served.Go(func() { server.ServeCodec(jsonrpc.NewServerCodec(conn)) })
		}
	})
	t.Cleanup(func() { // runs first: what lives keeps calls waiting
		m.die()
		for _, h := range b.executor.handles {
			h.die()
		}
		listener.Close()
		served.Wait()
	})
	return m
}

// live starts the runner's process.
func (m *mortal) live() {
	m.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), mortalDir+"="+m.dir, mortalSockets+"="+m.cfg.RuntimeDir,
		mortalFar+"="+m.platform.socket+string(filepath.ListSeparator)+m.far, mortalOnLoss+"="+m.onLoss)
	log := &processLog{}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.process, m.done = cmd, make(chan struct{})
	go func(done chan struct{}) { _ = cmd.Wait(); close(done) }(m.done)
	m.t.Cleanup(func() {
		if m.t.Failed() {
			m.t.Logf("process %d:\n%s", cmd.Process.Pid, log.text())
		}
	})
}

// processLog is what a process prints.
type processLog struct {
	mu  sync.Mutex
	all []byte
}

func (l *processLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, p...)
	return len(p), nil
}

func (l *processLog) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.all)
}

// die kills the process, if it lives, and returns when it is gone.
func (m *mortal) die() {
	m.mu.Lock()
	process, done := m.process, m.done
	m.process = nil
	m.mu.Unlock()
	if process != nil {
		_ = process.Process.Kill()
		<-done
	}
}

// rest drains the runner and checks that it ends in peace with nothing left.
func (m *mortal) rest() {
	m.t.Helper()
	m.mu.Lock()
	process, done := m.process, m.done
	m.process = nil
	m.mu.Unlock()
	if err := process.Process.Signal(syscall.SIGTERM); err != nil {
		m.t.Fatal(err)
	}
	select {
	case <-done:
	case <-time.After(patience):
		_ = process.Process.Kill()
		<-done
		m.t.Fatal("the runner does not end")
	}
	if code := process.ProcessState.ExitCode(); code != 0 {
		m.t.Errorf("the runner ended with status %d", code)
	}
	m.platform.restart()
	m.clean()
	for _, sub := range []string{"attempts", "vacated", "causes", "outbox"} {
		if left, err := os.ReadDir(filepath.Join(m.cfg.StateDir, sub)); err != nil || len(left) > 0 {
			m.t.Errorf("left in %s: %v %v", sub, left, err)
		}
	}
}
