//go:build engine

package hostile

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/tests/internal/stand"
)

// attack is a hostile job and what must come of it.
type attack struct {
	// name is the test's; the program's too, unless run says another.
	name, run string
	// image is the tag of the image, "plain" if empty; compute is the study's
	// section, more what else stands in it.
	image, compute, more string

	outcome api.Outcome
	exit    int
	// says are words of the message, warns of the warnings.
	says, warns []string
	// done and refused are exactly what the job reports of itself, in any order.
	done, refused []string
	// artifacts are exactly what is collected; nil if that is not looked at.
	artifacts []string
	// check looks further.
	check func(t *testing.T, e ended)
}

func (a attack) program() string {
	if a.run != "" {
		return a.run
	}
	return a.name
}

func (a attack) study() string {
	compute := []string{a.compute}
	if a.image != "" {
		compute = append(compute, "container: {image: '"+repository+":"+a.image+"'}")
	}
	return study(a.program(), strings.Join(slices.DeleteFunc(compute, func(s string) bool { return s == "" }), ", "), a.more)
}

// TestHostile runs every attack through one platform and one runner, with as many
// at a time as there are slots, and compares the host before and after.
func TestHostile(t *testing.T) {
	s := newSite(t)
	before := s.look(t)
	t.Run("neighbour", s.neighbour)
	t.Run("jobs", s.jobs)
	t.Run("submissions", s.submissions)
	t.Run("requests", s.requests)
	s.idle(t)
	t.Run("host", func(t *testing.T) { s.compare(t, before, s.look(t)) })
	s.runner.Stop(t)
	s.Server.Stop(t)
	s.stopWatching()
	t.Run("leftovers", s.leftovers)
}

// jobs submits all attacks at once and judges each when it has ended.
func (s *site) jobs(t *testing.T) {
	batches := make([]string, len(attacks))
	for i, a := range attacks {
		batches[i] = s.Submit(t, a.study())
	}
	for i, a := range attacks {
		t.Run(a.name, func(t *testing.T) { a.judge(t, s.wait(t, batches[i])) })
	}
}

// judge compares what came of an attack with what must have.
func (a attack) judge(t *testing.T, e ended) {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s, outcome %s: %s\nwarnings: %q\nstdout:\n%.4000s\nstderr:\n%.2000s", e.Status, e.Outcome, e.message, e.Warnings, e.stdout, e.stderr)
		}
	})
	if e.Outcome != a.outcome {
		t.Errorf("outcome %s, want %s", e.Outcome, a.outcome)
	}
	if a.outcome == api.OutcomeNonzeroExit && (e.ExitCode == nil || *e.ExitCode != a.exit) {
		t.Errorf("exit code %v, want %d", e.ExitCode, a.exit)
	}
	for _, word := range a.says {
		if !strings.Contains(e.message, word) {
			t.Errorf("the message does not say %q", word)
		}
	}
	for _, word := range a.warns {
		if !strings.Contains(strings.Join(e.Warnings, "\n"), word) {
			t.Errorf("no warning says %q", word)
		}
	}
	same(t, "done", a.done, e.done)
	same(t, "refused", a.refused, e.refused)
	if a.artifacts != nil {
		var names []string
		for _, f := range e.Artifacts {
			names = append(names, f.Name)
		}
		same(t, "artifacts", a.artifacts, names)
	}
	tidy(t, e)
	if a.check != nil {
		a.check(t, e)
	}
}

// set is a list in order, with nothing twice.
func set(list []string) []string { return slices.Compact(slices.Sorted(slices.Values(list))) }

