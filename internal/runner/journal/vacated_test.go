package journal_test

import (
	"os"
	"path/filepath"
	"testing"
)

// That an attempt's place is another's is known for as long as the attempt is, and no
// longer, also where the process ended between the two.
func TestVacated(t *testing.T) {
	dir := stateDir(t)
	j := open(t, dir)
	for _, id := range []string{"a", "b"} {
		if err := j.Begun(attempt(id)); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Vacated("a"); err != nil {
		t.Fatal(err)
	}
	found, _, _, err := j.Attempts()
	if err != nil || len(found) != 2 {
		t.Fatalf("%v, %v", found, err)
	}
	for _, a := range found {
		if a.Vacated != (a.Assignment.GetAttemptId() == "a") {
			t.Errorf("%s: vacated %v", a.Assignment.GetAttemptId(), a.Vacated)
		}
	}
	notes := func() (names []string) {
		entries, err := os.ReadDir(filepath.Join(dir, "vacated"))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names
	}
	if err := j.Ended("a"); err != nil || len(notes()) > 0 {
		t.Errorf("after its end: %q, %v", notes(), err)
	}
	if err := j.Vacated("c"); err != nil { // a crash right after the attempt was forgotten
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
	if left := notes(); len(left) > 0 {
		t.Errorf("after the next start: %q", left)
	}
	if j.Vacated("../a") == nil {
		t.Error("a name that leads elsewhere was taken")
	}
}
