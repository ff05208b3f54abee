//go:build engine

package hostile

import "strings"

// longName is the longest that a file system takes.
var longName = strings.Repeat("n", 255)

// forbiddenCalls are system calls that never get as far as their arguments.
var forbiddenCalls = []string{
	"mount", "umount2", "pivot_root", "chroot", "fsopen", "fsmount", "fspick", "open_tree", "move_mount", "mount_setattr", "setns",
	"keyctl", "add_key", "request_key", "bpf", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register", "perf_event_open",
	"fanotify_init", "open_by_handle_at", "ptrace", "process_vm_readv", "process_vm_writev", "kcmp", "init_module", "finit_module", "delete_module",
	"kexec_load", "reboot", "swapon", "acct", "syslog", "quotactl", "settimeofday", "clock_settime", "sethostname", "vhangup", "lookup_dcookie",
	"personality", "set_mempolicy", "mbind", "move_pages", "setuid", "setgid", "setgroups", "a call that does not exist",
}

func forbiddenNamespaces() (list []string) {
	for _, name := range []string{"mount", "uts", "ipc", "user", "pid", "network", "cgroup"} {
		list = append(list, "unshare a "+name+" namespace", "clone into a "+name+" namespace")
	}
	return append(list, "clone3")
}

func forbiddenSockets() (list []string) {
	for _, family := range []string{"vsock", "alg", "packet", "key", "can", "tipc", "bluetooth", "rds", "xdp", "smc", "kcm", "x25", "ax25", "llc", "nfc"} {
		list = append(list, "sockets of "+family)
	}
	for _, protocol := range []string{"ICMP", "TCP", "any"} {
		list = append(list, "a raw socket for "+protocol)
	}
	return append(list, "make a network interface")
}

func forbiddenPaths() (list []string) {
	for _, path := range []string{
		"/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/vm/drop_caches", "/proc/sys/fs/binfmt_misc/register",
		"/proc/sysrq-trigger", "/proc/irq/0/smp_affinity", "/proc/kcore", "/proc/self/uid_map", "/proc/latency_stats",
		"/sys/kernel/uevent_helper", "/sys/kernel/vmcoreinfo", "/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/cgroup.procs",
		"/sys/fs/cgroup/pids/pids.max", "/sys/fs/cgroup/devices/devices.allow", "/sys/fs/cgroup/memory/release_agent", "/sys/fs/cgroup/cgroup.procs",
		"/sys/power/state", "/sys/class/net/lo/mtu", "/sys/kernel/mm/transparent_hugepage/enabled", "/proc/1/oom_score_adj",
	} {
		list = append(list, "write "+path)
	}
	for _, path := range []string{
		"/proc/kcore", "/proc/sched_debug", "/proc/1/environ", "/sys/firmware/dmi", "/sys/kernel/debug/x", "/proc/keys",
		"/proc/timer_list", "/proc/acpi/x", "/proc/scsi/x",
	} {
		list = append(list, "read "+path)
	}
	return append(list, "be spared by the OOM killer", "see the host's processes")
}

func forbiddenDevices() (list []string) {
	for _, name := range []string{
		"mem", "kmsg", "port", "sda", "vda", "nvme0n1", "fuse", "kvm", "net/tun", "vhost-vsock", "vsock", "uinput", "dri/card0",
		"nvidia0", "console", "tty1", "loop-control", "snapshot",
	} {
		list = append(list, "open /dev/"+name)
	}
	return append(list, "make the device of memory", "make the device of the first disk")
}
