package sqlite

import (
	"database/sql"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// mayScan are queries that read a whole table or index, or sort, because that is
// what they are for.
var mayScan = map[string]string{
	"RaiseEpoch":    "SCAN store", // has one row
	"Runners":       "SCAN runners USING INDEX sqlite_autoindex_runners_1",
	"SilentHolders": "SCAN runners USING INDEX sqlite_autoindex_runners_1",
	"JobsByID":      "USE TEMP B-TREE FOR ORDER BY",      // sorts the matches only
	"ActiveCounts":  "SCAN jobs USING INDEX jobs_active", // has the active ones only
}

// TestEveryQueryUsesAnIndex asks SQLite how it would run each query: one that
// reads a table of all jobs, or sorts, is slow only where a test has too few jobs
// to notice.
func TestEveryQueryUsesAnIndex(t *testing.T) {
	dir := t.TempDir()
	if err := openTest(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	db := foreign(t, dir)
	files, err := filepath.Glob("query/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	name := regexp.MustCompile(`-- name: (\w+) :\w+\n`)
	embed := regexp.MustCompile(`sqlc\.embed\((\w+)\)`)
	arg := regexp.MustCompile(`sqlc\.arg\(\w+\)`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		places := name.FindAllStringSubmatchIndex(string(text), -1)
		for i, m := range places {
			end := len(text)
			if i+1 < len(places) {
				end = places[i+1][0]
			}
			query := arg.ReplaceAllString(embed.ReplaceAllString(string(text[m[1]:end]), "$1.*"), "?")
			t.Run(string(text[m[2]:m[3]]), func(t *testing.T) {
				for _, step := range plan(t, db, query) {
					if step != mayScan[filepath.Base(t.Name())] && (strings.Contains(step, "TEMP B-TREE") || strings.HasPrefix(step, "SCAN")) {
						t.Errorf("%s:\n%s", step, query)
					}
				}
			})
		}
	}
}

// plan is what EXPLAIN QUERY PLAN says, a step each.
func plan(t *testing.T, db *sql.DB, query string) []string {
	t.Helper()
	statement, _, _ := strings.Cut(query, ";")
	args := make([]any, strings.Count(statement, "?"))
	rows, err := db.Query("EXPLAIN QUERY PLAN "+statement, args...)
	if err != nil {
		t.Fatalf("%v:\n%s", err, statement)
	}
	defer func() { _ = rows.Close() }()
	var steps []string
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			t.Fatal(err)
		}
		steps = append(steps, step)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return steps
}
