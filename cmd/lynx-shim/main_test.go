package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// asShim makes this test binary the command.
const asShim = "LYNX_TEST_AS_SHIM"

func TestMain(m *testing.M) {
	if os.Getenv(asShim) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestCommandLine(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{nil, 2, "usage: lynx-shim CONFIG"},
		{[]string{"a", "b"}, 2, "usage: lynx-shim CONFIG"},
		{[]string{"--version"}, 0, "lynx-shim "},
		{[]string{"/no/such/config"}, 125, "/no/such/config: no such file"},
	} {
		cmd := exec.Command(os.Args[0], c.args...)
		cmd.Env = append(os.Environ(), asShim+"=1")
		out, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != c.code || !strings.Contains(string(out), c.says) {
			t.Errorf("lynx-shim %q: exit status %d, said %q", c.args, code, out)
		}
	}
}
