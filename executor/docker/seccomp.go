package docker

import (
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// The default system call filter. What is allowed is what Docker's own default
// profile allows to a container without capabilities, less:
//
//   - every ABI but the host's 64-bit one: 32-bit calls carry their arguments
//     where no argument filter looks (socketcall passes by the one on socket)
//   - socket families but local, IP and netlink: no AF_VSOCK (reaches the
//     hypervisor), no AF_ALG, no rarely used protocol modules; pairs of local
//     sockets only, for the kernel loads any family's module to refuse a pair
//   - ptrace, process_vm_readv/writev, pidfd_getfd, and prlimit64 on another
//     process: the shim runs beside the job under the same user
//   - setting the priority of anything but the calling thread: an idle shim beside
//     busy children neither reports nor dies
//   - io_uring, whose operations no filter sees
//   - fallocate, and the ioctls of type 'X' that do the same: they take the whole
//     disk in one call, in no time and, where they keep the file's size, past
//     RLIMIT_FSIZE, so that no look at the output could come soon enough
//   - modify_ldt and uselib, which only 16- and 32-bit programs use
//
// Whatever is not listed fails with EPERM. Libraries that probe for a call and
// fall back take only ENOSYS for "not there", so those calls are listed with it:
// engines before Docker 23 ignore the profile's default errno.
//
// The filter on socket compares for equality alone. The kernel uses the lower 32
// bits of the argument and a filter compares all 64, so "not equal to" a
// forbidden family could be met by setting an upper bit.

// allowed are the calls without conditions, by subject.
var allowed = slices.Concat(callsFiles, callsMetadata, callsMemory, callsProcesses, callsIdentity,
	callsSignals, callsTime, callsScheduling, callsEvents, callsSockets, callsIPC, callsSystem)

var callsFiles = []string{
	"open", "openat", "openat2", "creat", "close", "close_range", "read", "readv", "pread64", "preadv", "preadv2",
	"write", "writev", "pwrite64", "pwritev", "pwritev2", "lseek", "dup", "dup2", "dup3", "fcntl", "flock",
	"fsync", "fdatasync", "sync", "syncfs", "sync_file_range", "ftruncate", "truncate", "fadvise64",
	"readahead", "copy_file_range", "sendfile", "splice", "tee", "vmsplice", "pipe", "pipe2", "memfd_create",
	"io_setup", "io_destroy", "io_submit", "io_cancel", "io_getevents", "io_pgetevents", "cachestat",
	"name_to_handle_at", "mknod", "mknodat",
}

var callsMetadata = []string{
	"stat", "lstat", "fstat", "newfstatat", "statx", "statfs", "fstatfs", "access", "faccessat", "faccessat2",
	"chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "lchown", "fchown", "fchownat", "utime", "utimes", "futimesat",
	"utimensat", "link", "linkat", "symlink", "symlinkat", "readlink", "readlinkat", "unlink", "unlinkat", "rename",
	"renameat", "renameat2", "mkdir", "mkdirat", "rmdir", "getdents", "getdents64", "getcwd", "chdir", "fchdir", "umask",
	"getxattr", "lgetxattr", "fgetxattr", "setxattr", "lsetxattr", "fsetxattr", "listxattr", "llistxattr", "flistxattr",
	"removexattr", "lremovexattr", "fremovexattr", "getxattrat", "setxattrat", "listxattrat", "removexattrat",
	"statmount", "listmount", "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self",
}

var callsMemory = []string{
	"brk", "mmap", "munmap", "mremap", "mprotect", "madvise", "mincore", "msync", "mlock", "mlock2", "mlockall", "munlock",
	"munlockall", "mseal", "map_shadow_stack", "memfd_secret", "membarrier", "remap_file_pages", "pkey_alloc", "pkey_free",
	"pkey_mprotect",
}

var callsProcesses = []string{
	"execve", "execveat", "exit", "exit_group", "fork", "vfork", "wait4", "waitid", "getpid", "getppid", "gettid", "getpgid",
	"setpgid", "getpgrp", "getsid", "setsid", "pidfd_open", "pidfd_send_signal", "process_mrelease", "prctl", "arch_prctl",
	"set_tid_address", "set_robust_list", "get_robust_list", "set_thread_area", "get_thread_area", "rseq", "seccomp",
	"getrlimit", "setrlimit", "getrusage", "times", "getpriority", "ioprio_get", "getcpu",
	"futex", "futex_waitv", "futex_wait", "futex_wake", "futex_requeue",
}

var callsIdentity = []string{
	"getuid", "geteuid", "getgid", "getegid", "getresuid", "getresgid", "getgroups", "setuid", "setgid", "setreuid",
	"setregid", "setresuid", "setresgid", "setfsuid", "setfsgid", "setgroups", "capget", "capset",
}

var callsSignals = []string{
	"kill", "tkill", "tgkill", "rt_sigaction", "rt_sigprocmask", "rt_sigpending", "rt_sigqueueinfo", "rt_tgsigqueueinfo",
	"rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait", "sigaltstack", "signalfd", "signalfd4", "pause", "alarm",
	"restart_syscall", "uretprobe",
}

var callsTime = []string{
	"time", "gettimeofday", "clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "getitimer", "setitimer",
	"timer_create", "timer_delete", "timer_getoverrun", "timer_gettime", "timer_settime", "timerfd_create",
	"timerfd_gettime", "timerfd_settime", "adjtimex", "clock_adjtime",
}

var callsScheduling = []string{
	"sched_yield", "sched_getaffinity", "sched_setaffinity", "sched_getattr", "sched_getparam", "sched_getscheduler",
	"sched_get_priority_max", "sched_get_priority_min", "sched_rr_get_interval",
}

var callsEvents = []string{
	"select", "pselect6", "poll", "ppoll", "epoll_create", "epoll_create1", "epoll_ctl", "epoll_ctl_old", "epoll_wait",
	"epoll_wait_old", "epoll_pwait", "epoll_pwait2", "eventfd", "eventfd2", "inotify_init", "inotify_init1",
	"inotify_add_watch", "inotify_rm_watch", "fanotify_mark",
}

var callsSockets = []string{
	"bind", "connect", "listen", "accept", "accept4", "shutdown", "getsockname", "getpeername", "getsockopt",
	"setsockopt", "sendto", "sendmsg", "sendmmsg", "recvfrom", "recvmsg", "recvmmsg",
}

var callsIPC = []string{
	"shmget", "shmat", "shmdt", "shmctl", "semget", "semop", "semtimedop", "semctl", "msgget", "msgsnd", "msgrcv", "msgctl",
	"mq_open", "mq_unlink", "mq_timedsend", "mq_timedreceive", "mq_notify", "mq_getsetattr",
}

var callsSystem = []string{"uname", "sysinfo", "getrandom"}

// absent are calls that libraries probe for: clone3 hides its flags from a
// filter, and io_uring hides its operations.
var absent = []string{"clone3", "io_uring_setup", "io_uring_enter", "io_uring_register"}

// unsupported are calls that libraries do without where the file system does not
// have them: the C library's posix_fallocate then writes the blocks.
var unsupported = []string{"fallocate"}

// preallocation is the type (_IOC_TYPE) of the ioctls that allocate blocks, from
// FS_IOC_RESVSP to FS_IOC_ZERO_RANGE, and freeze or trim file systems.
const preallocation = 'X'

// otherIoctls allows the ioctls of every other type. "Not of the type" can't be
// said of some of an argument's bits, of which the kernel uses the lower 32: so
// one rule for each bit of the type, which allows what differs in it.
func otherIoctls() (rules []specs.LinuxSyscall) {
	for bit := range uint64(8) {
		mask := uint64(1) << (8 + bit)
		rules = append(rules, when("ioctl", specs.LinuxSeccompArg{
			Index: 1, Value: mask, ValueTwo: ^(uint64(preallocation) << 8) & mask, Op: specs.OpMaskedEqual,
		}))
	}
	return rules
}

// socketFamilies are what a job may open sockets of.
var socketFamilies = []uint64{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK}

// personalities are the execution domains that Docker allows: Linux, with or
// without UNAME26 and address randomisation left on, and the query of the
// current one.
var personalities = []uint64{0x0, 0x8, 0x20000, 0x20008, 0xffffffff}

// ioprioWhoProcess is IOPRIO_WHO_PROCESS of ioprio_set(2).
const ioprioWhoProcess = 1

// newNamespaces are the flags of clone that make namespaces.
const newNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER |
	unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWCGROUP

// defaultSeccomp is the profile for an engine's architecture, as the engine
// spells it. For an architecture not known here the filter binds the engine's
// native ABI.
func defaultSeccomp(architecture string) *specs.LinuxSeccomp {
	enosys, unsupportedErrno := uint(unix.ENOSYS), uint(unix.EOPNOTSUPP)
	p := &specs.LinuxSeccomp{
		DefaultAction: specs.ActErrno,
		Syscalls: []specs.LinuxSyscall{
			{Names: allowed, Action: specs.ActAllow},
			{Names: absent, Action: specs.ActErrno, ErrnoRet: &enosys},
			{Names: unsupported, Action: specs.ActErrno, ErrnoRet: &unsupportedErrno},
			when("clone", specs.LinuxSeccompArg{Index: 0, Value: newNamespaces, ValueTwo: 0, Op: specs.OpMaskedEqual}),
			when("socketpair", specs.LinuxSeccompArg{Index: 0, Value: unix.AF_UNIX, Op: specs.OpEqualTo}),
			when("prlimit64", specs.LinuxSeccompArg{Index: 0, Value: 0, Op: specs.OpEqualTo}),
		},
	}
	for _, name := range []string{"sched_setscheduler", "sched_setparam", "sched_setattr"} {
		p.Syscalls = append(p.Syscalls, when(name, specs.LinuxSeccompArg{Index: 0, Value: 0, Op: specs.OpEqualTo}))
	}
	self := specs.LinuxSeccompArg{Index: 1, Value: 0, Op: specs.OpEqualTo}
	p.Syscalls = append(p.Syscalls,
		when("setpriority", specs.LinuxSeccompArg{Index: 0, Value: unix.PRIO_PROCESS, Op: specs.OpEqualTo}, self),
		when("ioprio_set", specs.LinuxSeccompArg{Index: 0, Value: ioprioWhoProcess, Op: specs.OpEqualTo}, self))
	p.Syscalls = append(p.Syscalls, otherIoctls()...)
	for _, f := range socketFamilies {
		p.Syscalls = append(p.Syscalls, when("socket", specs.LinuxSeccompArg{Index: 0, Value: f, Op: specs.OpEqualTo}))
	}
	for _, v := range personalities {
		p.Syscalls = append(p.Syscalls, when("personality", specs.LinuxSeccompArg{Index: 0, Value: v, Op: specs.OpEqualTo}))
	}
	switch architecture {
	case "x86_64", "amd64":
		p.Architectures = []specs.Arch{specs.ArchX86_64}
	case "aarch64", "arm64":
		p.Architectures = []specs.Arch{specs.ArchAARCH64}
	}
	return p
}

// when allows a call if all of some arguments match.
func when(name string, args ...specs.LinuxSeccompArg) specs.LinuxSyscall {
	return specs.LinuxSyscall{Names: []string{name}, Action: specs.ActAllow, Args: args}
}
