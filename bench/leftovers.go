package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/client"
)

// patience is how long something may be on its way out when all runners have ended:
// the engine answers before it has removed the last of a container.
const patience = 5 * time.Second

// leftoversRow looks for what the rows before it left on the host: their runners have
// ended, and only the platform runs. It says what it looked through, for a search
// that sees nothing finds nothing.
func leftoversRow(ctx context.Context, w *world, _ options) ([]line, error) {
	deadline := time.Now().Add(patience)
	for {
		left, err := w.left(ctx)
		if err != nil {
			return nil, err
		}
		if len(left) > 0 && time.Now().Before(deadline) {
			if err := sleep(ctx, 100*time.Millisecond); err != nil {
				return nil, err
			}
			continue
		}
		containers, err := w.watch.seen()
		if err != nil {
			return nil, err
		}
		text := strconv.Itoa(len(left))
		if len(left) > 0 {
			text += ": " + strings.Join(left[:min(len(left), 10)], ", ")
		}
		return []line{{
			what:  fmt.Sprintf("leftovers of %d containers and %d jobs: containers, volumes, networks, cgroups, processes, sockets, directories", len(containers), len(w.jobs)),
			bound: "0", ours: text, held: holds(len(left) == 0, ""),
		}}, nil
	}
}

// left names everything that is there and should not be.
func (w *world) left(ctx context.Context) ([]string, error) {
	var left []string
	for _, look := range []func(context.Context) ([]string, error){
		w.leftContainers, w.newStores, w.leftGroups, w.leftProcesses, w.leftFiles,
	} {
		more, err := look(ctx)
		if err != nil {
			return nil, err
		}
		left = append(left, more...)
	}
	return left, nil
}

// leftContainers are those that have something of the benchmark's directory mounted:
// the jobs', and those that jobs are compared with.
func (w *world) leftContainers(ctx context.Context) ([]string, error) {
	list, err := w.engine.ContainerList(ctx, client.ContainerListOptions{All: true})
	if err != nil {
		return nil, err
	}
	var left []string
	for _, c := range list.Items {
		for _, m := range c.Mounts {
			if strings.HasPrefix(m.Source, w.dir+"/") {
				left = append(left, "container "+c.ID[:12])
				break
			}
		}
	}
	return left, nil
}

// newStores are volumes and networks that were not there at the beginning.
func (w *world) newStores(ctx context.Context) ([]string, error) {
	now, err := w.stores(ctx)
	return slices.DeleteFunc(now, func(name string) bool { return slices.Contains(w.before, name) }), err
}

// stores are the engine's volumes and networks.
func (w *world) stores(ctx context.Context) ([]string, error) {
	volumes, err := w.engine.VolumeList(ctx, client.VolumeListOptions{})
	if err != nil {
		return nil, err
	}
	networks, err := w.engine.NetworkList(ctx, client.NetworkListOptions{})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, v := range volumes.Items {
		names = append(names, "volume "+v.Name)
	}
	for _, n := range networks.Items {
		names = append(names, "network "+n.Name)
	}
	return names, nil
}

// leftGroups are cgroups of the containers that were seen, and of attempts that were
// processes, whose cgroups have their names.
func (w *world) leftGroups(context.Context) ([]string, error) {
	containers, err := w.watch.seen()
	if err != nil {
		return nil, fmt.Errorf("the engine's events: %w", err)
	}
	var left []string
	err = filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // gone meanwhile
			return nil
		}
		if err != nil || !d.IsDir() {
			return err
		}
		name := strings.TrimSuffix(strings.TrimPrefix(d.Name(), "docker-"), ".scope")
		job := name[:max(0, strings.LastIndexByte(name, '-'))]
		if containers[name] || w.jobs[job] {
			left = append(left, "cgroup "+path)
		}
		return nil
	})
	return left, err
}

// leftProcesses are those that have the benchmark's directory in what proc(5) says of
// them, and zombies of its children, but not the platform.
func (w *world) leftProcesses(context.Context) ([]string, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	own := []string{strconv.Itoa(os.Getpid()), strconv.Itoa(w.server.cmd.Process.Pid)}
	var left []string
	for _, path := range stats {
		dir := filepath.Dir(path)
		if pid := filepath.Base(dir); slices.Contains(own, pid) {
			continue
		}
		if w.isOurs(dir) || isZombieOf(path, own) {
			left = append(left, "process "+filepath.Base(dir))
		}
	}
	return left, nil
}

// isOurs reports whether a process has anything to do with the benchmark's directory.
// One that has ended meanwhile has not.
func (w *world) isOurs(dir string) bool {
	for _, name := range []string{"cmdline", "environ"} {
		if data, _ := os.ReadFile(filepath.Join(dir, name)); strings.Contains(string(data), w.dir+"/") {
			return true
		}
	}
	for _, name := range []string{"exe", "cwd"} {
		if to, _ := os.Readlink(filepath.Join(dir, name)); strings.HasPrefix(to, w.dir+"/") {
			return true
		}
	}
	return false
}

// isZombieOf reads proc_pid_stat(5): behind the name are the state and the parent.
func isZombieOf(path string, parents []string) bool {
	stat, _ := os.ReadFile(path)
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	return len(fields) > 1 && fields[0] == "Z" && slices.Contains(parents, fields[1])
}

// leftFiles are sockets that somebody still listens on, and whatever the runners keep
// in their runtime directories for a job.
func (w *world) leftFiles(context.Context) ([]string, error) {
	sockets, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		return nil, err
	}
	var left []string
	for line := range strings.Lines(string(sockets)) {
		fields := strings.Fields(line)
		if path := fields[len(fields)-1]; strings.HasPrefix(path, w.dir+"/") && path != w.path("rest") && path != w.path("grpc") {
			left = append(left, "socket "+path)
		}
	}
	entries, err := filepath.Glob(w.path("run-*/*"))
	for _, path := range entries {
		left = append(left, "file "+path)
	}
	return left, err
}

// watcher takes down the ids of the containers of the benchmark's runners, as the
// engine reports them: when they are gone nothing else tells which were ours.
type watcher struct {
	mu  sync.Mutex
	ids map[string]bool
	// err is why it sees no more.
	err error
}

// watchContainers begins to watch, until ctx ends.
func watchContainers(ctx context.Context, engine *client.Client, ours func(runner string) bool) *watcher {
	w := &watcher{ids: map[string]bool{}}
	const label = "io.tetryx.lynx.runner"
	events := engine.Events(ctx, client.EventsListOptions{
		Filters: client.Filters{}.Add("type", "container").Add("event", "create").Add("label", label),
	})
	go func() {
		for {
			select {
			case e := <-events.Messages:
				if ours(e.Actor.Attributes[label]) {
					w.mu.Lock()
					w.ids[e.Actor.ID] = true
					w.mu.Unlock()
				}
			case err := <-events.Err:
				w.mu.Lock()
				w.err = err
				w.mu.Unlock()
				return
			}
		}
	}()
	return w
}

// seen are the containers so far, or an error if some may be missing.
func (w *watcher) seen() (map[string]bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.ids), w.err
}
