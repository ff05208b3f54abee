package shim_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tetryx/lynx-runner/internal/shim"
)

// A shim that is not a container's init would empty the host's own /tmp: it serves
// nobody, and touches nothing.
func TestServesOnlyAsInit(t *testing.T) {
	kept := filepath.Join(t.TempDir(), "kept")
	must(t, os.WriteFile(kept, nil, 0o600))
	for _, p := range places(t) {
		if p.init {
			continue
		}
		r := newRun(t, p, "/bin/true")
		r.config.Serve = true
		r.start()
		c := r.accept()
		c.expect(shim.MessageHello)
		if report := c.expect(shim.MessageExit).Exit; !strings.Contains(report.SetupError, "not the init of a container") {
			t.Errorf("report %+v", report)
		}
	}
	if _, err := os.Stat(kept); err != nil {
		t.Error(err)
	}
}
