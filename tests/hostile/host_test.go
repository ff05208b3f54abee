//go:build engine

package hostile

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/tests/internal/stand"
)

// host is what jobs could have changed, by kind.
type host struct {
	// things are exactly the same after as before.
	things map[string][]string
	// descriptors and resident are of the runner's process; resident in bytes.
	descriptors int
	resident    int64
}

// look takes stock of the host.
func (s *site) look(t *testing.T) host {
	t.Helper()
	pid := s.runner.Pid()
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	stand.Must(t, err)
	return host{
		things: map[string][]string{
			"processes of the jobs' users":     s.users.Processes(t),
			"System V objects of jobs":         s.systemV(t),
			"containers":                       s.ownContainers(t),
			"mounts below the test":            s.mounts(t),
			"sockets and runtime directories":  names(t, filepath.Join(s.Dir, "run")),
			"files of jobs outside":            s.jobFiles(t),
			"files that are nobody's business": s.canaries(t),
			"settings of the kernel":           settings(),
			"files of the jobs' in use":        deleted(t, pid),
		},
		descriptors: len(fds),
		resident:    resident(t, pid),
	}
}

// ownContainers are the ids of the runner's containers.
func (s *site) ownContainers(t *testing.T) []string {
	return strings.Fields(stand.Docker(t, "", "ps", "--all", "--no-trunc", "--filter", "label=io.tetryx.lynx.runner="+s.runner.ID, "--format", "{{.ID}}"))
}

// compare looks for what has changed.
func (s *site) compare(t *testing.T, before, after host) {
	for kind, was := range before.things {
		if diff := cmp.Diff(was, after.things[kind]); diff != "" {
			t.Errorf("%s (-before +after):\n%s", kind, diff)
		}
	}
	// Connections to the platform and to the engine come and go.
	if after.descriptors > before.descriptors+8 {
		t.Errorf("the runner has %d open files, before %d", after.descriptors, before.descriptors)
	}
	// What one attempt may make the runner hold is stated in package telemetry; it
	// is given back with the attempt, and the Go runtime keeps some of it.
	if after.resident > before.resident+256<<20 {
		t.Errorf("the runner has %d MiB resident, before %d", after.resident>>20, before.resident>>20)
	}
	t.Logf("the runner: %d open files, before %d; %d MiB resident, before %d", after.descriptors, before.descriptors, after.resident>>20, before.resident>>20)
}

// idle waits until the runner has nothing to do.
func (s *site) idle(t *testing.T) {
	t.Helper()
	s.Eventually(t, "an idle runner", func() error {
		r, err := s.Client.Runner(t.Context(), s.runner.ID)
		if err == nil && (r.Status != api.RunnerIdle || r.ActiveJobs != 0) {
			err = fmt.Errorf("%s with %d jobs", r.Status, r.ActiveJobs)
		}
		if left := names(t, filepath.Join(s.Dir, "run")); err == nil && len(left) > 2 {
			err = fmt.Errorf("there is %q", left)
		}
		// What the platform knows of the runner is a heartbeat old.
		if left := s.ownContainers(t); err == nil && len(left) > 0 {
			err = fmt.Errorf("containers %q are not removed", left)
		}
		return err
	})
}

// leftovers looks, after the runner's end, for anything that a container leaves
// elsewhere than with the engine.
func (s *site) leftovers(t *testing.T) {
	ids := strings.Fields(s.containers.String())
	// The engine could lose its events, but then this test would see nothing.
	if len(ids) < len(attacks) {
		t.Errorf("%d containers were seen, for %d attacks", len(ids), len(attacks))
	}
	left := map[string]bool{}
	for _, pattern := range []string{
		"/sys/fs/cgroup/*/docker/*", "/sys/fs/cgroup/docker/*", "/sys/fs/cgroup/system.slice/docker-*",
		"/run/containerd/io.containerd.runtime.v2.task/moby/*", "/run/docker/containerd/daemon/io.containerd.runtime.v2.task/moby/*",
		"/var/lib/docker/containers/*", "/run/docker/runtime-runc/moby/*",
	} {
		found, err := filepath.Glob(pattern)
		stand.Must(t, err)
		for _, path := range found {
			left[filepath.Base(path)] = true
		}
	}
	for _, id := range ids {
		if left[id] || left["docker-"+id+".scope"] {
			t.Errorf("something of container %s is left", id)
		}
	}
	for _, name := range names(t, filepath.Join(s.Dir, "run")) {
		if info, err := os.Lstat(filepath.Join(s.Dir, "run", name)); err == nil && info.Mode().Type() == fs.ModeSocket {
			t.Errorf("the socket %s is left", name)
		}
	}
	if got := s.users.Processes(t); got != nil {
		t.Errorf("processes %q are left", got)
	}
}

