package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

var _ = register(map[string]func(){
	"escape_calls":      escapeCalls,
	"escape_namespaces": escapeNamespaces,
	"escape_sockets":    escapeSockets,
	"escape_abi":        escapeABI,
	"escape_kernel":     escapeKernel,
	"escape_setuid":     escapeSetuid,
	"escape_privileges": escapePrivileges,
	"escape_devices":    escapeDevices,
	"image":             image,
	"who":               who,
})

// kept reports a call as refused where the filter, or the lack of a right, kept
// it from being looked at. Any other error means that the kernel considered it.
func kept(what string, errno unix.Errno) {
	switch errno {
	case unix.EPERM, unix.ENOSYS, unix.EACCES:
		refused(what, errno)
	default:
		done(fmt.Sprintf("%s (%v)", what, errno))
	}
}

var scratch [4096]byte

// escapeCalls tries each system call that has once been a way out, or reaches
// much of the kernel.
func escapeCalls() {
	p := uintptr(unsafe.Pointer(&scratch))
	str := func(s string) uintptr { return uintptr(unsafe.Pointer(&append([]byte(s), 0)[0])) }
	for _, c := range []struct {
		name string
		nr   uintptr
		args [6]uintptr
	}{
		{"mount", unix.SYS_MOUNT, [6]uintptr{str("none"), str("/tmp"), str("tmpfs"), 0, 0}},
		{"umount2", unix.SYS_UMOUNT2, [6]uintptr{str("/tmp"), unix.MNT_DETACH}},
		{"pivot_root", unix.SYS_PIVOT_ROOT, [6]uintptr{str("/tmp"), str("/tmp")}},
		{"chroot", unix.SYS_CHROOT, [6]uintptr{str("/tmp")}},
		{"fsopen", unix.SYS_FSOPEN, [6]uintptr{str("tmpfs"), 0}},
		{"fsmount", unix.SYS_FSMOUNT, [6]uintptr{0, 0, 0}},
		{"fspick", unix.SYS_FSPICK, [6]uintptr{^uintptr(99), str("/"), 0}},
		{"open_tree", unix.SYS_OPEN_TREE, [6]uintptr{^uintptr(99), str("/"), 1}},
		{"move_mount", unix.SYS_MOVE_MOUNT, [6]uintptr{^uintptr(99), str("/tmp"), ^uintptr(99), str("/tmp"), 0}},
		{"mount_setattr", unix.SYS_MOUNT_SETATTR, [6]uintptr{^uintptr(99), str("/lynx/work"), 0, p, 32}},
		{"setns", unix.SYS_SETNS, [6]uintptr{0, 0}},
		{"keyctl", unix.SYS_KEYCTL, [6]uintptr{0, ^uintptr(2), 1}},
		{"add_key", unix.SYS_ADD_KEY, [6]uintptr{str("user"), str("x"), p, 1, ^uintptr(2)}},
		{"request_key", unix.SYS_REQUEST_KEY, [6]uintptr{str("user"), str("x"), 0, ^uintptr(2)}},
		{"bpf", unix.SYS_BPF, [6]uintptr{0, p, 64}},
		{"userfaultfd", unix.SYS_USERFAULTFD, [6]uintptr{1}},
		{"io_uring_setup", unix.SYS_IO_URING_SETUP, [6]uintptr{1, p}},
		{"io_uring_enter", unix.SYS_IO_URING_ENTER, [6]uintptr{0}},
		{"io_uring_register", unix.SYS_IO_URING_REGISTER, [6]uintptr{0}},
		{"perf_event_open", unix.SYS_PERF_EVENT_OPEN, [6]uintptr{p, 0, ^uintptr(0), ^uintptr(0), 0}},
		{"fanotify_init", unix.SYS_FANOTIFY_INIT, [6]uintptr{}},
		{"open_by_handle_at", unix.SYS_OPEN_BY_HANDLE_AT, [6]uintptr{^uintptr(99), p, 0}},
		{"ptrace", unix.SYS_PTRACE, [6]uintptr{0}},
		{"process_vm_readv", unix.SYS_PROCESS_VM_READV, [6]uintptr{uintptr(os.Getpid())}},
		{"process_vm_writev", unix.SYS_PROCESS_VM_WRITEV, [6]uintptr{uintptr(os.Getpid())}},
		{"kcmp", unix.SYS_KCMP, [6]uintptr{1, 1}},
		{"init_module", unix.SYS_INIT_MODULE, [6]uintptr{p, 64, p}},
		{"finit_module", unix.SYS_FINIT_MODULE, [6]uintptr{0, p, 0}},
		{"delete_module", unix.SYS_DELETE_MODULE, [6]uintptr{str("x"), 0}},
		{"kexec_load", unix.SYS_KEXEC_LOAD, [6]uintptr{}},
		{"reboot", unix.SYS_REBOOT, [6]uintptr{}},
		{"swapon", unix.SYS_SWAPON, [6]uintptr{str("/tmp/x"), 0}},
		{"acct", unix.SYS_ACCT, [6]uintptr{str("/tmp/x")}},
		{"syslog", unix.SYS_SYSLOG, [6]uintptr{3, p, 64}},
		{"quotactl", unix.SYS_QUOTACTL, [6]uintptr{}},
		{"settimeofday", unix.SYS_SETTIMEOFDAY, [6]uintptr{p, 0}},
		{"clock_settime", unix.SYS_CLOCK_SETTIME, [6]uintptr{0, p}},
		{"sethostname", unix.SYS_SETHOSTNAME, [6]uintptr{str("x"), 1}},
		{"vhangup", unix.SYS_VHANGUP, [6]uintptr{}},
		{"lookup_dcookie", unix.SYS_LOOKUP_DCOOKIE, [6]uintptr{0, p, 64}},
		{"personality", unix.SYS_PERSONALITY, [6]uintptr{0x40000}},
		{"set_mempolicy", unix.SYS_SET_MEMPOLICY, [6]uintptr{}},
		{"mbind", unix.SYS_MBIND, [6]uintptr{}},
		{"move_pages", unix.SYS_MOVE_PAGES, [6]uintptr{}},
		{"setuid", unix.SYS_SETUID, [6]uintptr{0}},
		{"setgid", unix.SYS_SETGID, [6]uintptr{0}},
		{"setgroups", unix.SYS_SETGROUPS, [6]uintptr{0, 0}},
		{"a call that does not exist", 999, [6]uintptr{}},
	} {
		_, _, errno := unix.Syscall6(c.nr, c.args[0], c.args[1], c.args[2], c.args[3], c.args[4], c.args[5])
		kept(c.name, errno)
	}
}

