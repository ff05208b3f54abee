package journal_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tetryx/lynx-runner/internal/runner/journal"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// FuzzPending: whatever a disk made of a result, the outbox gives it out as what
// can be put there again, or puts the very same bytes aside.
func FuzzPending(f *testing.F) {
	f.Add("a-1", []byte(`{"attempt":{"attempt_id":"a-1","token":"3"},"result":{"outcome":"completed","metrics":{"x":"NaN"}}}`))
	f.Add("a-1", []byte(`{"attempt":{"attempt_id":"a-2"}}`))
	f.Add("a-1", []byte(`{"attempt":{"attemptId":"a-1"},"from a later version":[1]}`))
	f.Add("..", []byte(`{}`))
	f.Add("a-1", []byte("{\"attempt\":{\"attempt_id\":\"a-1\"},\"result\":{\"error_message\":\"\xff\"}}"))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		if len(name) > 255 || name != filepath.Base(name) || strings.Trim(name, ".") == "" || strings.HasPrefix(name, ".tmp-") {
			return // no file can be called so, or it is one that was never finished
		}
		dir := stateDir(t)
		j := open(t, dir)
		if os.WriteFile(filepath.Join(dir, "outbox", name), data, 0o600) != nil {
			return
		}
		reports, rejected, err := j.Pending()
		switch {
		case err != nil:
			t.Fatal(err)
		case len(rejected) == 1 && len(reports) == 0 && rejected[0] == name:
			if kept, err := os.ReadFile(filepath.Join(dir, "rejected", name)); err != nil || !bytes.Equal(kept, data) {
				t.Fatalf("put aside as %q, %v", kept, err)
			}
			return
		case len(rejected) > 0 || len(reports) != 1 || reports[0].GetAttempt().GetAttemptId() != name:
			t.Fatalf("%v, rejected %q", reports, rejected)
		}
		if !journal.ValidName(name) {
			return
		}
		if err := j.Put(reports[0]); err != nil {
			t.Fatal(err)
		}
		again, _, err := j.Pending()
		if err != nil || len(again) != 1 || !equal(reports[0], again[0]) {
			t.Fatalf("%v became %v, %v", reports[0], again, err)
		}
	})
}

// equal compares messages with NaN equal to NaN.
func equal(a, b *runnerv1.ReportResultRequest) bool {
	o := proto.MarshalOptions{Deterministic: true}
	x, err1 := o.Marshal(a)
	y, err2 := o.Marshal(b)
	return err1 == nil && err2 == nil && bytes.Equal(x, y)
}

// FuzzNames: no attempt's id leads out of the state directory, and one that can't
// name a file is refused where something is written and unknown where it is read.
func FuzzNames(f *testing.F) {
	for _, id := range []string{"job-1", "..", "../x", "a/b", "", ".tmp-x", "a\x00", "a\n", strings.Repeat("a", 201), "ä", "A.b_c-9"} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		dir := stateDir(t)
		j := open(t, dir)
		cause := journal.Cause{Kind: "verdict", Message: id, At: time.Unix(1, 2).UTC()}
		put := j.Put(&runnerv1.ReportResultRequest{Attempt: &runnerv1.AttemptRef{AttemptId: id}})
		record, accepted := j.RecordCause(id, cause), j.Accepted(id)
		got, found, err := j.CauseOf(id)
		if valid := journal.ValidName(id); valid != (put == nil) || valid != (record == nil) || valid != (accepted == nil) || err != nil || found {
			t.Fatalf("%q: %v, %v, %v; cause %v, %v, %v", id, put, record, accepted, got, found, err)
		}
		if err := j.Uploaded(id); err != nil {
			t.Error(err)
		}
		for path := range files(t, dir) {
			if path != "lock" && path != "installation_id" {
				t.Errorf("%q left %s", id, path)
			}
		}
		if names, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(names) != 1 {
			t.Errorf("beside the state directory there are %v, %v", names, err)
		}
	})
}

// FuzzCauseOf: a cause is read as it was written, or is an error that names its
// attempt.
func FuzzCauseOf(f *testing.F) {
	f.Add([]byte(`{"kind":"verdict","message":"x","at":"2026-03-01T12:00:00.000000001+01:00"}`))
	f.Add([]byte(`{"kind":1}`))
	f.Add([]byte(`null`))
	f.Add([]byte(`{"at":"2026-03-01T12:00:00+24:00"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := stateDir(t)
		j := open(t, dir)
		if err := os.WriteFile(filepath.Join(dir, "causes", "a-1"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		c, found, err := j.CauseOf("a-1")
		if err != nil {
			if found || !strings.Contains(err.Error(), "a-1") || errors.Is(err, fs.ErrNotExist) {
				t.Fatalf("%v, %v", found, err)
			}
			return
		}
		if !found {
			t.Fatal("it is not found")
		}
		if _, err := c.At.MarshalJSON(); err != nil {
			return // there are times that Go reads and does not write
		}
		if err := j.RecordCause("a-1", c); err != nil {
			t.Fatal(err)
		}
		if again, _, err := j.CauseOf("a-1"); err != nil || again.Kind != c.Kind || again.Message != c.Message || !again.At.Equal(c.At) {
			t.Fatalf("%+v became %+v, %v", c, again, err)
		}
	})
}

// files are the regular files below a directory.
func files(t *testing.T, dir string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	if err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			found[path] = true
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return found
}
