package main

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tetryx/lynx-runner/internal/runner/config"
)

// engineWith serves an engine that says of itself what is given, and does nothing.
func engineWith(t *testing.T, info string) (address string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "lr") // short, unlike t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	listen, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/_ping"):
			w.Header().Set("Api-Version", "1.41")
		case strings.HasSuffix(r.URL.Path, "/info"):
			_, _ = io.WriteString(w, info)
		default:
			t.Errorf("the engine is asked for %s", r.URL.Path)
			w.WriteHeader(http.StatusNotFound)
		}
	})}
	go func() { _ = server.Serve(listen) }()
	t.Cleanup(func() { server.Close() })
	return "unix://" + listen.Addr().String()
}

// A runner does not start on an engine that would ignore its limits, and touches
// nothing there.
func TestStartRefuses(t *testing.T) {
	const engine = `{"ServerVersion":"20.10.24","CgroupVersion":"1","SwapLimit":true,"PidsLimit":true,"CpuCfsQuota":true,
 "SecurityOptions":["name=seccomp,profile=default"],"Runtimes":{"runc":{"path":"runc"}},"MemoryLimit":`
	dir := t.TempDir()
	shim := filepath.Join(dir, "shim")
	if err := os.WriteFile(shim, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ info, sandbox, says string }{
		"a limit that does nothing": {engine + "false}", "{}", "would ignore limits that the configuration promises: the engine can't limit memory"},
		"a runtime that is missing": {engine + "true}", "{runtime: runsc}", `the engine has no runtime "runsc"; it has runc`},
	} {
		t.Setenv("DOCKER_HOST", engineWith(t, tc.info))
		state := filepath.Join(dir, "state")
		file := filepath.Join(dir, "runner.yaml")
		text := "shim: " + shim + "\nstate_dir: " + state + "\nworking_directory: /srv/work\noutput_root: " + dir + "/out\nsandbox: " + tc.sandbox + "\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := config.Load(file, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = start(t.Context(), t.Context(), cfg, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, want %q", name, err, tc.says)
		}
		if _, err := os.Stat(state); err == nil {
			t.Errorf("%s: a state directory was made", name)
		}
	}
}
