package shim_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

// The binaries under test and of the job, built once.
var shimPath, jobPath string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "lynx-shim-test")
	if err == nil {
		err = os.Chmod(dir, 0o755) // for jobs of other users
	}
	if err == nil {
		shimPath, err = build(dir, "lynx-shim", "../../cmd/lynx-shim")
	}
	if err == nil {
		jobPath, err = build(dir, "job", "./testdata/job")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if err := os.RemoveAll(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		os.Exit(code)
	}))
}

// build builds a static binary, as it is shipped.
func build(dir, name, source string) (string, error) {
	path := filepath.Join(dir, name)
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, source)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", name, err, out)
	}
	return path, nil
}
