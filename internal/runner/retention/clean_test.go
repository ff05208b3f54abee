package retention

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/runner/config"
	"github.com/tetryx/lynx-runner/internal/runner/journal"
	"github.com/tetryx/lynx-runner/internal/runner/shared"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// stand is a host with one runner, which does not run.
type stand struct {
	t   *testing.T
	cfg *config.Config
	// engine is the engine; nil for jobs that are processes.
	engine executor.Cleaner
}

func newStand(t *testing.T) *stand {
	t.Helper()
	dir := t.TempDir()
	s := &stand{t: t, cfg: &config.Config{
		RunnerID: "lab-1", OutputRoot: filepath.Join(dir, "out"), StateDir: filepath.Join(dir, "state"), RuntimeDir: filepath.Join(dir, "run"),
		PullPolicy: config.PullIfMissing,
	}}
	s.must(os.Mkdir(s.cfg.OutputRoot, 0o755))
	s.open().Close()
	return s
}

func (s *stand) must(errs ...error) {
	s.t.Helper()
	if err := errors.Join(errs...); err != nil {
		s.t.Fatal(err)
	}
}

// open takes the state directory, as a runner does.
func (s *stand) open() *journal.Journal {
	s.t.Helper()
	j, err := journal.Open(s.cfg.StateDir)
	s.must(err)
	s.t.Cleanup(func() { _ = j.Close() })
	return j
}

// attempt makes the directory of one that ended some days ago, with a manifest and
// a file of that many blocks of 4 KiB. It returns its id.
func (s *stand) attempt(batch string, run, number int, daysAgo, blocks int, change ...func(*manifest)) string {
	s.t.Helper()
	id := fmt.Sprintf("%s-job%d-%d", batch, run, number)
	var m manifest
	m.Version, m.AttemptID, m.EndedAt, m.Runner.ID = 1, id, noon.Add(-time.Duration(daysAgo)*day), s.cfg.RunnerID
	m.Run.BatchID, m.Run.RunIndex, m.Run.Attempt = batch, uint64(run), uint32(number)
	for _, f := range change {
		f(&m)
	}
	data, err := json.Marshal(m)
	s.must(err)
	dir := s.dir(batch, run, number)
	s.must(os.MkdirAll(filepath.Join(dir, "output"), 0o755), os.Mkdir(filepath.Join(dir, "log"), 0o755),
		os.WriteFile(filepath.Join(dir, "output", "data"), make([]byte, 4096*blocks), 0o644), os.WriteFile(filepath.Join(dir, manifestFile), data, 0o644))
	return id
}

func (s *stand) dir(batch string, run, number int) string {
	return filepath.Join(s.cfg.OutputRoot, batch, fmt.Sprintf("%05d", run), fmt.Sprintf("attempt-%d", number))
}

func (s *stand) clean(dryRun bool) *Report {
	s.t.Helper()
	report, err := s.try(dryRun)
	s.must(err)
	for _, i := range report.Items {
		if i.Error != "" {
			s.t.Errorf("%s stays: %s", i.Where, i.Error)
		}
	}
	return report
}

func (s *stand) try(dryRun bool) (*Report, error) {
	o := Options{Config: s.cfg, DryRun: dryRun, Now: func() time.Time { return noon }}
	if s.engine != nil {
		o.Engine = func(context.Context) (executor.Cleaner, func(), error) { return s.engine, func() {}, nil }
	}
	return Clean(s.t.Context(), o)
}

// tree is everything below a directory.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		list = append(list, rel+" "+d.Type().String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func has(path string) bool { _, err := os.Lstat(path); return err == nil }

// Without a bound no result goes.
func TestResultsStayByDefault(t *testing.T) {
	s := newStand(t)
	s.attempt("b", 0, 1, 4000, 1)
	before := tree(t, s.cfg.OutputRoot)
	r := s.clean(false)
	if len(r.Items) > 0 || len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "retention.outputs.age") {
		t.Errorf("%+v", r)
	}
	if diff := cmp.Diff(before, tree(t, s.cfg.OutputRoot)); diff != "" {
		t.Error(diff)
	}
}