// systemV lists shared memory, queues and semaphores of the host's namespace
// that belong to a job's user.
func (s *site) systemV(t *testing.T) (found []string) {
	t.Helper()
	for _, kind := range []string{"shm", "msg", "sem"} {
		data, err := os.ReadFile("/proc/sysvipc/" + kind)
		stand.Must(t, err)
		for line := range strings.Lines(string(data)) {
			for _, field := range strings.Fields(line) {
				if n, err := strconv.Atoi(field); err == nil && s.users.Has(n) {
					found = append(found, kind+" "+line)
				}
			}
		}
	}
	return found
}

func (s *site) mounts(t *testing.T) (found []string) {
	t.Helper()
	data, err := os.ReadFile("/proc/self/mountinfo")
	stand.Must(t, err)
	for line := range strings.Lines(string(data)) {
		if strings.Contains(line, s.Dir) {
			found = append(found, line)
		}
	}
	return found
}

// jobFiles are files of a job's user anywhere that everybody can write to, or the
// engine keeps something, but in the results.
func (s *site) jobFiles(t *testing.T) (found []string) {
	t.Helper()
	for _, top := range []string{s.Dir, "/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", "/run", "/var/lib/docker/volumes", "/var/crash"} {
		_ = filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return nil // it has gone meanwhile, or is not there at all
			}
			if info, err := d.Info(); err == nil && s.users.Own(info) {
				found = append(found, path)
			}
			return nil
		})
	}
	return found
}

// canaries are files that a job must not change, with all that can be changed
// about them.
func (s *site) canaries(t *testing.T) (found []string) {
	t.Helper()
	for _, top := range []string{"bin", "work", "secret", "runner.yaml", "data/token", "output/neighbour", "/etc/passwd", "/etc/shadow", "/etc/hostname", "/etc/hosts", "/etc/ld.so.preload"} {
		if !filepath.IsAbs(top) {
			top = filepath.Join(s.Dir, top)
		}
		_ = filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return nil
			}
			info, err := d.Info()
			stand.Must(t, err)
			st := info.Sys().(*syscall.Stat_t)
			line := fmt.Sprintf("%s %v %d:%d %d links %d bytes %v", path, info.Mode(), st.Uid, st.Gid, st.Nlink, info.Size(), info.ModTime())
			if info.Mode().IsRegular() {
				data, err := os.ReadFile(path)
				stand.Must(t, err)
				line += fmt.Sprintf(" %x", sha256.Sum256(data))
			}
			found = append(found, line)
			return nil
		})
	}
	return found
}

// settings are a few of the kernel's that an escape would use.
func settings() (found []string) {
	for _, path := range []string{
		"/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/hostname", "/proc/sys/kernel/randomize_va_space",
		"/sys/kernel/uevent_helper", "/proc/sys/fs/binfmt_misc/status", "/proc/1/oom_score_adj", "/proc/mounts",
	} {
		data, err := os.ReadFile(path)
		if path == "/proc/mounts" {
			// Containers of others come and go.
			data = []byte(fmt.Sprint(strings.Count(string(data), "lx-hostile-")))
		}
		found = append(found, fmt.Sprintf("%s %q %v", path, data, err))
	}
	return found
}

// deleted are files without a name that the runner has open.
func deleted(t *testing.T, pid int) (found []string) {
	t.Helper()
	for _, name := range names(t, fmt.Sprintf("/proc/%d/fd", pid)) {
		if to, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, name)); err == nil && strings.HasSuffix(to, " (deleted)") {
			found = append(found, to)
		}
	}
	return found
}

// resident is the memory of a process, in bytes.
func resident(t *testing.T, pid int) int64 {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	stand.Must(t, err)
	pages, err := strconv.ParseInt(strings.Fields(string(data))[1], 10, 64)
	stand.Must(t, err)
	return pages * int64(os.Getpagesize())
}

func names(t *testing.T, dir string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	stand.Must(t, err)
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}
