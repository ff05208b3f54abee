package shim_test

import (
	"debug/elf"
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestBinaryIsSmallAndStatic(t *testing.T) {
	info, err := os.Stat(shimPath)
	must(t, err)
	if info.Size() >= 5_000_000 {
		t.Errorf("the shim has %d bytes", info.Size())
	}
	file, err := elf.Open(shimPath)
	must(t, err)
	defer file.Close()
	for _, part := range file.Progs {
		if part.Type == elf.PT_INTERP || part.Type == elf.PT_DYNAMIC {
			t.Errorf("the shim is not static: it has %s", part.Type)
		}
	}
}

// Layer 4, and so small: the standard library, x/sys, the program's version and the
// package itself.
func TestDependencies(t *testing.T) {
	const module = "github.com/tetryx/lynx-runner/"
	allowed := map[string]bool{
		module + "cmd/lynx-shim": true, module + "internal/shim": true, module + "internal/shim/control": true,
		module + "cmd/internal/buildinfo": true, "golang.org/x/sys/unix": true,
	}
	for _, pkg := range []string{"cmd/lynx-shim", "internal/shim/control"} {
		out, err := exec.Command("go", "list", "-deps", module+pkg).Output()
		must(t, err)
		for _, dep := range strings.Fields(string(out)) {
			first, _, _ := strings.Cut(dep, "/")
			if strings.Contains(first, ".") && !allowed[dep] || dep == "net/http" || dep == "crypto/tls" {
				t.Errorf("%s depends on %s", pkg, dep)
			}
		}
	}
}
