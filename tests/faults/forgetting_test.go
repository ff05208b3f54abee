//go:build engine

package faults

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/tetryx/lynx-runner/tests/internal/stand"
)

// forgottenStart: the engine is killed after a container's job has
// begun and before it has written down that it started it. Nobody can hit that moment,
// so what it wrote is taken back while it is dead.
func forgottenStart(t *testing.T, s *site, v verdict) {
	s.proxy.Set(stand.AtStart, stand.SocketGone, 1)
	batch := s.submit(t, 1, 0)
	s.waitReady(t, batch, 1)
	first := s.users.Processes(t)
	s.daemon.Stop(t, syscall.SIGKILL)
	if len(first) == 0 || len(s.users.Processes(t)) != len(first) {
		t.Fatalf("of %q there are %q without the engine", first, s.users.Processes(t))
	}
	s.forgetStart(t)
	s.daemon.Start(t)
	if status := stand.Docker(t, s.engine, "ps", "--all", "--format", "{{.Status}}"); status != "Created" {
		t.Fatalf("the engine calls the container %q", status)
	}
	s.proxy.Back(t)
	s.waitReady(t, batch, 2)
	for _, p := range s.users.Processes(t) {
		if slices.Contains(first, p) {
			t.Errorf("process %s of the attempt that the engine forgot lives beside the next", p)
		}
	}
	s.finish(t, batch)
	s.judge(t, v, batch, 1)
}

// forgetStart makes a dead engine's record of its one container that of before the
// start.
func (s *site) forgetStart(t *testing.T) {
	t.Helper()
	records, err := filepath.Glob(filepath.Join(filepath.Dir(s.engine), "data", "containers", "*", "config.v2.json"))
	if err != nil || len(records) != 1 {
		t.Fatalf("records %q, %v", records, err)
	}
	text, err := os.ReadFile(records[0])
	stand.Must(t, err)
	var record map[string]any
	stand.Must(t, json.Unmarshal(text, &record))
	state, ok := record["State"].(map[string]any)
	if !ok || state["Running"] != true {
		t.Fatalf("the engine's record says %v", record["State"])
	}
	state["Running"], state["Pid"], state["StartedAt"] = false, 0, "0001-01-01T00:00:00Z"
	text, err = json.Marshal(record)
	stand.Must(t, err)
	stand.Must(t, os.WriteFile(records[0], text, 0o600))
}

// forgetEnd takes from a dead engine's containerd what it wrote of its one container, as
// one does that is killed when it has deleted the container's task and has not told its
// own process for it to go. Nobody can hit that moment either.
func forgetEnd(t *testing.T, s *site) {
	t.Helper()
	bundles, err := filepath.Glob(filepath.Join(filepath.Dir(s.engine), "exec/containerd/daemon/io.containerd.runtime.v2.task/moby/*"))
	if err != nil || len(bundles) != 1 {
		t.Fatalf("bundles %q, %v", bundles, err)
	}
	stand.Must(t, os.Rename(bundles[0], filepath.Join(s.Dir, "forgotten")))
}

// forgetContainer takes from a dead engine's containerd all that it knows, as one does
// that is killed when containerd has deleted the container and the engine has not
// written down how it ended.
func forgetContainer(t *testing.T, s *site) {
	t.Helper()
	forgetEnd(t, s)
	known := filepath.Join(filepath.Dir(s.engine), "data/containerd/daemon/io.containerd.metadata.v1.bolt/meta.db")
	stand.Must(t, os.Remove(known))
}

// forgetContainerAlone is forgetContainer with the runner killed, which does not see the
// engine come back.
func forgetContainerAlone(t *testing.T, s *site) {
	t.Helper()
	s.runner.Kill(t)
	forgetContainer(t, s)
}
