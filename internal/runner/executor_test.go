package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/tetryx/lynx-runner/executor"
	telemetryv1 "github.com/tetryx/lynx-runner/proto/lynx/telemetry/v1"
)

// scriptedExecutor is the far end of the executor contract: what a job does is a
// function of the test's.
type scriptedExecutor struct {
	t *testing.T
	// script runs as the job; its context ends when the job is killed.
	script func(ctx context.Context, p *program) executor.Exit
	// resolve, start and wait, if set, replace what the executor answers.
	resolve func(ctx context.Context, image string) (string, error)
	start   func(ctx context.Context, spec executor.Spec) error
	wait    func() error
	remove  func(id string) error
	kill    func(ctx context.Context) error
	ping    func() error
	// vacates and records, if set, are called when a job has ended: before its memory is
	// let go of, and before its exit is known.
	vacates, records func(id string)
	// homely says that jobs can reach the files of others of their user.
	homely bool
	left   []executor.Handle // what Recover finds

	mu      sync.Mutex
	handles map[string]*scriptedHandle
}

// program is what a script sees.
type program struct {
	t    *testing.T
	spec executor.Spec
}

// write leaves a file in the output directory.
func (p *program) write(name, content string) {
	if err := os.WriteFile(filepath.Join(p.spec.OutputDir, name), []byte(content), 0o600); err != nil {
		p.t.Error(err)
	}
}

// log leaves a log as the shim would.
func (p *program) log(name, content string) {
	if err := os.WriteFile(filepath.Join(p.spec.LogDir, name), []byte(content), 0o600); err != nil {
		p.t.Error(err)
	}
}

// publish reports one sample and returns when it was evaluated, or could not be.
func (p *program) publish(ctx context.Context, at float64, name string, value float64, unit string) {
	conn, err := grpc.NewClient("unix://"+filepath.Join(p.spec.RuntimeDir, executor.TelemetrySocket), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		p.t.Error(err)
		return
	}
	defer conn.Close()
	sample := &telemetryv1.Sample{TimeSeconds: at, Values: []*telemetryv1.Value{{Name: name, Value: value, Unit: unit}}}
	if _, err := telemetryv1.NewTelemetryServiceClient(conn).Publish(ctx, &telemetryv1.PublishRequest{Sample: sample}); err != nil && ctx.Err() == nil {
		p.t.Errorf("publish: %v", err)
	}
}

// Exits.
func exited(code int) executor.Exit { return executor.Exit{Known: true, Code: code} }

func signaled(n int) executor.Exit { return executor.Exit{Known: true, Code: 128 + n, Signal: n} }

// untilKilled is a job that runs until somebody kills it.
func untilKilled(ctx context.Context, _ *program) executor.Exit {
	<-ctx.Done()
	return signaled(9)
}

func (e *scriptedExecutor) Name() string { return "docker" }

func (e *scriptedExecutor) Version() string { return "docker 99.9" }
func (e *scriptedExecutor) Close() error    { return nil }

// Ping is what an engine answers.
func (e *scriptedExecutor) Ping(context.Context) error {
	if e.ping != nil {
		return e.ping()
	}
	return nil
}

func (e *scriptedExecutor) Resolve(ctx context.Context, image string) (string, error) {
	if e.resolve != nil {
		return e.resolve(ctx, image)
	}
	return "sha256:" + image, nil
}

// Recover finds what the test says is left, and what was not removed.
func (e *scriptedExecutor) Recover(context.Context) ([]executor.Handle, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	left := slices.Clone(e.left)
	for _, h := range e.handles {
		if _, removed := h.state(); !removed {
			left = append(left, h)
		}
	}
	return left, nil
}

func (e *scriptedExecutor) Start(ctx context.Context, spec executor.Spec) (executor.Handle, error) {
	if e.start != nil {
		if err := e.start(ctx, spec); err != nil {
			return nil, err
		}
	}
	if _, err := os.Stat(filepath.Join(spec.RuntimeDir, executor.TelemetrySocket)); err != nil {
		return nil, fmt.Errorf("telemetry is not served before the start: %w", err)
	}
	h := newHandle(spec.AttemptID, e.wait)
	h.removeErr, h.killErr = e.remove, e.kill
	h.vacates, h.records = e.vacates, e.records
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.handles == nil {
		e.handles = map[string]*scriptedHandle{}
	}
	e.handles[spec.AttemptID] = h
	h.run(func(ctx context.Context) executor.Exit { return e.script(ctx, &program{t: e.t, spec: spec}) })
	if e.homely {
		return struct{ executor.Handle }{h}, nil // no executor.Vacater
	}
	return h, nil
}

// handle returns the handle of a started attempt; nil if it never started.
func (e *scriptedExecutor) handle(id string) *scriptedHandle {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.handles[id]
}

type scriptedHandle struct {
	id      string
	started time.Time
	die     context.CancelFunc
	ctx     context.Context
	// gone, vacated and done are closed one after another.
	gone, vacated, done chan struct{}
	vacates, records    func(id string)
	exit                executor.Exit
	ended               time.Time
	waitErr             func() error
	// removeErr and killErr, if set, may fail a removal or a kill.
	removeErr func(id string) error
	killErr   func(ctx context.Context) error

	mu      sync.Mutex
	kills   int
	removed bool
}

func newHandle(id string, waitErr func() error) *scriptedHandle {
	h := &scriptedHandle{id: id, started: time.Now(), waitErr: waitErr, gone: make(chan struct{}), vacated: make(chan struct{}), done: make(chan struct{})}
	h.ctx, h.die = context.WithCancel(context.Background())
	return h
}

func (h *scriptedHandle) run(script func(context.Context) executor.Exit) {
	go func() {
		defer close(h.done)
		h.exit = script(h.ctx)
		h.ended = time.Now()
		h.exit.Started, h.exit.Ended = h.started, h.ended
		close(h.gone)
		if h.vacates != nil {
			h.vacates(h.id)
		}
		close(h.vacated)
		if h.records != nil {
			h.records(h.id)
		}
	}()
}

func (h *scriptedHandle) AttemptID() string  { return h.id }
func (h *scriptedHandle) Started() time.Time { return h.started }

func (h *scriptedHandle) Vacated() <-chan struct{} { return h.vacated }

func (h *scriptedHandle) Wait(ctx context.Context) (executor.Exit, error) {
	if h.waitErr != nil {
		if err := h.waitErr(); err != nil {
			return executor.Exit{}, err
		}
	}
	select {
	case <-h.done:
		return h.exit, nil
	case <-ctx.Done():
		return executor.Exit{}, ctx.Err()
	}
}

func (h *scriptedHandle) Kill(ctx context.Context) (time.Time, error) {
	h.mu.Lock()
	h.kills++
	h.mu.Unlock()
	if h.killErr != nil {
		if err := h.killErr(ctx); err != nil {
			return time.Time{}, err
		}
	}
	h.die()
	select {
	case <-h.gone:
		return h.ended, nil
	case <-ctx.Done():
		return time.Time{}, ctx.Err()
	}
}

func (h *scriptedHandle) Remove(context.Context) error {
	if h.removeErr != nil {
		if err := h.removeErr(h.id); err != nil {
			return err
		}
	}
	select {
	case <-h.done:
	default:
		return errors.New("scripted executor: removed before it ended")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.removed = true
	h.die()
	return nil
}

func (h *scriptedHandle) state() (kills int, removed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.kills, h.removed
}
