package docker

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/executor/internal/cgroup"
)

var _ executor.Vacater = (*handle)(nil)

// Vacated implements executor.Vacater. A container's user reaches nothing of another
// container's, so the place of one that is gone can be given away while the engine
// still unmounts, deletes and writes its record, which takes it some 40 ms.
func (h *handle) Vacated() <-chan struct{} { return h.vacated }

// freed is how much anonymous and shared memory a cgroup may still seem to have when
// it has none: the kernel adds up what its CPUs counted only now and then.
const freed = 4 << 20

// firstLook and lastLook bound the pauses between looks at memory that is being
// given back.
const (
	firstLook = time.Millisecond
	lastLook  = 16 * time.Millisecond
)

// vacate waits until a container without processes has no memory left, and says that
// its place is free. The kernel frees a process's own memory before it says that the
// process is gone, but a tmpfs only when the last mount of it is, a little later.
// Where that is not to be seen, the engine's record decides.
func (h *handle) vacate() {
	for pause := firstLook; ; pause = min(2*pause, lastLook) {
		switch bytes, known := held(h.cgroup); {
		case !known:
			return
		case bytes <= freed:
			h.markVacated()
			return
		}
		select {
		case <-h.done:
			return
		case <-time.After(pause):
		}
	}
}

func (h *handle) markVacated() { h.vacatedOnce.Do(func() { close(h.vacated) }) }

// held is the anonymous and shared memory in a cgroup, in bytes, and whether that is
// known: nothing where the cgroup was and is gone. Cache of files that outlive the
// container, which the kernel takes back as it needs it, does not count.
func held(g cgroup.Group) (bytes int64, known bool) {
	if !g.Has("memory") {
		return 0, false
	}
	stat, err := os.ReadFile(g.File("memory", "memory.stat"))
	if err != nil {
		return 0, errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV)
	}
	text := string(stat)
	// Version 1 calls the first "rss", version 2 "anon".
	return cgroup.Keyed(text, "rss") + cgroup.Keyed(text, "anon") + cgroup.Keyed(text, "shmem"), true
}
