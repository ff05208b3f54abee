package journal_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/tetryx/lynx-runner/internal/runner/journal"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// An acknowledged result is due for delivery no more, and for its files until
// they are sent; both over restarts.
func TestUploadsSurvive(t *testing.T) {
	dir := stateDir(t)
	j := open(t, dir)
	if err := errors.Join(
		j.Put(report("a-1", "completed")), j.Put(report("b-1", "timeout")), j.Put(report("c-1", "completed")),
		j.RecordCause("b-1", journal.Cause{Kind: "timeout", At: time.Unix(1, 0)}),
		j.Accepted("b-1"), j.Accepted("a-1"),
	); err != nil {
		t.Fatal(err)
	}
	j.Close()
	j = open(t, dir)
	if got, _, err := j.Pending(); err != nil || len(got) != 1 || got[0].GetAttempt().GetAttemptId() != "c-1" {
		t.Errorf("outbox %v, error %v", got, err)
	}
	if _, ok, err := j.CauseOf("b-1"); ok || err != nil {
		t.Errorf("the cause is still there, error %v", err)
	}
	got, rejected, err := j.Uploads()
	if err != nil || len(rejected) > 0 {
		t.Fatal(err, rejected)
	}
	want := []*runnerv1.ReportResultRequest{report("a-1", "completed"), report("b-1", "timeout")}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("uploads after a restart (-want +got):\n%s", diff)
	}
	if err := errors.Join(j.Uploaded("a-1"), j.Uploaded("a-1"), j.Uploaded("../outbox/c-1"), j.Forget("b-1")); err != nil {
		t.Fatal(err)
	}
	if got, _, _ := j.Uploads(); len(got) != 1 || got[0].GetAttempt().GetAttemptId() != "b-1" {
		t.Errorf("uploads %v", got)
	}
}

// A result that there was no space for is accepted all the same: what else there is of
// the attempt goes then.
func TestAcceptedWithoutAResult(t *testing.T) {
	j := open(t, stateDir(t))
	if err := j.RecordCause("a-1", journal.Cause{Kind: "verdict"}); err != nil {
		t.Fatal(err)
	}
	if err := j.Accepted("a-1"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing in the outbox: %v", err)
	}
	if c, found, err := j.CauseOf("a-1"); found || err != nil {
		t.Errorf("left: %v, %v", c, err)
	}
	if err := j.Accepted("../x"); err == nil {
		t.Error("took a path for an attempt id")
	}
}

func TestDamagedUploadsArePutAside(t *testing.T) {
	dir := stateDir(t)
	j := open(t, dir)
	if err := os.WriteFile(filepath.Join(dir, "uploads", "torn-1"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, rejected, err := j.Uploads()
	if err != nil || len(got) > 0 || !slices.Equal(rejected, []string{"torn-1"}) {
		t.Errorf("%v, rejected %v, error %v", got, rejected, err)
	}
}

// What a platform calls invalid is kept for a person, whether it was in the
// outbox or could not be written there, and never taken for due again.
func TestReject(t *testing.T) {
	dir := stateDir(t)
	j := open(t, dir)
	if err := errors.Join(j.Put(report("a-1", "completed")), j.Reject(report("a-1", "completed")), j.Reject(report("b-1", "timeout"))); err != nil {
		t.Fatal(err)
	}
	j.Close()
	j = open(t, dir)
	if got, _, err := j.Pending(); err != nil || len(got) > 0 {
		t.Errorf("outbox %v, error %v", got, err)
	}
	for _, id := range []string{"a-1", "b-1"} {
		if info, err := os.Stat(filepath.Join(dir, "rejected", id)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v, %v", id, info, err)
		}
	}
	if err := j.Reject(report("../x", "completed")); err == nil {
		t.Error("took a path for an attempt id")
	}
}
