package sqlite

import (
	"io/fs"
	"testing"

	"github.com/pressly/goose/v3"

	"github.com/tetryx/lynx-runner/internal/platform"
)

// TestADatabaseOfTheFirstVersion is brought up to date with what it holds: what it
// could not know is zero.
func TestADatabaseOfTheFirstVersion(t *testing.T) {
	dir := t.TempDir()
	db := foreign(t, dir)
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		t.Fatal(err)
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		`INSERT INTO batches VALUES (1, 'b', 'Running', 1, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 1)`,
		`INSERT INTO specs VALUES (1, CAST('{"runs":1}' AS BLOB))`,
		`INSERT INTO runners VALUES ('r', 'i', 's', 'v', 'h', 'docker', CAST('{"cpu_cores":2}' AS BLOB), 1, 0, 5, 6)`,
	} {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s := openTest(t, dir)
	err = s.View(t.Context(), func(tx platform.ReadTx) error {
		b, err := tx.Batch("b")
		if err != nil {
			return err
		}
		if b.Counts.Pending != 1 || b.Ended != 0 || b.EndedFor != 0 {
			t.Errorf("batch %+v", b)
		}
		r, err := tx.Runner("r")
		if !r.Drain || r.Capabilities.CPUCores != 2 || r.GPUs != 0 || r.Default != (platform.Resources{}) || r.Paused != "" || r.SignedOff {
			t.Errorf("runner %+v", r)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