var namespaces = map[string]uintptr{
	"mount": unix.CLONE_NEWNS, "uts": unix.CLONE_NEWUTS, "ipc": unix.CLONE_NEWIPC, "user": unix.CLONE_NEWUSER,
	"pid": unix.CLONE_NEWPID, "network": unix.CLONE_NEWNET, "cgroup": unix.CLONE_NEWCGROUP,
}

// escapeNamespaces asks for namespaces of its own, in which it would be root.
func escapeNamespaces() {
	for name, flag := range namespaces {
		_, _, errno := unix.RawSyscall(unix.SYS_UNSHARE, flag, 0, 0)
		kept("unshare a "+name+" namespace", errno)
		pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, flag|uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
		if errno == 0 && pid == 0 {
			exit(0)
		}
		kept("clone into a "+name+" namespace", errno)
	}
	_, _, errno := unix.RawSyscall(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&scratch)), 64, 0)
	kept("clone3", errno)
}

// escapeSockets opens sockets that lead to the host or to rarely used code.
func escapeSockets() {
	for name, family := range map[string]int{
		"vsock": unix.AF_VSOCK, "alg": unix.AF_ALG, "packet": unix.AF_PACKET, "key": unix.AF_KEY, "can": unix.AF_CAN, "tipc": unix.AF_TIPC,
		"bluetooth": unix.AF_BLUETOOTH, "rds": unix.AF_RDS, "xdp": unix.AF_XDP, "smc": unix.AF_SMC, "kcm": unix.AF_KCM, "x25": unix.AF_X25,
		"ax25": unix.AF_AX25, "llc": unix.AF_LLC, "nfc": unix.AF_NFC,
	} {
		for kind, number := range map[string]int{"stream": unix.SOCK_STREAM, "datagram": unix.SOCK_DGRAM, "raw": unix.SOCK_RAW, "packet": unix.SOCK_SEQPACKET} {
			if _, err := unix.Socket(family, number, 0); err != unix.EPERM {
				done(fmt.Sprintf("a %s socket of %s (%v)", kind, name, err))
			}
			// The upper half of the argument must not get past the filter.
			if _, _, errno := unix.Syscall(unix.SYS_SOCKET, 1<<32|uintptr(family), uintptr(number), 0); errno != unix.EPERM {
				done(fmt.Sprintf("a %s socket of %s by the upper half (%v)", kind, name, errno))
			}
		}
		_, err := unix.Socketpair(family, unix.SOCK_STREAM, 0)
		try("sockets of "+name, err)
	}
	for name, protocol := range map[string]int{"ICMP": unix.IPPROTO_ICMP, "TCP": unix.IPPROTO_TCP, "any": unix.IPPROTO_RAW} {
		_, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, protocol)
		try("a raw socket for "+name, err)
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE)
	must(err)
	must(unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}))
	// RTM_NEWLINK of a dummy interface; the answer is an error message.
	m := make([]byte, 32)
	*(*uint32)(unsafe.Pointer(&m[0])) = 32
	*(*uint16)(unsafe.Pointer(&m[4])) = unix.RTM_NEWLINK
	*(*uint16)(unsafe.Pointer(&m[6])) = unix.NLM_F_REQUEST | unix.NLM_F_ACK | unix.NLM_F_CREATE
	must(unix.Sendto(fd, m, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}))
	n, _, err := unix.Recvfrom(fd, scratch[:], 0)
	must(err)
	var errno unix.Errno
	if n >= 20 {
		errno = unix.Errno(-*(*int32)(unsafe.Pointer(&scratch[16])))
	}
	kept("make a network interface", errno)
}

