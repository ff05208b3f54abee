// Package docker launches each attempt in a Docker container of its own, through
// the Engine API, with every restriction on that the engine offers.
//
// # Reading order
//
//   - docker.go: configuration, and what New finds out about the engine
//   - engine.go: the only file that knows the client library; every call but the
//     wait has a deadline, and errors become those of the package executor
//   - spec.go, mounts.go, seccomp.go: from an executor.Spec to the body of a
//     create request; pure functions of the specification and a few facts
//   - start.go, recover.go: the two ways to a handle
//   - handle.go: what goes on while a container runs and when it ends
//   - evidence.go: from what was seen to an executor.Exit
//   - process.go, cgroup.go: the container's init as the kernel shows it
//   - forgotten.go: processes of a container that the engine knows nothing of
//   - vacate.go: when what a container used is free for the next
//
// # A container's life
//
// create → wait (registered before the start, so that no exit is missed) →
// start → … → inspect → remove. Containers are never removed by the engine
// itself (AutoRemove): after that nobody could say any more how they ended.
//
// A container is named by its attempt, which makes Start idempotent across
// processes: the engine refuses a second container of the same name, and the
// first is taken up as it is. All that another process of the same runner needs
// to know is in the container's labels.
//
// # Who says how it ended
//
// The engine's record is the truth about how the container's init ended. The
// init is the shim, which reports the job's exit over a unix socket that only it
// can use, and exits with the same code; the report adds what the record can't
// tell (a signal from an exit code above 128, a failure to execute). Where the
// two disagree, the record stands, but for one of an engine that was away when the
// container ended, and records what it does not know as 0 or 255. Memory counters
// come from the cgroup, read while the shim still holds it open; the times and the
// fact of our own kills are the executor's own.
package docker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/executor/internal/attempts"
)

// PullPolicy says when an image is pulled from its registry.
type PullPolicy string

const (
	// PullNever runs only what is already on the engine. The default.
	PullNever PullPolicy = "never"
	// PullIfMissing pulls what is not there.
	PullIfMissing PullPolicy = "if-missing"
	// PullAlways pulls before each resolution, and takes what is there if the
	// registry can't be reached.
	PullAlways PullPolicy = "always"
)

// Config is what an Executor is made of.
type Config struct {
	// RunnerID tells this runner's containers from those of others on the same
	// engine.
	RunnerID string
	// Shim is the host path of the lynx-shim binary, which is mounted into each
	// container as its entrypoint. It must be executable by everybody.
	Shim string
	// Host is the engine's address, as in DOCKER_HOST; empty means the
	// environment's, then the default socket.
	Host string
	// PullPolicy is PullNever where empty.
	PullPolicy PullPolicy
	// AllowedImages are the image references that Resolve accepts.
	AllowedImages executor.ImagePatterns
	// MaxStarts bounds the containers that are being created and started at the
	// same time; 0 means the number of CPUs. Starting is bound by the CPU, and
	// more at once only makes each of them later.
	MaxStarts int
	// CallTimeout bounds each call to the engine but waits and pulls; 0 means
	// 30 s. A create, start or kill that takes longer is an engine that hangs.
	CallTimeout time.Duration
	// PullTimeout bounds one pull; 0 means 30 minutes.
	PullTimeout time.Duration
	// RecordTimeout bounds how long an ended container's record is asked for
	// while the engine does not answer, before the attempt's end is told without
	// it; 0 means 2 minutes, enough for an engine's restart.
	RecordTimeout time.Duration
	// PullsDir is where it is noted which images were pulled and when they were last
	// used, so that Images can tell; empty: nowhere. It is made when it is needed.
	PullsDir string
	// Log may be nil.
	Log *slog.Logger
}

func (c Config) withDefaults() Config {
	setDefault(&c.PullPolicy, PullNever)
	setDefault(&c.MaxStarts, runtime.NumCPU())
	setDefault(&c.CallTimeout, 30*time.Second)
	setDefault(&c.PullTimeout, 30*time.Minute)
	setDefault(&c.RecordTimeout, 2*time.Minute)
	setDefault(&c.Log, slog.New(slog.DiscardHandler))
	return c
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

func (c Config) validate() error {
	if c.RunnerID == "" {
		return errors.New("docker executor: the runner id is empty")
	}
	switch c.PullPolicy {
	case PullNever, PullIfMissing, PullAlways:
	default:
		return fmt.Errorf("docker executor: pull policy %q: must be never, if-missing or always", c.PullPolicy)
	}
	info, err := os.Stat(c.Shim)
	if err != nil {
		return fmt.Errorf("docker executor: the shim: %w; build it with `make build`", err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o005 != 0o005 {
		return fmt.Errorf("docker executor: the shim %s must be a regular file that every user can read and execute (mode 0755), not %v",
			c.Shim, info.Mode())
	}
	return nil
}

// Executor is an executor.Executor. Make one with New.
type Executor struct {
	cfg     Config
	log     *slog.Logger
	engine  *engine
	info    EngineInfo
	seccomp string // the marshalled default profile
	starts  chan struct{}
	pulls   singleflight.Group

	// open is openInit; tests take the right to it away.
	open func(pid int, check func() error) (*initProcess, error)

	// live ends with Close, and with it every goroutine that follows a handle.
	live   context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	// volumes has the volumes of images, []string by id.
	volumes sync.Map

	// warned holds the engine's warnings that have been logged: once is enough.
	warned sync.Map

	attempts attempts.Registry[*handle]
}

var _ executor.Executor = (*Executor)(nil)

// New connects to the engine, agrees on an API version and finds out what the
// engine can enforce; what it can't is logged as a warning, once. An error that
// wraps executor.ErrUnavailable means that no engine answers that could be used.
func New(ctx context.Context, cfg Config) (*Executor, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	eng, err := connect(ctx, cfg)
	if err != nil {
		return nil, err
	}
	info, err := eng.info(ctx)
	if err != nil {
		eng.close()
		return nil, err
	}
	profile, err := marshalSeccomp(defaultSeccomp(info.Architecture))
	if err != nil {
		eng.close()
		return nil, err
	}
	live, cancel := context.WithCancel(context.Background())
	e := &Executor{
		cfg: cfg, log: cfg.Log, engine: eng, info: info, seccomp: profile,
		starts: make(chan struct{}, cfg.MaxStarts),
		open:   openInit,
		live:   live, cancel: cancel,
	}
	info.log(e.log)
	return e, nil
}

// Name implements executor.Executor.
func (e *Executor) Name() string { return "docker" }

// Version implements executor.Executor: the engine's.
func (e *Executor) Version() string { return "docker " + e.info.Version }

// Engine says what New found out about the engine.
func (e *Executor) Engine() EngineInfo { return e.info }

// Close stops following every handle (their Wait then fails) and closes the
// connections to the engine. It does not touch containers.
func (e *Executor) Close() error {
	e.cancel()
	e.wg.Wait()
	e.engine.close()
	return nil
}
