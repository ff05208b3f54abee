package journal

import (
	"os"
	"path/filepath"
	"testing"
)

// A state directory has one holder, however often it is opened; a copy has another, and
// so has the directory after a restart of its host.
func TestHolderID(t *testing.T) {
	dir, elsewhere := filepath.Join(t.TempDir(), "state"), filepath.Join(t.TempDir(), "copy")
	holder := func(dir string) (installation, holder string) {
		t.Helper()
		j, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer j.Close()
		return j.InstallationID(), j.HolderID()
	}
	installation, id := holder(dir)
	if _, again := holder(dir); again != id {
		t.Errorf("holder id %s, and then %s", id, again)
	}
	if err := os.CopyFS(elsewhere, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(elsewhere, 0o700); err != nil {
		t.Fatal(err)
	}
	copied, other := holder(elsewhere)
	if copied != installation || other == id {
		t.Errorf("the copy of %s, %s has %s, %s", installation, id, copied, other)
	}
	lock, err := os.Stat(filepath.Join(dir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	if id != installation+"."+placeOf(thisBoot(), lock) || placeOf(thisBoot(), lock) == placeOf("another", lock) {
		t.Errorf("%s in this boot, %s in another", placeOf(thisBoot(), lock), placeOf("another", lock))
	}
}