// Of old attempts, only those go that are whole, this runner's, where their
// manifest says, and that the state directory does not know.
func TestWhatIsProtected(t *testing.T) {
	s := newStand(t)
	s.cfg.Retention.OutputAge = ptr(30 * day)
	j := s.open()
	report := func(id, dir string) *runnerv1.ReportResultRequest {
		return &runnerv1.ReportResultRequest{Attempt: &runnerv1.AttemptRef{AttemptId: id}, Result: &runnerv1.Result{Outcome: "completed", Directory: dir}}
	}
	undelivered, unsent, refused := s.attempt("b", 1, 1, 90, 1), s.attempt("b", 2, 1, 90, 1), s.attempt("b", 3, 1, 90, 1)
	s.must(j.Put(report(undelivered, "")), j.Put(report(unsent, "")), j.Accepted(unsent), j.Reject(report(refused, "")))
	s.attempt("b", 4, 1, 90, 1) // named by its directory alone
	s.must(j.Put(report("of-another-name-1", s.dir("b", 4, 1))))
	s.must(j.Begun(journal.Attempt{Assignment: &runnerv1.Assignment{AttemptId: s.attempt("b", 5, 1, 90, 1)}}))
	s.attempt("b", 6, 1, 90, 1) // in hand, and somebody has renamed it
	info, err := os.Stat(s.dir("b", 6, 1))
	s.must(err)
	at := inodeOf(info)
	s.must(j.Begun(journal.Attempt{Assignment: &runnerv1.Assignment{AttemptId: "renamed-1"}, Directory: "x/00000/attempt-1", Device: at.Device, Inode: at.Inode}))
	s.attempt("b", 7, 1, 90, 1, func(m *manifest) { m.Runner.ID = "lab-2" })
	s.attempt("b", 8, 1, 90, 1, func(m *manifest) { m.Run.RunIndex = 9 })
	s.attempt("b", 9, 1, 90, 1, func(m *manifest) { m.Run.BatchID = "c" })
	s.attempt("b", 10, 1, 90, 1, func(m *manifest) { m.Run.Attempt = 2 })
	s.attempt("b", 11, 1, 90, 1, func(m *manifest) { m.EndedAt = time.Time{} })
	s.attempt("b", 12, 1, 90, 1)
	s.must(os.Remove(filepath.Join(s.dir("b", 12, 1), manifestFile))) // it runs
	s.attempt("b", 13, 1, 90, 1)
	s.must(os.Link(filepath.Join(s.dir("b", 13, 1), manifestFile), filepath.Join(s.cfg.OutputRoot, "linked")))
	s.attempt("b", 14, 1, 90, 1)
	s.must(os.Rename(filepath.Join(s.dir("b", 14, 1), manifestFile), filepath.Join(s.cfg.OutputRoot, "elsewhere")),
		os.Symlink("../../../elsewhere", filepath.Join(s.dir("b", 14, 1), manifestFile)))
	s.attempt("b", 15, 1, 29, 1)
	s.attempt(".hidden", 1, 1, 90, 1)
	s.must(j.Close())

	before := tree(t, s.cfg.OutputRoot)
	gone := s.attempt("b", 16, 1, 31, 1) // the only one to go
	r := s.clean(false)
	if len(r.Items) != 1 || r.Items[0].Where != s.dir("b", 16, 1) || r.Items[0].Bytes < 4096 {
		t.Errorf("%+v; want only %s", r.Items, gone)
	}
	if diff := cmp.Diff(before, tree(t, s.cfg.OutputRoot)); diff != "" {
		t.Error(diff)
	}
}

// A dry run names what a run then removes, and does nothing.
func TestDryRun(t *testing.T) {
	s := newStand(t)
	s.cfg.Retention = config.Retention{OutputAge: ptr(30 * day), OutputBytes: ptr[int64](200 << 10), RejectedAge: ptr(day)}
	for run := range 10 {
		s.attempt("b", run, 1, run*5, 10)
	}
	old := noon.Add(-2 * day)
	rejected := filepath.Join(s.cfg.StateDir, "rejected", "x-1")
	s.must(os.WriteFile(rejected, nil, 0o600), os.Chtimes(rejected, old, old))
	sockets := filepath.Join(s.cfg.RuntimeDir, s.installation(), "gone")
	s.must(os.MkdirAll(sockets, 0o700))
	top := filepath.Dir(s.cfg.StateDir)
	before := tree(t, top)
	dry := s.clean(true)
	if diff := cmp.Diff(before, tree(t, top)); diff != "" {
		t.Errorf("a dry run did\n%s", diff)
	}
	done := s.clean(false)
	if diff := cmp.Diff(dry, done); diff != "" || len(done.Items) < 6 {
		t.Errorf("what was done (-announced +done):\n%s", diff)
	}
	for _, i := range done.Items {
		if has(i.Where) {
			t.Errorf("%s is still there", i.Where)
		}
	}
	if again := s.clean(false); len(again.Items) > 0 {
		t.Errorf("a second time removes %+v", again.Items)
	}
	var left int64
	root, err := os.OpenRoot(s.cfg.OutputRoot)
	s.must(err)
	defer root.Close()
	for run := range 10 {
		if info, err := os.Stat(s.dir("b", run, 1)); err == nil {
			dir, err := os.OpenRoot(filepath.Join(s.cfg.OutputRoot, "b", fmt.Sprintf("%05d", run), info.Name()))
			s.must(err)
			n, err := measure(t.Context(), dir)
			s.must(err, dir.Close())
			left += n
		}
	}
	if left > 200<<10 || left == 0 {
		t.Errorf("%d bytes are left", left)
	}
}

