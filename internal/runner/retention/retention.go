// Package retention removes what a runner left behind and nobody needs any more:
// old results, results that were put aside, and what runners that were killed left
// of sockets, containers and images.
//
// # What is removed
//
// Only what is this runner's, and of that only what nothing says is needed:
//
//   - an attempt's directory below the output root, whole, if its place in the
//     layout and its manifest.json agree, and the manifest names this runner. An
//     attempt that the state directory knows (in hand, not delivered, files not
//     sent, put aside) stays, and so does one without a manifest: it runs, or
//     nobody can say whose it is.
//   - files in rejected/ of the state directory that are older than asked for
//   - directories of sockets that no attempt in hand and no container uses
//   - the directory through which results of shared containers passed, when none of
//     those is left; what is in it is brought back to where it belongs
//   - containers that have ended, are of this state directory, and not in hand
//   - images that lost their name to a newer build, and those that the runner
//     pulled and has not used for as long as asked for
//
// Results go only by bounds that the owner of the host has set (config.Retention):
// those that ended too long ago, then the oldest until the others fit the size.
// Choose is that decision, a pure function; what it promises is in its comment.
//
// # Beside a running runner
//
// Results and rejected/ are safe to clean at any time: what is removed was read
// before the state directory was, in which an attempt only moves on, and those
// that ended in the last hour stay as well (a result that could not be written
// down is known to the process alone). Everything else is left to a time at which
// the state directory is free.
//
// # Nothing is trusted
//
// What jobs wrote is hostile, and the owner of the output root is somebody else
// than the user who cleans. Every directory is opened by one name in its open
// parent, never through a link, and must be the one that was looked at. A tree is
// first renamed aside, so that what is half removed never looks whole, and each
// directory in it is renamed before it is entered, which the kernel refuses where
// something is mounted.
package retention

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/tetryx/lynx-runner/internal/runner/config"
	"github.com/tetryx/lynx-runner/internal/runner/host"
)

// The kinds of things that are removed.
const (
	KindResults   = "results"
	KindRejected  = "rejected result"
	KindSockets   = "sockets"
	KindContainer = "container"
	KindImage     = "image"
	KindMounts    = "mounts of shared containers"
)

// Item is one thing that was removed, or would be.
type Item struct {
	Kind  string `json:"kind"`
	Where string `json:"where"`
	// Bytes is what it occupies; 0 where that is not known.
	Bytes int64 `json:"bytes"`
	// Since is what its age counts from.
	Since time.Time `json:"since"`
	Why   string    `json:"why"`
	// Error says why it is still there; empty if it is not, or was not to go.
	Error string `json:"error,omitempty"`
}

// Report is what a Clean did, or would do.
type Report struct {
	Items []Item `json:"items"`
	// Notes are for a person: what was left out, and why.
	Notes []string `json:"notes"`
}

// Bytes is the sum of what was removed, or would be.
func (r *Report) Bytes() int64 {
	var sum int64
	for _, i := range r.Items {
		if i.Error == "" {
			sum += i.Bytes
		}
	}
	return sum
}

// Failed counts what could not be removed.
func (r *Report) Failed() int {
	n := 0
	for _, i := range r.Items {
		if i.Error != "" {
			n++
		}
	}
	return n
}

func (r *Report) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// Attempt is an attempt's directory with a manifest of this runner.
type Attempt struct {
	ID string
	// Dir is relative to the output root.
	Dir   string
	Ended time.Time
	Bytes int64
	// Needed says why it must stay; empty if it need not.
	Needed string
}

// Choice is an attempt to remove, and why.
type Choice struct {
	Attempt
	Why string
}

// Choose decides which attempts go. Those go that ended longer ago than age, and
// of the others the oldest until what stays takes up no more than size. One that
// is needed stays, and counts. Afterwards what stays fits, or all of it is needed.
// A bound that is nil takes nothing. The order is that of the removal: oldest
// first, by directory where two ended at once.
func Choose(attempts []Attempt, age *time.Duration, size *int64, now time.Time) []Choice {
	attempts = slices.Clone(attempts)
	slices.SortFunc(attempts, func(a, b Attempt) int {
		return cmp.Or(a.Ended.Compare(b.Ended), cmp.Compare(a.Dir, b.Dir))
	})
	var total int64
	for _, a := range attempts {
		total += a.Bytes
	}
	var choices []Choice
	for _, a := range attempts {
		why := ""
		switch {
		case a.Needed != "":
		case age != nil && now.Sub(a.Ended) > *age:
			why = "it ended more than " + config.ShowAge(*age) + " ago"
		case size != nil && total > *size:
			why = "the oldest, so that results fit " + host.Bytes(*size)
		}
		if why != "" {
			choices = append(choices, Choice{a, why})
			total -= a.Bytes
		}
	}
	return choices
}
