package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/cmd/internal/wire"
	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/cli"
	"github.com/tetryx/lynx-runner/internal/platform/auth"
	"github.com/tetryx/lynx-runner/internal/platform/store/sqlite"
	"github.com/tetryx/lynx-runner/internal/runner/config"
	"github.com/tetryx/lynx-runner/internal/runner/journal"
)

// privatePrefix begins the names of directories for sockets.
const privatePrefix = "lynx-"

// heartbeat is how often the runner asks for news: one runner in the same process
// costs nothing, and Ctrl-C should work at once.
const heartbeat = 500 * time.Millisecond

// local is a platform and a runner in this process, which talk over unix sockets
// in a directory that only this user can enter.
type local struct {
	private  string
	note     string   // the file that names private
	owner    *os.File // locked while private is in use; nil if jobs may outlive that
	platform *wire.Platform
	runner   *wire.Runner
	client   *api.Client

	kill   context.CancelFunc
	failed chan struct{}
	// done is closed when the runner's Run has returned; err is then set.
	done chan struct{}
	err  error
}

// startLocal starts the platform with its store in <output>/.lynx, and a runner
// that is known by that directory, so that the next run in it finds what a run
// that was killed has left. What fails leaves nothing but directories that were
// asked for.
func startLocal(ctx context.Context, o cli.LocalOptions) (_ cli.Local, err error) {
	l := &local{failed: make(chan struct{}), done: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.release())
		}
	}()
	if l.private, err = os.MkdirTemp("", privatePrefix); err != nil {
		return nil, usage(fmt.Errorf("directory for sockets: %w; name one that can be written with TMPDIR", err))
	}
	state := filepath.Join(o.Output, ".lynx")
	cfg, err := l.configure(o, state)
	if err != nil {
		return nil, usage(err)
	}
	log := slog.New(slog.DiscardHandler)
	if o.Verbose {
		log = wire.NewLog(os.Stderr, slog.LevelDebug)
	}
	if cfg.OnRunnerLoss == config.RunnerLossKill {
		if l.owner, err = own(l.private); err != nil {
			return nil, usage(fmt.Errorf("directory for sockets: %w", err))
		}
	}
	if err := sweep(); err != nil {
		log.Warn("directories for sockets of killed processes could not be removed", "error", err)
	}
	// The engine first: where there is none, no directory is made.
	exec, err := wire.NewExecutor(ctx, cfg, log)
	if err != nil {
		return nil, engineError(err)
	}
	defer func() {
		if l.runner == nil {
			err = errors.Join(err, exec.Close())
		}
	}()
	if err := makeDirs(o.Output, state); err != nil {
		return nil, usage(err)
	}
	if err := l.startPlatform(ctx, filepath.Join(state, "platform"), log); err != nil {
		return nil, inUse(err, o.Output)
	}
	if err := l.succeed(filepath.Join(state, "private")); err != nil {
		log.Warn("the directory for sockets of an earlier process could not be removed", "error", err)
	}
	l.runner, err = wire.NewRunner(wire.RunnerOptions{Config: cfg, Executor: exec, Alone: true, Version: version, Log: log})
	if err != nil {
		return nil, inUse(err, o.Output)
	}
	l.run(context.WithoutCancel(ctx))
	return l, nil
}

// succeed removes the private directory of an earlier process that was killed in
// this output directory, which is now ours alone, and leaves the name of its own
// in a file. Stop removes both.
func (l *local) succeed(note string) error {
	l.note = note
	left, err := os.ReadFile(note)
	if err == nil {
		old := string(left)
		info, statErr := os.Lstat(old)
		if statErr == nil && info.IsDir() && info.Mode().Perm()&0o066 == 0 && strings.HasPrefix(filepath.Base(old), privatePrefix) {
			err = os.RemoveAll(old)
		}
	} else if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, os.WriteFile(note, []byte(l.private), 0o600))
}

func usage(err error) error { return &cli.ExitError{Status: cli.ExitUsage, Err: err} }

// engineError tells an engine that is away from one that is configured wrongly.
func engineError(err error) error {
	if errors.Is(err, executor.ErrUnavailable) {
		return &cli.ExitError{Status: cli.ExitUnreachable, Err: err}
	}
	return usage(err)
}

// inUse says what to do about an output directory that another process has.
func inUse(err error, output string) error {
	if errors.Is(err, sqlite.ErrInUse) || errors.Is(err, journal.ErrLocked) {
		err = fmt.Errorf("another lynxctl runs a study in %s: wait for its end, or give --output another directory (%w)", output, err)
	}
	return usage(err)
}

func makeDirs(output, state string) error {
	if err := os.MkdirAll(output, 0o755); err != nil {
		return fmt.Errorf("output directory: %w", err)
	}
	if err := os.MkdirAll(state, 0o700); err != nil {
		return fmt.Errorf("directory for the study's state: %w", err)
	}
	return nil
}

func (l *local) socket(name string) string { return filepath.Join(l.private, "sockets", name+".sock") }

func (l *local) startPlatform(ctx context.Context, data string, log *slog.Logger) error {
	if err := os.Mkdir(filepath.Dir(l.socket("")), 0o700); err != nil {
		return fmt.Errorf("directory for sockets: %w", err)
	}
	rest, err := net.Listen("unix", l.socket("rest"))
	if err != nil {
		return err
	}
	grpc, err := net.Listen("unix", l.socket("grpc"))
	if err != nil {
		return errors.Join(err, rest.Close())
	}
	l.platform, err = wire.StartPlatform(ctx, wire.PlatformOptions{
		Data: data, REST: rest, GRPC: grpc, Version: version, Log: log,
		// The sockets' directory lets nobody else in.
		Guard:     auth.NewOpenGuard(),
		Heartbeat: heartbeat,
	})
	if err != nil {
		return err
	}
	l.client, err = api.NewClient("unix://" + l.socket("rest"))
	return err
}

// run lets the runner work until Stop.
func (l *local) run(ctx context.Context) {
	ctx, l.kill = context.WithCancel(ctx)
	go func() {
		defer close(l.done)
		l.err = l.runner.Run(ctx)
	}()
	go func() {
		select {
		case <-l.done:
		case <-l.platform.Failed():
		}
		close(l.failed)
	}()
}

// Client returns a client of the platform.
func (l *local) Client() *api.Client { return l.client }

// Failed is closed when the platform or the runner has ended, or Stop was called.
func (l *local) Failed() <-chan struct{} { return l.failed }

// Stop kills what still runs, delivers its results, and removes the sockets.
func (l *local) Stop() error {
	l.kill()
	<-l.done
	err := l.err
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return errors.Join(err, l.release())
}

// release undoes what was started, as far as it was.
func (l *local) release() error {
	var err error
	if l.runner != nil {
		err = errors.Join(err, l.runner.Close())
	}
	if l.client != nil {
		l.client.Close()
	}
	if l.platform != nil {
		err = errors.Join(err, l.platform.Stop())
	}
	if l.note != "" {
		err = errors.Join(err, os.Remove(l.note))
	}
	if l.private != "" {
		err = errors.Join(err, os.RemoveAll(l.private))
	}
	if l.owner != nil {
		err = errors.Join(err, l.owner.Close())
	}
	return err
}