func (s *stand) installation() string {
	s.t.Helper()
	held, err := journal.Look(s.cfg.StateDir)
	s.must(err)
	return held.InstallationID[:8]
}

// Directories that are empty afterwards go, and the link to the newest batch if it
// was of such; others stay.
func TestParents(t *testing.T) {
	s := newStand(t)
	s.cfg.Retention.OutputAge = ptr(30 * day)
	s.attempt("gone", 0, 1, 90, 1)
	s.attempt("gone", 0, 2, 90, 1)
	s.attempt("part", 0, 1, 90, 1)
	s.attempt("part", 0, 2, 1, 1)
	s.attempt("part", 1, 1, 90, 1)
	s.attempt("noted", 0, 1, 90, 1)
	s.must(os.WriteFile(filepath.Join(s.cfg.OutputRoot, "noted", "README"), nil, 0o644), os.Symlink("part", filepath.Join(s.cfg.OutputRoot, latestLink)))
	s.clean(false)
	want := []string{". d---------", "latest L---------", "noted d---------", "noted/README ----------", "part d---------", "part/00000 d---------", "part/00000/attempt-2 d---------"}
	if got := tree(t, s.cfg.OutputRoot); !slices.Equal(got[:len(want)], want) {
		t.Errorf("left %q", got)
	}
	s.cfg.Retention.OutputAge = ptr(time.Hour)
	s.clean(false)
	if got := tree(t, s.cfg.OutputRoot); !slices.Equal(got, []string{want[0], want[2], want[3]}) {
		t.Errorf("in the end there is %q", got)
	}
}

// Beside a running runner results are cleaned, less what has just ended, and
// nothing else is touched.
func TestBesideARunner(t *testing.T) {
	s := newStand(t)
	s.cfg.Retention = config.Retention{OutputBytes: ptr[int64](0)}
	s.engine = &fakeEngine{containers: []executor.Container{{ID: "1", AttemptID: "a-1", RuntimeDir: "/x/" + s.installation() + "/y", Ended: true}}}
	sockets := filepath.Join(s.cfg.RuntimeDir, s.installation(), "of-a-job")
	s.must(os.MkdirAll(sockets, 0o700))
	s.attempt("b", 0, 1, 1, 1)
	s.attempt("b", 1, 1, 0, 1, func(m *manifest) { m.EndedAt = noon.Add(-59 * time.Minute) })
	j := s.open()
	r := s.clean(false)
	if len(r.Items) != 1 || r.Items[0].Where != s.dir("b", 0, 1) || !has(s.dir("b", 1, 1)) || !has(sockets) {
		t.Errorf("%+v", r)
	}
	for _, want := range []string{"stop it", "1 (it has just ended"} {
		if !slices.ContainsFunc(r.Notes, func(n string) bool { return strings.Contains(n, want) }) {
			t.Errorf("notes %q", r.Notes)
		}
	}
	s.must(j.Close())
	if r := s.clean(false); len(r.Items) != 3 || has(sockets) || has(s.dir("b", 1, 1)) {
		t.Errorf("without a runner: %+v", r.Items)
	}
}

// A directory that is no runner's says nothing of what is needed.
func TestNoStateDirectory(t *testing.T) {
	s := newStand(t)
	s.cfg.Retention.OutputBytes = ptr[int64](0)
	s.attempt("b", 0, 1, 90, 1)
	s.cfg.StateDir = filepath.Join(t.TempDir(), "misspelt")
	if _, err := s.try(false); !errors.Is(err, journal.ErrNoState) || !strings.Contains(err.Error(), "misspelt") {
		t.Errorf("error %v", err)
	}
	if !has(s.dir("b", 0, 1)) || has(s.cfg.StateDir) {
		t.Error("something was done")
	}
}

// fakeEngine is an engine with what it is given.
type fakeEngine struct {
	containers []executor.Container
	images     []executor.Image
	removed    []string
}

