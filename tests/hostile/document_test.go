//go:build engine

package hostile

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tetryx/lynx-runner/tests/internal/stand"
)

// TestDocument: docs/security.md names a test for each row of its tables, each
// test is there, and each attack is in the document.
func TestDocument(t *testing.T) {
	named := documented(t)
	ours := attackTests()
	functions := testFunctions(t)
	for _, name := range named {
		top, _, _ := strings.Cut(name, "/")
		switch {
		case !functions[top]:
			t.Errorf("the document names %s, which is no test", name)
		case top == "TestHostile" && !slices.Contains(ours, name):
			t.Errorf("the document names %s, which is no attack", name)
		}
	}
	for _, name := range ours {
		if !slices.Contains(named, name) {
			t.Errorf("the document does not name %s", name)
		}
	}
	if len(set(ours)) != len(ours) {
		t.Error("two attacks have the same name")
	}
}

// documented are the tests that the document names.
func documented(t *testing.T) (named []string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/security.md")
	stand.Must(t, err)
	_, section, ok := strings.Cut(string(text), "\n## Hostile jobs\n")
	section, _, end := strings.Cut(section, "\n## ")
	if !ok || !end {
		t.Fatal("the document has no section on hostile jobs")
	}
	name := regexp.MustCompile("`((?:Test|Fuzz)[^`]+)`")
	for line := range strings.Lines(section) {
		found := name.FindAllStringSubmatch(line, -1)
		for _, m := range found {
			named = append(named, m[1])
		}
		if strings.HasPrefix(line, "| ") && !strings.HasPrefix(line, "| Attack") && len(found) == 0 {
			t.Errorf("a row names no test: %s", line)
		}
	}
	return named
}

// attackTests are the names of the attacks' tests.
func attackTests() []string {
	names := []string{"TestHostile/neighbour", "TestHostile/host", "TestHostile/leftovers"}
	for _, a := range attacks {
		names = append(names, "TestHostile/jobs/"+a.name)
	}
	for _, r := range requests {
		names = append(names, "TestHostile/requests/"+r.name)
	}
	for _, s := range submissions {
		names = append(names, "TestHostile/submissions/"+s.name)
	}
	return names
}

// testFunctions are the tests of the whole module.
func testFunctions(t *testing.T) map[string]bool {
	t.Helper()
	functions := map[string]bool{}
	declaration := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	stand.Must(t, filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && (strings.HasPrefix(d.Name(), ".") && len(d.Name()) > 2 || d.Name() == "bin") {
			if d != nil && d.IsDir() {
				return fs.SkipDir
			}
			return err
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range declaration.FindAllStringSubmatch(string(text), -1) {
			functions[m[1]] = true
		}
		return nil
	}))
	return functions
}
