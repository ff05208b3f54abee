package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/tetryx/lynx-runner/internal/runner/config"
	"github.com/tetryx/lynx-runner/internal/runner/host"
	"github.com/tetryx/lynx-runner/internal/runner/journal"
)

// slot is the right to run one job, with the user that it runs as.
type slot struct {
	uid, gid int
	lock     *os.File // nil where the user is the runner's own
	// extra is a slot that is none: for a job of an earlier process whose user another
	// runner has by now, or another job.
	extra bool
}

// slots is the pool of free slots.
type slots struct {
	free chan *slot
	all  []*slot
	// kept are those of jobs of an earlier process, in the order asked for.
	kept []*slot
	// surplus is how many there are beyond what the configuration says.
	surplus atomic.Int64
}

// newSlots makes as many slots as the configuration says. A root runner takes
// one user id of uid_range for each and locks it in a directory that all runners
// of the host share, for as long as it lives: two jobs at a time never share a
// user. Any other runner uses its own user.
//
// Jobs of an earlier process keep the users that they have, and count as taken
// slots. Where those are more than there should be, they go when they are given
// back.
func newSlots(cfg *config.Config, uid, gid int, keep ...int) (*slots, error) {
	s := &slots{free: make(chan *slot, cfg.MaxConcurrentJobs)}
	left := cfg.MaxConcurrentJobs
	for _, user := range keep {
		one, err := keepSlot(cfg.LockDir, uid, user)
		if err != nil {
			s.close()
			return nil, err
		}
		s.kept, s.all = append(s.kept, one), append(s.all, one)
		if !one.extra {
			left--
		}
	}
	s.surplus.Store(int64(max(0, -left)))
	next := cfg.UIDs.First
	inUse := map[int]bool{}
	if uid == 0 {
		inUse = usersOfProcesses("/proc")
	}
	for range max(0, left) {
		one := &slot{uid: uid, gid: gid}
		if uid == 0 {
			var err error
			if one, err = lockUID(cfg.LockDir, &next, cfg.UIDs.Last, inUse); err != nil {
				s.close()
				return nil, err
			}
		}
		s.all = append(s.all, one)
		s.free <- one
	}
	return s, nil
}

// keepSlot locks the user of a job of an earlier process again.
func keepSlot(dir string, uid, user int) (*slot, error) {
	one := &slot{uid: user, gid: user}
	if uid != 0 {
		return one, nil
	}
	if err := journal.MakePrivate(dir); err != nil {
		return nil, fmt.Errorf("lock_dir: %w", err)
	}
	var err error
	one.lock, err = host.Lock(dir, "uid-"+strconv.Itoa(user))
	if errors.Is(err, host.ErrTaken) {
		one.extra = true
		return one, nil
	}
	if err != nil {
		return nil, fmt.Errorf("lock_dir: %w", err)
	}
	return one, nil
}

// usersOfProcesses has the user ids that processes of this host run as. A job that
// goes on without its runner has no lock, but processes.
func usersOfProcesses(proc string) map[int]bool {
	users := map[int]bool{}
	paths, _ := filepath.Glob(filepath.Join(proc, "[0-9]*", "status"))
	for _, path := range paths {
		text, err := os.ReadFile(path)
		_, line, found := strings.Cut(string(text), "\nUid:\t")
		if err != nil || !found {
			continue // it is gone
		}
		first, _, _ := strings.Cut(line, "\t")
		if id, err := strconv.Atoi(first); err == nil {
			users[id] = true
		}
	}
	return users
}

// lockUID takes the first free user id from next on, and moves next behind it.
func lockUID(dir string, next *int, last int, inUse map[int]bool) (*slot, error) {
	if err := journal.MakePrivate(dir); err != nil {
		return nil, fmt.Errorf("lock_dir: %w", err)
	}
	for ; *next <= last; *next++ {
		if inUse[*next] {
			continue
		}
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
		switch {
		case one.extra:
		case s.surplus.Add(-1) >= 0:
			if one.lock != nil {
				one.lock.Close()
			}
		default:
			s.surplus.Add(1)
			s.free <- one
		}
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
