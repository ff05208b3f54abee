package docker

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/moby/moby/api/types/mount"

	"github.com/tetryx/lynx-runner/executor"
)

// networkNone is the network of containers that have their loopback and nothing else.
const networkNone = "none"

const (
	// hostsFile is the name of the container's table of hosts in the runtime
	// directory, containerHosts its path there.
	hostsFile      = "hosts"
	containerHosts = "/etc/hosts"
	// hosts is what the engine writes for a container without a network.
	hosts = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
)

// loopbackRuntimes are the names of runc, the OCI runtime that brings the loopback of
// a new network namespace up by itself. Others may, too; it is known of this one.
var loopbackRuntimes = []string{"runc", "io.containerd.runc.v2"}

// offline says whether the engine is told to leave a container's network alone
// (NetworkDisabled). The container has the same then as with the network none alone:
// a namespace of its own, which the runtime makes, with nothing but a loopback in it.
// But that namespace is not made known to the engine's network controller, for which
// engines before 28 start themselves twice: more than half of what they use for a
// short job, for a network that nobody will ever connect.
func (e *Executor) offline(s executor.Sandbox) bool {
	return s.Network == networkNone && slices.Contains(loopbackRuntimes, cmp.Or(s.Runtime, e.info.DefaultRuntime))
}

// hostsMount is the container's table of hosts, which is otherwise part of what the
// network controller does, unless something else is mounted there.
func hostsMount(spec executor.Spec, others []mount.Mount) []mount.Mount {
	if slices.ContainsFunc(others, func(m mount.Mount) bool { return filepath.Clean(m.Target) == containerHosts }) {
		return nil
	}
	return []mount.Mount{bind(filepath.Join(spec.RuntimeDir, hostsFile), containerHosts, true)}
}

// writeHosts writes that table, which must be there before the container is created.
func writeHosts(runtimeDir string) error {
	path := filepath.Join(runtimeDir, hostsFile)
	// Whatever the umask, every user of a container may read it.
	if err := errors.Join(os.WriteFile(path, []byte(hosts), 0o644), os.Chmod(path, 0o644)); err != nil {
		return fmt.Errorf("table of hosts: %w", err)
	}
	return nil
}