// escapeABI makes system calls as 32-bit programs do, past a filter's numbers. A
// filter may end the thread alone, so each is made in a process that has but one.
func escapeABI() {
	for name, x32 := range map[string]bool{"of 32 bits": false, "of x32": true} {
		pid := forkABI(x32)
		if pid < 0 {
			must(unix.Errno(-pid))
		}
		var status unix.WaitStatus
		_, err := unix.Wait4(pid, &status, 0, nil)
		must(err)
		if !status.Signaled() || status.Signal() != unix.SIGSYS {
			done(fmt.Sprintf("a system call %s (%v)", name, status))
			continue
		}
		refused("a system call "+name, "SIGSYS")
	}
}

// escapeKernel reads and writes what the kernel shows of the host.
func escapeKernel() {
	for _, path := range []string{
		"/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/vm/drop_caches", "/proc/sys/fs/binfmt_misc/register",
		"/proc/sysrq-trigger", "/proc/irq/0/smp_affinity", "/proc/kcore", "/proc/self/uid_map", "/proc/latency_stats",
		"/sys/kernel/uevent_helper", "/sys/kernel/vmcoreinfo", "/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/cgroup.procs",
		"/sys/fs/cgroup/pids/pids.max", "/sys/fs/cgroup/devices/devices.allow", "/sys/fs/cgroup/memory/release_agent", "/sys/fs/cgroup/cgroup.procs",
		"/sys/power/state", "/sys/class/net/lo/mtu", "/sys/kernel/mm/transparent_hugepage/enabled", "/proc/1/oom_score_adj",
	} {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err == nil {
			// Some can be opened and still not be written to.
			_, err = f.WriteString("1")
			f.Close()
		}
		try("write "+path, err)
	}
	for _, path := range []string{"/proc/kcore", "/proc/sched_debug", "/proc/1/environ", "/sys/firmware/dmi", "/sys/kernel/debug/x", "/proc/keys", "/proc/timer_list", "/proc/acpi/x", "/proc/scsi/x"} {
		data, err := os.ReadFile(path)
		if err == nil && len(data) == 0 {
			err = fmt.Errorf("it is empty")
		}
		try("read "+path, err)
	}
	try("be spared by the OOM killer", os.WriteFile("/proc/self/oom_score_adj", []byte("-1000"), 0o644))
	comm, err := os.ReadFile("/proc/2/comm")
	holds("see the host's processes", err == nil && strings.Contains(string(comm), "kthreadd"))
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	must(err)
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		if len(f) > 5 && (f[3] == "/" && f[4] != "/" || strings.HasPrefix(f[4], "/host")) {
			report("mount " + f[4] + " " + f[5])
		}
	}
}