func (f *fakeEngine) Containers(context.Context) ([]executor.Container, error) {
	return f.containers, nil
}
func (f *fakeEngine) Images(context.Context) ([]executor.Image, error) { return f.images, nil }
func (f *fakeEngine) RemoveContainer(_ context.Context, id string) error {
	f.removed = append(f.removed, id)
	return nil
}
func (f *fakeEngine) RemoveImage(_ context.Context, i executor.Image) error {
	f.removed = append(f.removed, i.ID)
	return nil
}

// Of sockets, containers and images that goes which nothing needs.
func TestLeftovers(t *testing.T) {
	s := newStand(t)
	at := filepath.Join(s.cfg.RuntimeDir, s.installation())
	container := func(id string, ended bool) executor.Container {
		return executor.Container{ID: id, Name: "lynx-" + id, AttemptID: id, RuntimeDir: filepath.Join(at, "of-"+id), Ended: ended, Since: noon}
	}
	engine := &fakeEngine{
		containers: []executor.Container{container("ended", true), container("running", false), container("in-hand", true)},
		images:     []executor.Image{{ID: "older", Title: "lynx-basilisk"}, {ID: "needed", Title: "lynx-basilisk"}},
	}
	s.engine = engine
	j := s.open()
	s.must(j.Begun(journal.Attempt{Assignment: &runnerv1.Assignment{AttemptId: "in-hand"}, ImageID: "needed",
		Spec: &executor.Spec{RuntimeDir: filepath.Join(at, "of-hand")}}), j.Close())
	for _, name := range []string{"of-ended", "of-running", "of-in-hand", "of-hand", "of-process", "of-nobody"} {
		s.must(os.MkdirAll(filepath.Join(at, name), 0o700))
	}
	state := filepath.Join(s.cfg.StateDir, "process", "p-1")
	s.must(os.MkdirAll(state, 0o700), os.WriteFile(filepath.Join(state, "state.json"), []byte(`{"runtime_dir":"/x/of-process"}`), 0o600))
	other := filepath.Join(s.cfg.RuntimeDir, "76543210", "of-another")
	s.must(os.MkdirAll(other, 0o700))

	s.clean(false)
	if !slices.Equal(engine.removed, []string{"ended", "older"}) {
		t.Errorf("removed %q", engine.removed)
	}
	var left []string
	entries, err := os.ReadDir(at)
	s.must(err)
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if !slices.Equal(left, []string{"of-hand", "of-in-hand", "of-process", "of-running"}) || !has(other) {
		t.Errorf("left %q", left)
	}
	// What can't be read could be anybody's.
	s.must(os.WriteFile(filepath.Join(state, "state.json"), []byte(`{`), 0o600), os.Mkdir(filepath.Join(at, "of-nobody"), 0o700))
	if r := s.clean(false); !has(filepath.Join(at, "of-nobody")) || len(r.Notes) != 2 {
		t.Errorf("%+v", r)
	}
}

// While a container is left that served runs, so are their directories; then they go
// home, and the mounts away.
func TestMountsOfSharedContainers(t *testing.T) {
	s := newStand(t)
	engine := &fakeEngine{containers: []executor.Container{{
		ID: "c", AttemptID: shared.Prefix + "x", RuntimeDir: filepath.Join(s.cfg.RuntimeDir, s.installation(), "of-x"), Since: noon,
	}}}
	s.engine = engine
	mounts := shared.Dir(s.cfg.OutputRoot, s.cfg.RunnerID)
	home := s.dir("b", 0, 1)
	note := fmt.Sprintf(`{"output":%q,"log":%q}`, filepath.Join(home, "output"), filepath.Join(home, "log"))
	s.must(os.MkdirAll(filepath.Join(mounts, "shared-x", "out"), 0o755), os.MkdirAll(home, 0o755),
		os.WriteFile(filepath.Join(mounts, "shared-x", "out", "result"), nil, 0o644), os.WriteFile(filepath.Join(mounts, "shared-x.job"), []byte(note), 0o600))
	s.clean(false)
	if !has(filepath.Join(mounts, "shared-x", "out", "result")) {
		t.Error("removed below a container that runs")
	}
	engine.containers[0].Ended = true
	if r := s.clean(true); !has(mounts) || !slices.ContainsFunc(r.Items, func(i Item) bool { return i.Kind == KindMounts && i.Where == mounts }) {
		t.Errorf("a dry run says %+v", r.Items)
	}
	s.clean(false)
	if has(mounts) || !has(filepath.Join(home, "output", "result")) {
		t.Errorf("left %q", tree(t, s.cfg.OutputRoot))
	}
}
