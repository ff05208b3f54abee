//go:build engine

package hostile

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/tetryx/lynx-runner/tests/internal/stand"
)

// logsCut: a log that was cut is as long as its limit, and says so.
func logsCut(t *testing.T, e ended) {
	t.Helper()
	size := int64(len(e.stdout))
	if size < logLimit || size > logLimit+4096 {
		t.Errorf("stdout.log has %d bytes, its limit is %d", size, logLimit)
	}
	if !strings.Contains(e.stdout, "bytes cut here]") {
		t.Error("stdout.log doesn't say that it was cut")
	}
}

// behind is how long a job may go on beyond a limit, in seconds of its own rate
// of writing: what it takes to look, a kill, and a machine that is busy. A job
// that nobody stops goes on for the whole of its time, which is ten times that.
const behind = 10

// overshoot compares what a job wrote beyond the limit with how fast it wrote.
func overshoot(t *testing.T, e ended) {
	t.Helper()
	var rate float64
	for _, line := range e.reports {
		_, _ = fmt.Sscanf(line, "rate %f", &rate)
	}
	var allocated int64
	for _, info := range e.files(t) {
		allocated += info.Sys().(*syscall.Stat_t).Blocks * 512
	}
	beyond := float64(allocated - totalLimit)
	t.Logf("%.1f MiB beyond the limit of %d MiB, at %.0f MiB/s: %.2f s", beyond/(1<<20), totalLimit>>20, rate/(1<<20), beyond/rate)
	if rate == 0 || beyond/rate > behind {
		t.Errorf("it wrote for %.1f s after the limit", beyond/rate)
	}
}

// noSecret: nothing that the job pointed at has got into what is kept of it.
func noSecret(t *testing.T, e ended) {
	t.Helper()
	if strings.Contains(e.message, "root:") || strings.Contains(strings.Join(e.Warnings, ""), "root:") {
		t.Error("a file of the host's is in the result")
	}
	if len(e.Metrics) > 0 {
		t.Errorf("metrics %v", e.Metrics)
	}
}

// ownRecords: the runner's files are the runner's, whatever the job calls its own.
func ownRecords(t *testing.T, e ended) {
	t.Helper()
	m := e.manifest(t)
	if m.Image.ID == "sha256:0" || m.Image.ID != e.ImageID {
		t.Errorf("the manifest names image %q", m.Image.ID)
	}
	config, err := os.ReadFile(filepath.Join(e.Directory, "run_config.json"))
	stand.Must(t, err)
	if !strings.Contains(string(config), e.JobID) {
		t.Errorf("run_config.json is %s", config)
	}
	if e.Telemetry != nil && e.Telemetry.Samples > 0 {
		t.Errorf("telemetry %+v", e.Telemetry)
	}
}

// onlyMetrics: these and no others were taken.
func onlyMetrics(names ...string) func(*testing.T, ended) {
	return func(t *testing.T, e ended) {
		t.Helper()
		same(t, "metrics", names, slices.Collect(maps.Keys(e.Metrics)))
	}
}

// samples: so many were counted.
func samples(n uint64) func(*testing.T, ended) {
	return func(t *testing.T, e ended) {
		t.Helper()
		if e.Telemetry == nil || e.Telemetry.Samples+e.Telemetry.DroppedSamples != n {
			t.Errorf("telemetry %+v, want %d samples", e.Telemetry, n)
		}
	}
}

// variables: at most so many were kept.
func variables(most int) func(*testing.T, ended) {
	return func(t *testing.T, e ended) {
		t.Helper()
		if len(e.TelemetryData) > most {
			t.Errorf("%d variables, at most %d", len(e.TelemetryData), most)
		}
		for name := range e.TelemetryData {
			if len(name) > 200 {
				t.Errorf("a variable's name has %d bytes", len(name))
			}
		}
	}
}

// ownSockets: a job sees its own two sockets and no other.
func ownSockets(t *testing.T, e ended) {
	t.Helper()
	same(t, "sockets", []string{"socket /lynx/run/control.sock", "socket /lynx/run/telemetry.sock"}, e.reports)
}
