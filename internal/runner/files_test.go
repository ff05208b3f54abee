package runner

import (
	"os"
	"sync"
	"testing"

	"github.com/tetryx/lynx-runner/internal/runner/config"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// Whoever removes empty directories below the output root takes none from an
// attempt that is about to begin there.
func TestDirectoriesBesideACleaner(t *testing.T) {
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for i := range 300 {
		j := &job{r: &Runner{cfg: &config.Config{}}, a: &runnerv1.Assignment{BatchId: "b", RunIndex: 7, Attempt: uint32(i + 1)}}
		var cleaner sync.WaitGroup
		cleaner.Go(func() {
			for range 20 { // fewer than it would take to give up
				_ = root.Remove("b/00007")
				_ = root.Remove("b")
			}
		})
		rel, err := j.makeAttemptDir(root)
		cleaner.Wait()
		if err != nil {
			t.Fatal(err)
		}
		if err := root.Remove(rel); err != nil {
			t.Fatal(err)
		}
	}
}
