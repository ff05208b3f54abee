package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"github.com/tetryx/lynx-runner/internal/runner/config"
	"github.com/tetryx/lynx-runner/internal/runner/host"
	"github.com/tetryx/lynx-runner/internal/runner/journal"
)

// slot is the right to run one job, with the user that it runs as.
type slot struct {
	uid, gid int
	lock     *os.File // nil where the user is the runner's own
}

// slots is the pool of free slots.
type slots struct {
	free chan *slot
	all  []*slot
}

// newSlots makes as many slots as the configuration says. A root runner takes
// one user id of uid_range for each and locks it in a directory that all runners
// of the host share, for as long as it lives: two jobs at a time never share a
// user. Any other runner uses its own user.
func newSlots(cfg *config.Config, uid, gid int) (*slots, error) {
	s := &slots{free: make(chan *slot, cfg.MaxConcurrentJobs)}
	next := cfg.UIDs.First
	for range cfg.MaxConcurrentJobs {
		one := &slot{uid: uid, gid: gid}
		if uid == 0 {
			var err error
			if one, err = lockUID(cfg.LockDir, &next, cfg.UIDs.Last); err != nil {
				s.close()
				return nil, err
			}
		}
		s.all = append(s.all, one)
		s.free <- one
	}
	return s, nil
}

// lockUID takes the first free user id from next on, and moves next behind it.
func lockUID(dir string, next *int, last int) (*slot, error) {
	if err := journal.MakePrivate(dir); err != nil {
		return nil, fmt.Errorf("lock_dir: %w", err)
	}
	for ; *next <= last; *next++ {
		f, err := host.Lock(dir, "uid-"+strconv.Itoa(*next))
		if errors.Is(err, host.ErrTaken) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("lock_dir: %w", err)
		}
		uid := *next
		*next++
		return &slot{uid: uid, gid: uid, lock: f}, nil
	}
	return nil, errors.New("sandbox.uid_range has no free user id for another slot: other runners on this host use the rest; widen it or lower max_concurrent_jobs")
}

// acquire waits for a slot and takes every other free one with it. It returns
// none when ctx ends.
func (s *slots) acquire(ctx context.Context) []*slot {
	var got []*slot
	select {
	case one := <-s.free:
		got = append(got, one)
	case <-ctx.Done():
		return nil
	}
	for {
		select {
		case one := <-s.free:
			got = append(got, one)
		default:
			return got
		}
	}
}

func (s *slots) release(list ...*slot) {
	for _, one := range list {
		s.free <- one
	}
}

// close gives the user ids back.
func (s *slots) close() {
	for _, one := range s.all {
		if one.lock != nil {
			one.lock.Close()
		}
	}
}

// ownerOf returns who owns a file.
func ownerOf(path string) (uid, gid int, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, 0, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, fmt.Errorf("%s: this system does not tell owners of files", path)
	}
	return int(st.Uid), int(st.Gid), nil
}
