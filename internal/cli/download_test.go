package cli

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/tetryx/lynx-runner/api"
)

// keeper is a scripted platform that keeps the files of one batch.
type keeper struct {
	*far

	rows []api.RunRow
}

func newKeeper(t *testing.T) *keeper {
	t.Helper()
	k := &keeper{far: newFar(t, map[string]any{"GET /batches/b": api.BatchStatus{Batch: api.Batch{BatchID: "b", Status: api.BatchCompleted}}})}
	return k
}

// keep adds a file to a run, which the platform serves as served.
func (k *keeper) keep(run int, name, text, served string) {
	for len(k.rows) <= run {
		k.rows = append(k.rows, api.RunRow{RunIndex: len(k.rows), JobID: "job-" + strconv.Itoa(len(k.rows)), Attempt: 1, Directory: "/srv/x"})
	}
	sum := sha256.Sum256([]byte(text))
	a := api.Artifact{Name: name, Size: int64(len(text)), SHA256: hex.EncodeToString(sum[:]), URL: "/jobs/x"}
	row := &k.rows[run]
	row.Artifacts = append(row.Artifacts, a)
	for _, call := range []string{"GET /batches/b/results", "GET /batches/b/results?limit=500"} {
		k.calls[call] = api.BatchResults{BatchID: "b", Items: k.rows}
	}
	k.calls[fmt.Sprintf("GET /jobs/%s/artifacts/%s?attempt=1", row.JobID, url.PathEscape(name))] = func(w http.ResponseWriter) {
		w.Header().Set("ETag", `"`+a.SHA256+`"`)
		octets(served)(w)
	}
}

// download runs the command and returns what it says and what is there then.
func (k *keeper) download(t *testing.T, dir string) (stderr string, status int, files map[string]string) {
	t.Helper()
	_, stderr, status = callerOf(k.far).lynxctl(t, "results", "b", "--download", dir)
	files = map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[name] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return stderr, status, files
}

// TestDownload: every file is fetched once, below its run, and a second time only
// what is not there or not right.
func TestDownload(t *testing.T) {
	k := newKeeper(t)
	k.keep(0, "summary.json", "{}", "{}")
	k.keep(1, "deep/er/trajectory.csv", "t,x\n", "t,x\n")
	k.keep(1, "empty", "", "")
	dir := filepath.Join(t.TempDir(), "results")
	want := map[string]string{"00000/summary.json": "{}", "00001/deep/er/trajectory.csv": "t,x\n", "00001/empty": ""}
	stderr, status, files := k.download(t, dir)
	if diff := cmp.Diff(want, files); status != ExitOK || diff != "" || !strings.Contains(stderr, "downloaded 3 files, 6 B, to ") {
		t.Fatalf("status %d, %s\n%s", status, stderr, diff)
	}
	if err := os.WriteFile(filepath.Join(dir, "00000/summary.json"), []byte("[]"), 0o644); err != nil {
		t.Fatal(err)
	}
	stderr, status, files = k.download(t, dir)
	if diff := cmp.Diff(want, files); status != ExitOK || diff != "" || !strings.Contains(stderr, "downloaded 1 file, 2 B, to "+dir+"; 2 were there already") {
		t.Errorf("again: status %d, %s\n%s", status, stderr, diff)
	}
}

