package files_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tetryx/lynx-runner/internal/platform/store/files"
)

// TestUploadsThatBreakAnywhere: however often uploads are cut, replaced or lost
// with their process, and whatever is sent twice, the files that are complete
// are the right ones, and in the end all are.
func TestUploadsThatBreakAnywhere(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "s")
		must(t, err)
		want := map[string]string{}
		for i := range rapid.IntRange(1, 4).Draw(rt, "files") {
			want[fmt.Sprintf("output/%d/f", i)] = rapid.StringN(0, 40, 40).Draw(rt, "data")
		}
		s, err := files.Open(dir, files.Options{MaxAttemptBytes: 200})
		must(t, err)
		for range rapid.IntRange(0, 6).Draw(rt, "cuts") {
			send(t, rt, s, want, true)
			if rapid.Bool().Draw(rt, "restart") {
				must(t, s.Close())
				s, err = files.Open(dir, files.Options{MaxAttemptBytes: 200})
				must(t, err)
			}
			for _, f := range list(t, s) {
				if data := want[f.Path]; f.Complete && f != whole(f.Path, data) || !strings.HasPrefix(f.Path, "output/") {
					rt.Fatalf("%+v, want %q", f, data)
				}
			}
		}
		send(t, rt, s, want, false)
		if got := list(t, s); len(got) != len(want) {
			rt.Fatalf("files %v, want %v", got, want)
		}
		for p, data := range want {
			if got := content(t, s, p); got != data {
				rt.Fatalf("%s is %q, want %q", p, got, data)
			}
		}
		must(t, s.Close())
	})
}

// send is a runner: it asks for what is there and sends the rest; broken, it
// stops somewhere.
func send(t *testing.T, rt *rapid.T, s *files.Store, want map[string]string, broken bool) {
	stored := map[string]files.File{}
	for _, f := range list(t, s) {
		stored[f.Path] = f
	}
	u := begin(t, s)
	budget := 1 << 20
	if broken {
		budget = rapid.IntRange(0, 60).Draw(rt, "budget")
	}
	for _, p := range slices.Sorted(maps.Keys(want)) {
		data := want[p]
		if stored[p].Complete && !rapid.Bool().Draw(rt, "again") {
			continue
		}
		at := stored[p].Size
		if stored[p].Complete {
			at = 0
		}
		must(t, u.Next(header(p, data, at)))
		for at < int64(len(data)) && budget > 0 {
			n := min(rapid.Int64Range(1, 16).Draw(rt, "chunk"), int64(len(data))-at, int64(budget))
			must(t, u.Write([]byte(data[at:at+n])))
			at, budget = at+n, budget-int(n)
		}
	}
	if !broken || rapid.Bool().Draw(rt, "closed") {
		must(t, u.Close())
	}
}
