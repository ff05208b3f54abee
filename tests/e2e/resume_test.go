//go:build engine

package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/tetryx/lynx-runner/api"
)

// TestResume: a study that was interrupted, by Ctrl-C or by the death of lynxctl,
// goes on where it was. Each run completes once; those that were done are left
// alone, and nothing of the killed process stays behind.
func TestResume(t *testing.T) {
	t.Parallel()
	for name, signal := range map[string]os.Signal{"interrupted": syscall.SIGINT, "killed": syscall.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			const total = 6
			output := t.TempDir()
			p := start(t, "lynxctl", "run", runsOf(t, "slow.py", total), "--config", scriptRunner(t, "max_concurrent_jobs: 2"), "--output", output)
			p.says("done")
			p.says("done") // of the first run, at the least
			p.signal(signal)
			p.ends(map[os.Signal]int{syscall.SIGINT: 130, syscall.SIGKILL: -1}[signal])
			before := manifests(t, output)

			cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "lynxctl"), "run", "--resume", output, "--json")
			cmd.Stderr = os.Stderr
			text, err := cmd.Output()
			var o outcome
			if err == nil {
				err = json.Unmarshal(text, &o)
			}
			if err != nil || len(o.Runs) != total || o.Batch.Status != api.BatchCompleted {
				t.Fatalf("%v: %s", err, text)
			}
			after := manifests(t, output)
			for _, r := range o.Runs {
				want(t, r, api.JobCompleted, api.OutcomeCompleted)
				checkGone(t, r)
			}
			for path, was := range before {
				if after[path] != was {
					t.Errorf("%s was written again", path)
				}
			}
			if n := len(before); n == 0 || n == total {
				t.Errorf("%d of %d runs were over before", n, total)
			}
		})
	}
}

// manifests has the text of the manifest of each attempt that is over.
func manifests(t *testing.T, output string) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(output, "latest", "*", "attempt-*", "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for _, path := range paths {
		texts[path] = string(mustRead(t, path))
	}
	return texts
}
