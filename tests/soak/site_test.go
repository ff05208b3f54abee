//go:build engine

package soak

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tetryx/lynx-runner/executor/docker/dockertest"
	"github.com/tetryx/lynx-runner/tests/internal/stand"
)

// usersPerRunner is how many users the jobs of a runner have.
const usersPerRunner = 16

// names are the runners': those of containers, and one of processes.
var names = []string{"a", "b", "p"}

// slots is how many jobs a runner has at a time.
const slots = 4

const runnerFile = `
engines: [basilisk]
working_directory: %s/work
basilisk_entrypoint: quick
max_concurrent_jobs: %d
reserve: {disk: 1Mi, memory: 64Mi}
sandbox:
  uid_range: %s
  cpu: 0.4
  memory: 64Mi
  timeout: 10m
  grace: 1s
  output: {total: 16Mi, per_file: 16Mi, files: 500, depth: 32}
%s
`

// worker is a runner, with all that lies between it and the rest.
type worker struct {
	*stand.Runner

	users stand.Users
	// engine is between it and its engine; nil if its jobs are processes.
	engine *stand.EngineProxy
	// platform is between it and the platform.
	platform *stand.PlatformProxy
}

// service is a program with somebody who starts it again when it has ended.
type service struct {
	*stand.Program

	// held says that a fault wants it to be away, expected that a fault wants its
	// end.
	held, expected bool
	next           time.Time // not to be started before
}

// site is everything that there is.
type site struct {
	*stand.Stand

	engine   *stand.Engine
	workers  map[string]*worker
	services map[string]*service
	tally    *tally
	full     []span
}

// span is a time in which the disk of a directory was full.
type span struct {
	dir         string
	from, until time.Time
}

// newSite starts everything. What is broken later is on disks of its own.
func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{Stand: stand.New(t, "soak", ""), workers: map[string]*worker{}, services: map[string]*service{}, tally: newTally()}
	stand.Must(t, stand.Build(s.Programs, "./cmd/lynx-server", "./cmd/lynx-runner", "./cmd/lynx-shim", "./tests/soak/job"))
	stand.Must(t, os.Mkdir(s.Dir+"/work", 0o755))
	for _, k := range kinds {
		stand.Must(t, os.WriteFile(filepath.Join(s.Dir, "work", k.program()), nil, 0o644))
	}
	// An engine sees what is mounted before it starts.
	stand.SmallDisk(t, s.Dir+"/data", "512m")
	for _, name := range names {
		stand.SmallDisk(t, filepath.Join(s.Dir, name, "output"), "256m")
		stand.SmallDisk(t, filepath.Join(s.Dir, name, "state"), "16m")
	}
	image := dockertest.Image{Name: "lynx-test-soak:job", Files: map[string]string{"/job": s.Programs + "/job"}}
	s.engine = stand.NewEngine(t, s.Dir+"/engine", true)
	s.engine.Load(t, image)
	s.StartServer(t)
	s.services["platform"] = &service{Program: s.Server}
	for _, name := range names {
		w := s.newWorker(t, name, image.Name)
		s.workers[name], s.services[name] = w, &service{Program: w.Program}
		w.Start(t)
	}
	for _, w := range s.workers {
		w.Ready(t)
	}
	return s
}

// newWorker makes a runner: of processes if it is called p, else of containers.
func (s *site) newWorker(t *testing.T, name, image string) *worker {
	t.Helper()
	w := &worker{users: stand.NewUsers(t, usersPerRunner)}
	dir := filepath.Join(s.Dir, name)
	setup := stand.Setup{ID: filepath.Base(s.Dir) + "-" + name, Sub: name, GRPC: dir + "/platform.sock"}
	w.platform = stand.NewPlatformProxy(t, setup.GRPC, s.Dir+"/grpc.sock")
	own := "executor: process\npython_executable: " + s.Programs + "/job"
	if name != "p" {
		own = fmt.Sprintf("  tmpfs: {tmp: 4Mi, home: 4Mi, shm: 4Mi}\nimage: %s\npython_executable: /job", image)
		setup.Engine = dir + "/docker.sock"
		w.engine = stand.NewEngineProxy(t, setup.Engine, s.engine.Socket)
	}
	setup.Settings = fmt.Sprintf(runnerFile, s.Dir, slots, w.users, own)
	w.Runner = s.NewRunner(t, setup)
	t.Cleanup(func() {
		if t.Failed() { // the engine, too, may have been killed
			for _, p := range w.users.Processes(t) {
				_ = exec.Command("kill", "-KILL", strings.Fields(p)[1]).Run()
			}
		}
	})
	return w
}

// supervise starts again what has ended.
func (s *site) supervise(t *testing.T) {
	t.Helper()
	for name, p := range s.services {
		if p.Gone() {
			err := p.Wait()
			if !p.expected {
				s.tally.add("programs that ended by themselves and were started again", 1)
				t.Logf("%s has ended: %v\n%s", name, err, lastLine(p.Says()))
			}
			p.next = time.Now().Add(time.Second)
		}
		if !p.Up() && !p.held && time.Now().After(p.next) {
			p.expected = false
			p.Start(t)
		}
	}
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}
