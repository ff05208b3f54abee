package artifact

import (
	"fmt"
	"os"
)

// maxSwept bounds the warnings of a Sweep.
const maxSwept = 10

// Sweep removes everything from a log directory that is no regular file with one
// link, directories with all that is in them. People open logs by name, and as
// users who may read what the job might not: there must be no link in their
// place. What lies there is the job's doing, for the shim's own files are plain.
// The warnings are sentences, 11 at most.
func Sweep(dir string) (warnings []string) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil // there is no log directory
	}
	defer func() { _ = root.Close() }()
	left := 0
	tell := func(name, what string) {
		if left++; left <= maxSwept {
			warnings = append(warnings, fmt.Sprintf("%s in the log directory %s.", quote(name), what))
		}
	}
	w := walker{
		entries: chownEntries,
		visit: func(e entry) (bool, error) {
			if e.info.Mode().IsRegular() && links(e.info) == 1 {
				return false, nil
			}
			kind := kindOf(e.info.Mode())
			if e.info.Mode().IsRegular() {
				kind = "a file with several links"
			}
			if err := root.RemoveAll(e.name); err != nil {
				tell(e.name, fmt.Sprintf("is %s, and could not be removed: %s", kind, reason(err)))
				return false, nil
			}
			tell(e.name, "was "+kind+", and was removed")
			return false, nil
		},
		problem: func(rel string, err error) { tell(rel, "could not be looked at: "+reason(err)) },
	}
	if err := w.walk(root, "", 0); err != nil {
		tell(".", "has too many entries to look at")
	}
	if left > maxSwept {
		warnings = append(warnings, fmt.Sprintf("%d more things in the log directory were removed, or could not be.", left-maxSwept))
	}
	return warnings
}
