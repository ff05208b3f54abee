package rest_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/tetryx/lynx-runner/internal/platform/rest"
	"github.com/tetryx/lynx-runner/internal/platform/store/files"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// kept is a store of files: from attempts to the paths and contents of theirs.
type kept struct {
	dir     string
	content map[files.AttemptKey]map[string]string
}

func keeps(t *testing.T, content map[files.AttemptKey]map[string]string) func(*rest.Options) {
	return func(o *rest.Options) { o.Files = &kept{t.TempDir(), content} }
}

func (k *kept) List(_ context.Context, a files.AttemptKey) ([]files.File, error) {
	var list []files.File
	for path, content := range k.content[a] {
		list = append(list, files.File{Path: path, Size: int64(len(content)), SHA256: sum(content), Complete: true})
	}
	return append(list, files.File{Path: "output/half.csv", Size: 1}), nil
}

func (k *kept) Open(_ context.Context, a files.AttemptKey, path string) (*os.File, files.File, error) {
	content, ok := k.content[a][path]
	if !ok {
		return nil, files.File{}, fs.ErrNotExist
	}
	place := filepath.Join(k.dir, sum(path))
	if err := os.WriteFile(place, []byte(content), 0o600); err != nil {
		return nil, files.File{}, err
	}
	f, err := os.Open(place)
	return f, files.File{Path: path, Size: int64(len(content)), SHA256: sum(content), Complete: true}, err
}

func sum(content string) string {
	s := sha256.Sum256([]byte(content))
	return hex.EncodeToString(s[:])
}

// first is the first attempt of the first job that a test submits.
var first = files.AttemptKey{BatchID: "id-2", RunIndex: 0, Number: 1}

// leaves is a result with artifacts of these names.
func leaves(outcome string, names ...string) *runnerv1.Result {
	r := completed()
	r.Outcome = outcome
	if outcome != "completed" {
		r.ExitCode = proto.Int32(1)
	}
	r.Artifacts = nil
	for _, name := range names {
		r.Artifacts = append(r.Artifacts, &runnerv1.Artifact{Name: name, Size: 3, Sha256: sum(name)})
	}
	return r
}

// finish makes the first job of a new study end with a result. Its id is id-3.
func (w *world) finish(r *runnerv1.Result) (session string) {
	w.t.Helper()
	session = w.session("runner-a") // id-1
	w.submit()
	w.report(session, w.claim(session, 1)[0], r)
	return session
}