// same compares two lists in any order, in which something may stand twice.
func same(t *testing.T, what string, want, got []string) {
	t.Helper()
	if diff := cmp.Diff(set(want), set(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// tidy looks at the files of an attempt: all of the owner's, readable and
// deletable for him, and nothing in the runner's part that is not the runner's.
func tidy(t *testing.T, e ended) {
	t.Helper()
	if e.Directory == "" {
		return
	}
	var allocated int64
	for path, info := range e.files(t) {
		st := info.Sys().(*syscall.Stat_t)
		allocated += st.Blocks * 512
		if int(st.Uid) != os.Getuid() || int(st.Gid) != os.Getgid() {
			t.Errorf("%q belongs to %d:%d", path, st.Uid, st.Gid)
		}
		if info.Mode()&(os.ModeSetuid|os.ModeSetgid|os.ModeSticky) != 0 || info.Mode().Type() == 0 && info.Mode()&0o602 != 0o600 {
			t.Errorf("%q has mode %v", path, info.Mode())
		}
		if info.IsDir() && info.Mode()&0o702 != 0o700 {
			t.Errorf("the directory %q has mode %v", path, info.Mode())
		}
		if in, _, below := strings.Cut(path, "/"); !below && !slices.Contains([]string{".", "output", "log", "run_config.json", "manifest.json", "telemetry.parquet"}, in) {
			t.Errorf("%q is not the runner's", path)
		}
		if strings.HasPrefix(path, "log/") && !info.Mode().IsRegular() {
			t.Errorf("%q in the log directory is %v", path, info.Mode())
		}
	}
	if m := e.manifest(t); m.Result.Outcome != e.Outcome {
		t.Errorf("the manifest says %q, the platform %q", m.Result.Outcome, e.Outcome)
	}
	for _, f := range e.Artifacts {
		if clean := filepath.Clean(f.Name); clean != f.Name || !filepath.IsLocal(f.Name) || strings.ContainsFunc(f.Name, func(r rune) bool { return r < ' ' }) {
			t.Errorf("artifact %q", f.Name)
		}
	}
	for _, text := range append([]string{e.message}, e.Warnings...) {
		if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == '\u202e' || r == 0x7f }) {
			t.Errorf("%q draws on a terminal", text)
		}
	}
	t.Logf("%s after %.1f s, %.1f MiB on disk: %.160s", e.Outcome, e.Usage.WallSeconds, float64(allocated)/(1<<20), e.message)
}

// neighbour has a job that asks for every processor run beside one that works,
// and compares what they get.
func (s *site) neighbour(t *testing.T) {
	work := study("cpu_neighbour", "", "")
	alone := s.wait(t, s.Submit(t, work))
	hogBatch := s.Submit(t, study("cpu_hog", "", ""))
	s.Eventually(t, "the hog", func() error {
		found, err := filepath.Glob(filepath.Join(s.Dir, "output", hogBatch, "*", "*", "output", "ready"))
		if err == nil && len(found) == 0 {
			err = fmt.Errorf("it does not run yet")
		}
		return err
	})
	beside := s.wait(t, s.Submit(t, work))
	_, err := s.Client.CancelBatch(t.Context(), hogBatch)
	stand.Must(t, err)
	hog := s.wait(t, hogBatch)
	if alone.Outcome != api.OutcomeCompleted || beside.Outcome != api.OutcomeCompleted || hog.Outcome != api.OutcomeCancelled {
		t.Fatalf("outcomes %s, %s, %s; messages %q %q", alone.Outcome, beside.Outcome, hog.Outcome, alone.message, beside.message)
	}
	share := func(e ended) float64 { return e.Usage.CPUSeconds / e.Usage.WallSeconds }
	t.Logf("processors in use: the neighbour %.2f alone, %.2f beside the hog, which got %.2f", share(alone), share(beside), share(hog))
	// The limit is one processor; the shim's and the runner's part is a little.
	if share(hog) > 1.2 {
		t.Errorf("the hog got %.2f processors, its limit is 1", share(hog))
	}
	if share(beside) < share(hog)/4 {
		t.Errorf("the neighbour got %.2f processors beside a hog that got %.2f", share(beside), share(hog))
	}
}