// TestDownloadWithOutput: the table may lie in the directory of the files, which is
// made for it.
func TestDownloadWithOutput(t *testing.T) {
	k := newKeeper(t)
	k.keep(0, "summary.json", "{}", "{}")
	dir := filepath.Join(t.TempDir(), "results")
	if _, stderr, status := callerOf(k.far).lynxctl(t, "results", "b", "--download", dir, "-o", filepath.Join(dir, "runs.csv")); status != ExitOK {
		t.Fatalf("status %d: %s", status, stderr)
	}
	for _, name := range []string{"runs.csv", "00000/summary.json"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
}

// TestDownloadOfHarm: whatever a job called its files and whatever arrives, nothing
// is written elsewhere, and nothing that is not right stays.
func TestDownloadOfHarm(t *testing.T) {
	for name, c := range map[string]struct {
		file, served, says string
		prepare            func(dir string) error
	}{
		"parent":    {file: "../../escaped", served: "x", says: "not downloaded"},
		"absolute":  {file: "/escaped", served: "x", says: "not downloaded"},
		"damaged":   {file: "data", served: "y", says: api.ErrCorrupt.Error()},
		"control":   {file: "a\x1b[2J", served: "x"},
		"link":      {file: "data", served: "x", prepare: func(dir string) error { return linkTo(dir, "00000/data") }},
		"directory": {file: "deep/data", served: "x", says: "escapes", prepare: func(dir string) error { return linkTo(dir, "00000/deep") }},
	} {
		t.Run(name, func(t *testing.T) {
			outer := t.TempDir()
			dir := filepath.Join(outer, "results")
			if err := os.MkdirAll(filepath.Join(outer, "victim"), 0o755); err != nil {
				t.Fatal(err)
			}
			if c.prepare != nil {
				if err := c.prepare(dir); err != nil {
					t.Fatal(err)
				}
			}
			k := newKeeper(t)
			k.keep(0, "good", "good", "good")
			k.keep(0, c.file, "x", c.served)
			_, stderr, status := callerOf(k.far).lynxctl(t, "results", "b", "--download", dir)
			if wrong := c.says != ""; status != map[bool]int{true: ExitFailed, false: ExitOK}[wrong] || !strings.Contains(stderr, c.says) || strings.Contains(stderr, "\x1b") {
				t.Errorf("status %d, stderr %q", status, stderr)
			}
			if good, err := os.ReadFile(filepath.Join(dir, "00000/good")); string(good) != "good" {
				t.Errorf("the other file: %v", err)
			}
			if left, err := filepath.Glob(filepath.Join(outer, "victim", "*")); err != nil || len(left) > 0 {
				t.Errorf("written elsewhere: %v %v", left, err)
			}
			if entries, err := os.ReadDir(outer); err != nil || len(entries) != 2 {
				t.Errorf("beside the directory: %v %v", entries, err)
			}
			if parts, err := filepath.Glob(filepath.Join(dir, "*", "*"+partSuffix)); err != nil || len(parts) > 0 {
				t.Errorf("parts left: %v %v", parts, err)
			}
		})
	}
}

// linkTo makes dir/name a link to the directory beside dir.
func linkTo(dir, name string) error {
	if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
		return err
	}
	return os.Symlink("../../victim", filepath.Join(dir, name))
}

// TestDownloadOfWhatIsNotKept says where the files are.
func TestDownloadOfWhatIsNotKept(t *testing.T) {
	k := newKeeper(t)
	k.keep(0, "summary.json", "{}", "{}")
	runner := "lab-1"
	// The scripted answers share the rows' artifacts.
	k.rows[0].AssignedRunner, k.rows[0].Artifacts[0].URL = &runner, ""
	stderr, status, files := k.download(t, filepath.Join(t.TempDir(), "d"))
	if status != ExitFailed || len(files) != 0 || !strings.Contains(stderr, "1 file (yet); the first is on runner lab-1, /srv/x") {
		t.Errorf("status %d, %v: %s", status, files, stderr)
	}
}

// TestEscaper: however its input is cut, a terminal gets nothing that it acts on,
// and harmless text is left alone.
func TestEscaper(t *testing.T) {
	for text, want := range map[string]string{
		"plain\tand\nlines\r\nend": "plain\tand\nlines\nend",
		"größer ☃ 軌道":              "größer ☃ 軌道",
		"\x1b[2J\a\x00":            `\x1b[2J\a\x00`,
		"a\xffb":                   `a\xffb`,
		"\u202eevil":               `\u202eevil`,
	} {
		for size := 1; size <= len(text); size++ {
			var out bytes.Buffer
			e := &escaper{w: &out}
			for chunk := range slices.Chunk([]byte(text), size) {
				if n, err := e.Write(chunk); n != len(chunk) || err != nil {
					t.Fatal(n, err)
				}
			}
			if got := out.String(); got != want {
				t.Errorf("%q in pieces of %d: %q, want %q", text, size, got, want)
			}
		}
	}
}

func FuzzEscaper(f *testing.F) {
	f.Add([]byte("\x1b]0;title\a"), 1)
	f.Add([]byte("\xf0\x9f\x98"), 2)
	f.Fuzz(func(t *testing.T, text []byte, size int) {
		var out bytes.Buffer
		e := &escaper{w: &out}
		for chunk := range slices.Chunk(text, max(1, size%64)) {
			if _, err := e.Write(chunk); err != nil {
				t.Fatal(err)
			}
		}
		for _, r := range out.String() {
			if r != '\n' && r != '\t' && acts(r) || !utf8.Valid(out.Bytes()) {
				t.Fatalf("%q became %q", text, out.String())
			}
		}
	})
}
