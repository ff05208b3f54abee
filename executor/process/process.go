// Package process launches each attempt as a process of this host, below the
// shim, in a session of its own and, where the host lets it, in a cgroup of its
// own. It needs no engine and no image. It limits a job and ends it for certain;
// it does not isolate it: the job sees the host's files, processes and network
// with the rights of its user. docs/security.md says what that means.
//
// # Reading order
//
//   - process.go: configuration
//   - validate.go, reach.go, command.go: from an executor.Spec to what the shim is
//     told
//   - start.go, recover.go: the two ways to a handle
//   - state.go: what a restarted runner needs to know, on disk
//   - handle.go: what goes on while a job runs and when it ends
//   - evidence.go: from what was seen to an executor.Exit
//   - shimproc.go: the shim's process, which no later one of its id is taken for
//   - hierarchy.go, cgroup.go: where cgroups can be made, and one attempt's
//   - tree.go: ending a job's processes without a cgroup
//   - scratch.go: HOME and TMPDIR
//
// # Paths
//
// The job has the host's file tree. Where its arguments and environment name the
// paths that a container would have (executor.ContainerWork and the others, the
// targets of data mounts), the host's are put in their place.
//
// # Who reaches what
//
// The sockets and files between runner and shim stay in the runner's private
// directories, which a job of another user can't enter. The shim, which has the
// job's user, is handed what it needs as open descriptors: the runtime directory,
// the file for its report, and its configuration on standard input. The
// configuration comes last, after the shim was put into its cgroup and after its
// process was written down, so that no job runs that a restarted runner would not
// find.
//
// # Who says how it ended
//
// The shim, by its exit status and by its report: over its control connection,
// which only its process can use, or, for a runner that was away, in a file. As a
// root runner the job's user can write to neither. Counters come from the cgroup.
//
// # Without a cgroup
//
// Limits are then per process (RLIMIT_DATA for memory, and as root RLIMIT_NPROC),
// and the end of the tree is best effort: the shim is the reaper of every orphan,
// so none of the job's processes gets out from below it while it lives; but it
// has the job's user, and a job that kills it can leave processes in sessions of
// their own behind.
package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/executor/internal/attempts"
)

// Config is what an Executor is made of.
type Config struct {
	// Shim is the path of the lynx-shim binary. It must be executable by
	// everybody, through all its parent directories.
	Shim string
	// Dir is where this runner keeps what it must know of its attempts after a
	// restart. It is made for the runner's user alone, and no other runner's.
	Dir string
	// Scratch is the directory below which each attempt's HOME and TMPDIR are
	// made; empty means the system's temporary directory. Jobs' users must be able
	// to enter it.
	Scratch string
	// NoCgroups leaves cgroups alone, as on a host that offers none.
	NoCgroups bool
	// KillTimeout bounds how long Kill waits for processes to be gone; 0 means
	// 30 s. One that hangs in the kernel takes longer.
	KillTimeout time.Duration
	// Log may be nil.
	Log *slog.Logger
}

// Executor is an executor.Executor. Make one with New.
type Executor struct {
	cfg    Config
	log    *slog.Logger
	uid    int
	groups *hierarchy // nil without cgroups
	// urgency is of the kills under way.
	urgency urgency

	warnings []string

	// live ends with Close, and with it every goroutine that follows a handle.
	live   context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	attempts attempts.Registry[*handle]
}

var _ executor.Executor = (*Executor)(nil)

// New finds out what this host can enforce; what it can't is logged, once.
func New(cfg Config) (*Executor, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Scratch == "" {
		cfg.Scratch = os.TempDir()
	}
	if cfg.KillTimeout == 0 {
		cfg.KillTimeout = 30 * time.Second
	}
	info, err := os.Stat(cfg.Shim)
	if err != nil {
		return nil, fmt.Errorf("process executor: the shim: %w; build it with `make build`", err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o005 != 0o005 {
		return nil, fmt.Errorf("process executor: the shim %s must be a regular file that every user can read and execute (mode 0755), not %v",
			cfg.Shim, info.Mode())
	}
	if !filepath.IsAbs(cfg.Dir) {
		return nil, fmt.Errorf("process executor: the directory %q is not an absolute path", cfg.Dir)
	}
	e := &Executor{cfg: cfg, log: cfg.Log, uid: os.Geteuid()}
	e.live, e.cancel = context.WithCancel(context.Background())
	e.findGroups()
	return e, nil
}

// findGroups looks for cgroups, and notes what can't be enforced without.
func (e *Executor) findGroups() {
	err := errors.New("switched off")
	if !e.cfg.NoCgroups {
		e.groups, err = findHierarchy("/proc/self")
	}
	if err != nil {
		e.warn("jobs run without cgroups (" + err.Error() + "): memory is limited for each process instead of the whole job, " +
			"and a job that kills its shim can leave processes behind; run as root, or below a delegated cgroup (systemd: Delegate=yes)")
		return
	}
	for _, controller := range e.groups.missing() {
		e.warn("this host's cgroups have no controller " + controller + ", so that nothing limits it for the whole job")
	}
}

func (e *Executor) warn(sentence string) {
	e.warnings = append(e.warnings, sentence)
	e.log.Warn(sentence)
}

// Warnings are sentences on what this host can't enforce.
func (e *Executor) Warnings() []string { return e.warnings }

// Name implements executor.Executor.
func (e *Executor) Name() string { return "process" }

// Version implements executor.Executor. There is nothing with a version beside
// the runner itself, which manifests name anyway.
func (e *Executor) Version() string { return "process" }

// Resolve implements executor.Executor: there are no images.
func (e *Executor) Resolve(context.Context, string) (string, error) { return "", nil }

// Close stops following every handle (their Wait then fails). It does not touch
// processes.
func (e *Executor) Close() error {
	e.cancel()
	e.wg.Wait()
	return nil
}

// attemptName is what becomes a directory and a cgroup.
var attemptName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,199}$`)
