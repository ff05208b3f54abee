package executor

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// What a sandbox may be relaxed to has a limit: no setting may make a job as good
// as root on its host. The rules stand here, for whoever reads a configuration and
// for the executors, which are the last gate.

// capabilities are the names of capabilities(7).
var capabilities = []string{
	"CAP_AUDIT_CONTROL", "CAP_AUDIT_READ", "CAP_AUDIT_WRITE", "CAP_BLOCK_SUSPEND", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_IPC_LOCK", "CAP_IPC_OWNER",
	"CAP_KILL", "CAP_LEASE", "CAP_LINUX_IMMUTABLE", "CAP_MAC_ADMIN", "CAP_MAC_OVERRIDE", "CAP_MKNOD", "CAP_NET_ADMIN",
	"CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_RAW", "CAP_PERFMON", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP",
	"CAP_SETUID", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_CHROOT", "CAP_SYS_MODULE", "CAP_SYS_NICE", "CAP_SYS_PACCT",
	"CAP_SYS_PTRACE", "CAP_SYS_RAWIO", "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_SYSLOG", "CAP_WAKE_ALARM",
}

// hostCapabilities reach past a container's walls: they mount, load code into the
// kernel, open files by their handles, make or drive devices, trace, or act on
// what the kernel has only one of.
var hostCapabilities = []string{
	"CAP_BPF", "CAP_CHECKPOINT_RESTORE", "CAP_DAC_READ_SEARCH", "CAP_MAC_ADMIN", "CAP_MAC_OVERRIDE", "CAP_MKNOD", "CAP_PERFMON",
	"CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_MODULE", "CAP_SYS_PTRACE", "CAP_SYS_RAWIO", "CAP_SYS_TIME", "CAP_SYSLOG",
	"CAP_AUDIT_CONTROL", "CAP_AUDIT_READ",
}

// CheckCapability refuses what is no capability, and what a job never gets.
func CheckCapability(name string) error {
	switch {
	case strings.EqualFold(name, "ALL"), strings.EqualFold(name, "CAP_ALL"):
		return fmt.Errorf("%q: a job is never privileged; name each capability that it needs, such as CAP_NET_RAW", name)
	case !slices.Contains(capabilities, name):
		return fmt.Errorf("%q is not a capability; want a name such as CAP_NET_RAW, as in capabilities(7)", name)
	case slices.Contains(hostCapabilities, name):
		return fmt.Errorf("%s makes a job as good as root on the host, and no job gets it", name)
	}
	return nil
}

// CheckNetwork refuses to share a network namespace with the host or with another
// container; the engine's name for its default network would hide what it is.
func CheckNetwork(name string) error {
	if name == "" || name == "host" || name == "default" || strings.ContainsAny(name, ":/ ") {
		return fmt.Errorf("network %q: must be none or the name of one of the engine's networks, never host or another container's", name)
	}
	return nil
}

// hostDevices are the host's memory, ports and log, and what makes any other
// device reachable.
var hostDevices = []string{"/dev/mem", "/dev/kmem", "/dev/port", "/dev/kmsg", "/dev/mapper", "/dev/loop-control", "/dev/snapshot", "/dev/vfio", "/dev/uhid", "/dev/uinput"}

// CheckDevice refuses a path that is no device's, and the devices that are as good
// as the host itself. Block devices are for the executor to refuse, which sees
// them.
func CheckDevice(device string) error {
	if path.Clean(device) != device || !strings.HasPrefix(device, "/dev/") {
		return fmt.Errorf("%q is not the path of a device; want one such as /dev/kvm", device)
	}
	for _, host := range hostDevices {
		if device == host || strings.HasPrefix(device, host+"/") {
			return fmt.Errorf("%s reaches all of the host, and no job gets it", device)
		}
	}
	return nil
}
