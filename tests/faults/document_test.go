//go:build engine

package faults

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tetryx/lynx-runner/tests/internal/stand"
)

// TestDocument: docs/reliability.md has one row for each cell, with its verdict, and
// none for a cell that is not there.
func TestDocument(t *testing.T) {
	rows := documented(t)
	for group, cells := range groups {
		for _, c := range cells {
			name := "TestFaults/" + group + "/" + c.name
			row, ok := rows[name]
			delete(rows, name)
			switch {
			case !ok:
				t.Errorf("the document has no row for %s", name)
			case !strings.Contains(row, "| "+c.verdict.String()+" |"):
				t.Errorf("the document does not give %s the verdict %s: %s", name, c.verdict, row)
			case strings.Contains(row, "(always)") != c.quick:
				t.Errorf("the document does not say when %s is run: %s", name, row)
			}
		}
	}
	for name := range rows {
		t.Errorf("the document names %s, which is no cell", name)
	}
}

// TestNamedTests: every test of another package that the document names is there.
func TestNamedTests(t *testing.T) {
	text, err := os.ReadFile("../../docs/reliability.md")
	stand.Must(t, err)
	named := regexp.MustCompile("`([a-z/]+)\\.(Test[A-Za-z0-9]+)`").FindAllStringSubmatch(string(text), -1)
	if len(named) == 0 {
		t.Fatal("the document names none")
	}
	for _, m := range named {
		files, err := filepath.Glob(filepath.Join("../..", m[1], "*_test.go"))
		stand.Must(t, err)
		if !slices.ContainsFunc(files, func(file string) bool {
			source, err := os.ReadFile(file)
			return err == nil && strings.Contains(string(source), "\nfunc "+m[2]+"(")
		}) {
			t.Errorf("the document names %s of %s, which is not there", m[2], m[1])
		}
	}
}

// documented are the rows of the document by the cell that they name.
func documented(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../docs/reliability.md")
	stand.Must(t, err)
	rows := map[string]string{}
	name := regexp.MustCompile("`(TestFaults/[^`]+)`")
	for line := range strings.Lines(string(text)) {
		for _, m := range name.FindAllStringSubmatch(line, -1) {
			if rows[m[1]] != "" {
				t.Errorf("the document names %s twice", m[1])
			}
			rows[m[1]] = line
		}
	}
	return rows
}
