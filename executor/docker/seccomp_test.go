package docker

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestSeccompForbids names what must never be in the list without a condition.
func TestSeccompForbids(t *testing.T) {
	p := defaultSeccomp("x86_64")
	if p.DefaultAction != specs.ActErrno {
		t.Errorf("the default action is %s", p.DefaultAction)
	}
	if want := []specs.Arch{specs.ArchX86_64}; !slices.Equal(p.Architectures, want) {
		t.Errorf("architectures %v, want %v alone", p.Architectures, want)
	}
	for _, name := range []string{
		"sched_setscheduler", "sched_setparam", "sched_setattr", "setpriority", "ioprio_set",
		"socket", "socketpair", "clone", "personality", "prlimit64", "clone3", "io_uring_setup", "io_uring_enter", "io_uring_register",
		"ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "kcmp", "process_madvise", "socketcall", "ipc",
		"mount", "umount2", "pivot_root", "chroot", "setns", "unshare", "move_mount", "open_tree", "fsopen", "mount_setattr",
		"bpf", "perf_event_open", "userfaultfd", "keyctl", "add_key", "request_key", "init_module", "finit_module",
		"delete_module", "kexec_load", "kexec_file_load", "reboot", "swapon", "swapoff", "acct", "quotactl", "iopl", "ioperm",
		"open_by_handle_at", "fanotify_init", "lookup_dcookie", "nfsservctl", "syslog", "settimeofday", "clock_settime",
		"sethostname", "setdomainname", "vhangup", "modify_ldt", "uselib", "_sysctl", "mbind", "move_pages", "vm86", "fallocate", "ioctl",
	} {
		if slices.Contains(allowed, name) {
			t.Errorf("%s is allowed without a condition", name)
		}
	}
}

func TestSeccompList(t *testing.T) {
	seen := map[string]bool{}
	for _, name := range allowed {
		if seen[name] {
			t.Errorf("%s is listed twice", name)
		}
		seen[name] = true
		if strings.HasSuffix(name, "_time64") || strings.HasSuffix(name, "32") {
			t.Errorf("%s exists in 32-bit ABIs only", name)
		}
	}
	for _, name := range absent {
		if seen[name] {
			t.Errorf("%s is allowed and absent", name)
		}
	}
}

// TestSeccompConditions: arguments are compared for equality, because the kernel
// uses the low half of what the filter compares whole.
func TestSeccompConditions(t *testing.T) {
	for _, s := range defaultSeccomp("x86_64").Syscalls {
		switch {
		case s.Action == specs.ActErrno:
			want := uint(38)
			if slices.Contains(s.Names, "fallocate") {
				want = 95
			}
			if s.ErrnoRet == nil || *s.ErrnoRet != want {
				t.Errorf("%v: want errno %d for what libraries probe", s.Names, want)
			}
		case len(s.Args) > 0:
			if op := s.Args[0].Op; op != specs.OpEqualTo && s.Names[0] != "clone" && s.Names[0] != "ioctl" {
				t.Errorf("%v: compared by %s", s.Names, op)
			}
		}
	}
}

// TestSeccompIoctl: whatever a 64-bit argument has in its other bits, an ioctl of
// the type that allocates blocks meets none of the rules, and any other one does.
func TestSeccompIoctl(t *testing.T) {
	allowed := func(request uint64) bool {
		return slices.ContainsFunc(otherIoctls(), func(s specs.LinuxSyscall) bool {
			a := s.Args[0]
			return a.Index == 1 && a.Op == specs.OpMaskedEqual && request&a.Value == a.ValueTwo
		})
	}
	for kind := range uint64(256) {
		for _, rest := range []uint64{0, 0x40300028, 0x4030002a, 0x40300039, 0xffffffff_ffff00ff, 1 << 32, 0xc0040077} {
			if request := rest | kind<<8; allowed(request) != (kind != 'X') {
				t.Errorf("request %#x: allowed is %t", request, allowed(request))
			}
		}
	}
}

func TestSeccompArchitectures(t *testing.T) {
	if got := defaultSeccomp("aarch64").Architectures; !slices.Equal(got, []specs.Arch{specs.ArchAARCH64}) {
		t.Errorf("aarch64: %v", got)
	}
	if got := defaultSeccomp("riscv64").Architectures; got != nil {
		t.Errorf("an architecture not known: %v, want the engine's native one", got)
	}
}

func TestMarshalSeccomp(t *testing.T) {
	got, err := marshalSeccomp(defaultSeccomp("x86_64"))
	if err != nil {
		t.Fatal(err)
	}
	content, ok := strings.CutPrefix(got, "seccomp=")
	if !ok {
		t.Fatalf("%.20s…", got)
	}
	var p specs.LinuxSeccomp
	if err := json.Unmarshal([]byte(content), &p); err != nil || len(p.Syscalls) < 10 {
		t.Errorf("%d rules, %v", len(p.Syscalls), err)
	}
}
