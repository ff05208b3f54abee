package journal_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	"github.com/tetryx/lynx-runner/internal/runner/journal"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

func open(t *testing.T, dir string) *journal.Journal {
	t.Helper()
	j, err := journal.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

// stateDir is a new one, which no other user can write to whatever the umask.
func stateDir(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "state")
}

func report(id, outcome string) *runnerv1.ReportResultRequest {
	return &runnerv1.ReportResultRequest{
		Attempt: &runnerv1.AttemptRef{AttemptId: id, Token: &runnerv1.Token{Epoch: 3, Counter: 1 << 60}},
		Result:  &runnerv1.Result{Outcome: outcome, Metrics: map[string]float64{"final.radius_km": 7001.25}},
	}
}

func TestInstallationIDIsKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "state")
	first := open(t, dir)
	id := first.InstallationID()
	if len(id) != 32 {
		t.Errorf("installation id %q, want 32 hexadecimal digits", id)
	}
	first.Close()
	if again := open(t, dir).InstallationID(); again != id {
		t.Errorf("installation id changed from %s to %s", id, again)
	}
	if other := open(t, stateDir(t)).InstallationID(); other == id {
		t.Error("two state directories have the same installation id")
	}
}

func TestOneProcessPerDirectory(t *testing.T) {
	dir := stateDir(t)
	first := open(t, dir)
	if _, err := journal.Open(dir); !errors.Is(err, journal.ErrLocked) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), fmt.Sprintf("process, %d", os.Getpid())) {
		t.Errorf("second Open: %v, want ErrLocked with the directory's name and who has it", err)
	}
	first.Close()
	open(t, dir)
}

func TestOutboxSurvives(t *testing.T) {
	dir := stateDir(t)
	j := open(t, dir)
	for _, r := range []*runnerv1.ReportResultRequest{report("b-1", "completed"), report("a-1", "timeout"), report("a-1", "cancelled")} {
		if err := j.Put(r); err != nil {
			t.Fatal(err)
		}
	}
	j.Close()
	j = open(t, dir)
	got, rejected, err := j.Pending()
	if err != nil || len(rejected) != 0 {
		t.Fatal(err, rejected)
	}
	want := []*runnerv1.ReportResultRequest{report("a-1", "cancelled"), report("b-1", "completed")}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("outbox after a restart (-want +got):\n%s", diff)
	}
	if err := errors.Join(j.Forget("a-1"), j.Forget("a-1"), j.Forget("never-there")); err != nil {
		t.Fatal(err)
	}
	if got, _, _ := j.Pending(); len(got) != 1 || got[0].GetAttempt().GetAttemptId() != "b-1" {
		t.Errorf("after Forget: %v", got)
	}
}

func TestDamagedEntriesArePutAside(t *testing.T) {
	dir := stateDir(t)
	j := open(t, dir)
	if err := j.Put(report("good-1", "completed")); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"torn-1":    `{"attempt":{"attempt_id":"torn-1"`,
		"renamed-1": `{"attempt":{"attempt_id":"good-1"}}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, "outbox", name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, rejected, err := j.Pending()
	if err != nil || len(got) != 1 {
		t.Fatalf("%d results, error %v, want the good one", len(got), err)
	}
	if want := []string{"renamed-1", "torn-1"}; !slices.Equal(rejected, want) {
		t.Errorf("rejected %v, want %v", rejected, want)
	}
	for _, name := range rejected {
		if _, err := os.Stat(filepath.Join(dir, "rejected", name)); err != nil {
			t.Error(err)
		}
	}
}

func TestHalfWrittenFilesAreSwept(t *testing.T) {
	dir := stateDir(t)
	open(t, dir).Close()
	for _, sub := range []string{"", "outbox", "causes"} {
		if err := os.WriteFile(filepath.Join(dir, sub, ".tmp-123"), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	j := open(t, dir)
	if got, rejected, err := j.Pending(); len(got)+len(rejected) != 0 || err != nil {
		t.Errorf("%v %v %v, want nothing", got, rejected, err)
	}
	for _, sub := range []string{"", "outbox", "causes"} {
		if left, _ := filepath.Glob(filepath.Join(dir, sub, ".tmp-*")); len(left) > 0 {
			t.Errorf("left %v", left)
		}
	}
}

func TestNamesCannotLeaveTheDirectory(t *testing.T) {
	j := open(t, stateDir(t))
	for _, id := range []string{"", ".", "..", "../x", "a/b", "a\x00", ".hidden", strings.Repeat("x", 201), "a b", "ü"} {
		if err := j.Put(report(id, "completed")); err == nil {
			t.Errorf("Put accepts %q", id)
		}
		if err := j.RecordCause(id, journal.Cause{}); err == nil {
			t.Errorf("RecordCause accepts %q", id)
		}
		if err := j.Forget(id); err != nil {
			t.Errorf("Forget(%q): %v", id, err)
		}
	}
}

func TestCauses(t *testing.T) {
	dir := stateDir(t)
	j := open(t, dir)
	want := journal.Cause{Kind: "verdict", Message: "too low", At: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)}
	if err := j.RecordCause("a-1", want); err != nil {
		t.Fatal(err)
	}
	if err := j.RecordCause("b-1", want); err != nil {
		t.Fatal(err)
	}
	if got, ok, err := j.CauseOf("a-1"); err != nil || !ok || !cmp.Equal(got, want) {
		t.Errorf("cause %+v %v %v, want %+v", got, ok, err, want)
	}
	if err := errors.Join(j.Put(report("a-1", "early_termination")), j.ForgetCauses()); err != nil {
		t.Fatal(err)
	}
	if _, ok, _ := j.CauseOf("a-1"); !ok {
		t.Error("the cause of an undelivered result is gone")
	}
	if _, ok, _ := j.CauseOf("b-1"); ok {
		t.Error("the cause of an attempt without a result is still there")
	}
	if err := j.Forget("a-1"); err != nil {
		t.Fatal(err)
	}
	if _, ok, _ := j.CauseOf("a-1"); ok {
		t.Error("Forget leaves the cause")
	}
}

// What the outbox holds after any sequence of Put, Forget and reopening is what
// a map would hold.
func TestOutboxIsAMap(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "state")
		if err != nil {
			rt.Fatal(err)
		}
		j, err := journal.Open(dir)
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { j.Close() }()
		model := map[string]string{}
		id := rapid.SampledFrom([]string{"a-1", "a-2", "b-1"})
		for range rapid.IntRange(1, 8).Draw(rt, "steps") {
			switch rapid.IntRange(0, 2).Draw(rt, "op") {
			case 0:
				name, outcome := id.Draw(rt, "id"), rapid.SampledFrom([]string{"completed", "timeout"}).Draw(rt, "outcome")
				model[name] = outcome
				err = j.Put(report(name, outcome))
			case 1:
				name := id.Draw(rt, "id")
				delete(model, name)
				err = j.Forget(name)
			case 2:
				j.Close()
				j, err = journal.Open(dir)
			}
			if err != nil {
				rt.Fatal(err)
			}
		}
		got := map[string]string{}
		reports, _, err := j.Pending()
		if err != nil {
			rt.Fatal(err)
		}
		for _, r := range reports {
			got[r.GetAttempt().GetAttemptId()] = r.GetResult().GetOutcome()
		}
		if diff := cmp.Diff(model, got); diff != "" {
			rt.Fatalf("(-want +got):\n%s", diff)
		}
	})
}
