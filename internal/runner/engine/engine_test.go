package engine_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tetryx/lynx-runner/internal/runner/engine"
)

func newBasilisk(t *testing.T, entrypoint string) engine.Engine {
	t.Helper()
	engines, err := engine.New([]string{"basilisk"}, engine.Options{Python: "/usr/bin/python3", Preload: []string{"numpy?", "json"}, BasiliskEntrypoint: entrypoint})
	if err != nil {
		t.Fatal(err)
	}
	return engines[0]
}

func workTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	outside := filepath.Join(t.TempDir(), "outside.py")
	for _, err := range []error{
		os.MkdirAll(filepath.Join(dir, "sub"), 0o755),
		os.WriteFile(filepath.Join(dir, "scenario.py"), []byte("pass\n"), 0o644),
		os.WriteFile(filepath.Join(dir, "sub", "other.py"), []byte("pass\n"), 0o644),
		os.WriteFile(outside, []byte("pass\n"), 0o644),
		os.Symlink("scenario.py", filepath.Join(dir, "inside_link.py")),
		os.Symlink(outside, filepath.Join(dir, "escape.py")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestBasiliskCommand(t *testing.T) {
	work := workTree(t)
	job := engine.Job{HostWork: work, Work: "/lynx/work", Tmp: "/tmp"}
	got, err := newBasilisk(t, "scenario.py").Command(job)
	if err != nil {
		t.Fatal(err)
	}
	want := engine.Command{
		Argv:       []string{"/usr/bin/python3", "/lynx/work/scenario.py"},
		Server:     []string{"/usr/bin/python3", "-m", "lynx_sdk.forkserver", "--preload=numpy?,json", "--"},
		Entrypoint: "scenario.py", Origin: "python_executable",
		Env: map[string]string{
			"MPLBACKEND": "Agg", "MPLCONFIGDIR": "/tmp/matplotlib", "HTTPS_PROXY": "http://127.0.0.1:9",
			"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1",
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("command (-want +got):\n%s", diff)
	}
	for name := range got.Env {
		if strings.EqualFold(name, "https_proxy") && name != "HTTPS_PROXY" {
			t.Errorf("%s would break gRPC to 127.0.0.1 in Python", name)
		}
	}
}

func TestEntrypoint(t *testing.T) {
	work := workTree(t)
	for _, tc := range []struct {
		name, configured, asked string
		want                    string // the last argument
		invalid                 string // a part of the message
	}{
		{name: "the engine's own", configured: "scenario.py", want: "/lynx/work/scenario.py"},
		{name: "the study's", configured: "scenario.py", asked: "sub/other.py", want: "/lynx/work/sub/other.py"},
		{name: "cleaned", configured: "./sub/../scenario.py", want: "/lynx/work/scenario.py"},
		{name: "link inside", asked: "inside_link.py", want: "/lynx/work/inside_link.py"},
		{name: "missing", asked: "missing.py", invalid: `simulation.entrypoint "missing.py" is not there`},
		{name: "missing, configured", configured: "missing.py", invalid: `basilisk_entrypoint "missing.py" is not there`},
		{name: "below a file", asked: "scenario.py/x", invalid: "is not there"},
		{name: "none at all", invalid: "basilisk_entrypoint is empty"},
		{name: "parent", asked: "../x.py", invalid: "does not lie below"},
		{name: "parent in the middle", asked: "sub/../../x.py", invalid: "does not lie below"},
		{name: "absolute", asked: "/etc/passwd", invalid: "does not lie below"},
		{name: "link out", asked: "escape.py", invalid: "cannot be used"},
		{name: "directory", asked: "sub", invalid: "is not a regular file but a directory"},
		{name: "NUL", asked: "a\x00b", invalid: "does not lie below"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := newBasilisk(t, tc.configured).Command(engine.Job{Entrypoint: tc.asked, HostWork: work, Work: "/lynx/work", Tmp: "/tmp"})
			if tc.invalid != "" {
				var invalid *engine.InvalidError
				if !errors.As(err, &invalid) || !strings.Contains(err.Error(), tc.invalid) {
					t.Fatalf("error %v, want an InvalidError with %q", err, tc.invalid)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if last := got.Argv[len(got.Argv)-1]; last != tc.want {
				t.Errorf("runs %s, want %s", last, tc.want)
			}
		})
	}
}

func TestMissingWorkingDirectoryIsNotTheJobsFault(t *testing.T) {
	_, err := newBasilisk(t, "scenario.py").Command(engine.Job{HostWork: filepath.Join(t.TempDir(), "gone"), Work: "/lynx/work", Tmp: "/tmp"})
	var invalid *engine.InvalidError
	if err == nil || errors.As(err, &invalid) {
		t.Errorf("error %v, want one that is not an InvalidError", err)
	}
}

func TestNewAndFor(t *testing.T) {
	if _, err := engine.New([]string{"basilsk"}, engine.Options{}); err == nil || !strings.Contains(err.Error(), `"basilsk"`) {
		t.Errorf("error %v does not name the unknown engine", err)
	}
	engines, err := engine.New(engine.Names(), engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(engine.Names(), engine.For(engines, "basilisk").Name()) {
		t.Error("no engine for basilisk")
	}
	if got := engine.For(engines, "orbital"); got != engines[0] {
		t.Errorf("a tag that names no engine gets %s, want the first one", got.Name())
	}
}
