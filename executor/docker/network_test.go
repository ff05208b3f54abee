package docker

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/moby/moby/api/types/mount"

	"github.com/tetryx/lynx-runner/executor"
)

// Only where it is known that the runtime makes a namespace with a loopback is the
// engine told to leave the network alone; the network none is named in any case.
func TestNetworkLeftAlone(t *testing.T) {
	for name, c := range map[string]struct {
		network, runtime, engine string
		want                     bool
	}{
		"runc by default":      {networkNone, "", "runc", true},
		"runc by name":         {networkNone, "runc", "runsc", true},
		"runc's shim by name":  {networkNone, "io.containerd.runc.v2", "runsc", true},
		"a sandbox":            {networkNone, "runsc", "runc", false},
		"a sandbox by default": {networkNone, "", "runsc", false},
		"a default not known":  {networkNone, "", "", false},
		"one of the engine's":  {"lab", "", "runc", false},
		"the engine's default": {"bridge", "runc", "runc", false},
	} {
		t.Run(name, func(t *testing.T) {
			e := plainExecutor("1.41")
			e.info.DefaultRuntime = c.engine
			spec := testSpec(t)
			spec.Sandbox.Network, spec.Sandbox.Runtime = c.network, c.runtime
			body, err := e.translate(spec, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			if body.NetworkDisabled != c.want || string(body.NetworkMode) != c.network {
				t.Errorf("left alone %v, network %q, want %v, %q", body.NetworkDisabled, body.NetworkMode, c.want, c.network)
			}
			want := ""
			if c.want {
				want = filepath.Join(spec.RuntimeDir, hostsFile)
			}
			if m := mountAt(body.Mounts, containerHosts); m.Source != want || !m.ReadOnly && c.want {
				t.Errorf("hosts: %+v, want %q, read-only", m, want)
			}
		})
	}
}

// A table of the owner's stays.
func TestOwnersHosts(t *testing.T) {
	e := plainExecutor("1.41")
	e.info.DefaultRuntime = "runc"
	spec := testSpec(t)
	spec.DataMounts = []executor.Mount{{Source: "/srv/hosts", Target: containerHosts}}
	body, err := e.translate(spec, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, m := range body.Mounts {
		if m.Target == containerHosts {
			n++
		}
	}
	if m := mountAt(body.Mounts, containerHosts); n != 1 || m.Source != "/srv/hosts" {
		t.Errorf("%d mounts, %+v", n, m)
	}
}

func mountAt(ms []mount.Mount, target string) mount.Mount {
	for _, m := range ms {
		if m.Target == target {
			return m
		}
	}
	return mount.Mount{}
}

// The job's user, whoever that is, can read the table while the container runs, and
// it goes with the container.
func TestHostsComeAndGo(t *testing.T) {
	d := newDaemon(t)
	d.init = fakeInit{Report: report(0)}
	e := d.executor()
	spec := testSpec(t)
	path := filepath.Join(spec.RuntimeDir, hostsFile)
	h := mustStart(t, e, spec)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o644 {
		t.Fatalf("%v, %v", info, err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != hosts {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := h.Kill(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := h.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	if err := h.Remove(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("left behind: %v", err)
	}
}