// escapeSetuid runs a program that belongs to root and has the set-user-ID bit.
func escapeSetuid() {
	out, err := exec.Command("/root-shell", "who").CombinedOutput()
	must(err)
	_, _ = os.Stdout.Write(out)
	for _, path := range []string{"/tmp", outputDir, "/dev/shm"} {
		copied := path + "/suid"
		must(os.WriteFile(copied, []byte("#!/hostile\n"), 0o755))
		must(unix.Chmod(copied, 0o4755))
		try("give the program in "+path+" to root", os.Chown(copied, 0, 0))
		must(os.Remove(copied))
	}
}

// who reports whose rights the process has.
func who() {
	uid, euid, suid := unix.Getresuid()
	gid, egid, sgid := unix.Getresgid()
	holds("be root", uid == 0 || euid == 0 || suid == 0)
	holds("be of the root group", gid == 0 || egid == 0 || sgid == 0)
	groups, err := unix.Getgroups()
	must(err)
	holds("be of other groups", len(groups) > 1 || len(groups) == 1 && groups[0] != gid)
	text, err := os.ReadFile("/proc/self/status")
	must(err)
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		switch value = strings.TrimSpace(value); {
		case strings.HasPrefix(name, "Cap"):
			holds("have rights in "+name, strings.Trim(value, "0") != "")
		case name == "NoNewPrivs":
			holds("get new privileges", value != "1")
		case name == "Seccomp":
			holds("call without a filter", value != "2")
		}
	}
}

func escapePrivileges() {
	who()
	must(unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0))
	try("take no_new_privs back", unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0))
	try("keep capabilities", unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, unix.CAP_SYS_ADMIN, 0, 0))
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := [2]unix.CapUserData{{Effective: 1 << 21, Permitted: 1 << 21}}
	try("set a capability", unix.Capset(&hdr, &data[0]))
	try("turn the filter off", unix.Prctl(unix.PR_SET_SECCOMP, 0, 0, 0, 0))
}

// escapeDevices looks for devices that lead to the host.
func escapeDevices() {
	for _, path := range []string{"/dev/mem", "/dev/kmsg", "/dev/port", "/dev/sda", "/dev/vda", "/dev/nvme0n1", "/dev/fuse", "/dev/kvm",
		"/dev/net/tun", "/dev/vhost-vsock", "/dev/vsock", "/dev/uinput", "/dev/dri/card0", "/dev/nvidia0", "/dev/console", "/dev/tty1", "/dev/loop-control", "/dev/snapshot"} {
		_, err := os.OpenFile(path, os.O_RDWR, 0)
		try("open "+path, err)
	}
	for name, dev := range map[string]int{"memory": int(unix.Mkdev(1, 1)), "the first disk": int(unix.Mkdev(254, 0))} {
		try("make the device of "+name, unix.Mknod("/tmp/device", unix.S_IFCHR|0o666, dev))
	}
}

// image reports what a hostile image has got into the job.
func image() {
	who()
	cwd, err := os.Getwd()
	must(err)
	holds("start in a place of the image's choice", cwd != workDir)
	holds("start with arguments of the image's choice", len(os.Args) != 2)
	init, err := os.ReadFile("/proc/1/cmdline")
	must(err)
	holds("be started by the image's entrypoint", !strings.HasPrefix(string(init), "/lynx/shim\x00"))
	for _, name := range []string{"LD_PRELOAD", "EVIL", "GODEBUG", "GOTRACEBACK", "PYTHONSTARTUP", "BASH_ENV", "http_proxy", "NVIDIA_VISIBLE_DEVICES"} {
		_, set := os.LookupEnv(name)
		holds("set "+name, set)
	}
	holds("change PATH", strings.Contains(os.Getenv("PATH"), "evil"))
	holds("change TETRYX_OUTPUT_DIR", os.Getenv("TETRYX_OUTPUT_DIR") != outputDir)
	holds("change HOME", strings.Contains(os.Getenv("HOME"), "evil"))
	err = nil
	for i := 0; err == nil && i < 256; i++ {
		err = os.WriteFile(fmt.Sprintf("/data/%d", i), block, 0o600)
	}
	try("256 MiB in a volume", err)
}
