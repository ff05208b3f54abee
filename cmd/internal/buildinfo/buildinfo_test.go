package buildinfo

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
)

const hash = "59c09feb29553cceff4d91ccbc377fcdb50a3574"

func build(version, revision, modified string) *debug.BuildInfo {
	info := &debug.BuildInfo{Main: debug.Module{Version: version}}
	if revision != "" {
		info.Settings = []debug.BuildSetting{
			{Key: "vcs", Value: "git"}, {Key: "vcs.revision", Value: revision}, {Key: "vcs.modified", Value: modified},
		}
	}
	return info
}

func TestDescribe(t *testing.T) {
	for _, c := range []struct {
		name, number, commit string
		info                 *debug.BuildInfo
		want                 string
	}{
		{"make, a release", "v1.2.0", hash, build("(devel)", "", ""), "v1.2.0 (commit 59c09feb2955)"},
		{"make, no tag", "", hash, build("(devel)", "", ""), "devel (commit 59c09feb2955)"},
		{"make, modified", "v1.2.0-3-g59c09fe", hash + "-dirty", build("(devel)", "", ""), "v1.2.0-3-g59c09fe (commit 59c09feb2955, modified)"},
		{"make, from an archive", "v1.2.0", "", build("(devel)", "", ""), "v1.2.0"},
		{"make wins over what go recorded", "v1.2.0", hash, build("v9.9.9", "aaaaaaaaaaaaaaaa", "true"), "v1.2.0 (commit 59c09feb2955)"},
		{"go install of a release", "", "", build("v1.2.0", "", ""), "v1.2.0"},
		{"go install of a commit", "", "", build("v0.0.0-20261122022804-59c09feb2955", "", ""), "v0.0.0-20261122022804-59c09feb2955"},
		{"go build in a repository", "", "", build("v0.0.0-20261122022804-59c09feb2955+dirty", hash, "true"), "v0.0.0-20261122022804-59c09feb2955+dirty"},
		{"go build at a tag", "", "", build("v1.2.0", hash, "false"), "v1.2.0 (commit 59c09feb2955)"},
		{"go build with an older go", "", "", build("(devel)", hash, "true"), "devel (commit 59c09feb2955, modified)"},
		{"nothing is known", "", "", &debug.BuildInfo{}, "devel"},
		{"a short hash", "v1", "abc", &debug.BuildInfo{}, "v1 (commit abc)"},
	} {
		if got := describe(c.number, c.commit, c.info); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestPrograms builds a program with and without the linker's word, outside of any
// repository's reach. The shim is the quickest to link; that the others say the
// same is tested where they are installed.
func TestPrograms(t *testing.T) {
	const at = "github.com/tetryx/lynx-runner/cmd/internal/buildinfo."
	for _, c := range []struct{ name, ldflags, want string }{
		{"by make", "-X " + at + "number=v1.2.0 -X " + at + "commit=" + hash + "-dirty", "lynx-shim version v1.2.0 (commit 59c09feb2955, modified)"},
		{"bare", "", "lynx-shim version devel"},
	} {
		t.Run(c.name, func(t *testing.T) {
			program := filepath.Join(t.TempDir(), "lynx-shim")
			cmd := exec.Command("go", "build", "-buildvcs=false", "-ldflags", c.ldflags, "-o", program, "../../lynx-shim")
			cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			out, err := exec.Command(program, "--version").CombinedOutput()
			if got := strings.TrimSpace(string(out)); err != nil || got != c.want {
				t.Errorf("%q, %v; want %q", got, err, c.want)
			}
		})
	}
}
