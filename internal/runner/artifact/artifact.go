// Package artifact takes stock of what a job left in its directories.
//
// Everything there is hostile: the job's author is a stranger on a shared host,
// and the runner that looks at the files may be root. A link may point at
// /etc/shadow, a FIFO blocks who opens it, a file of a terabyte occupies one
// block, a name is a terminal escape. So the package looks at each entry itself,
// never at what a link leads to, opens only what it saw to be a regular file
// with one link, and makes sure that what it opened is what it saw (walk.go).
// All of it is bounded: bytes, files, depth, names, the number of warnings.
//
//   - [Collect] lists and hashes the files of the output directory.
//   - [Usage] measures trees while the job runs, for the output watcher.
//   - [Metrics] reads the numbers that a run reports in summary.json.
//   - [Chown] gives a tree to its owner, readable and deletable.
//   - [Sync] makes a tree survive a crash of the host.
//
// Collect, Metrics, Chown and Sync are for the time when no process of the job lives.
// They stay safe if one does (nothing outside the tree is read or changed), but
// then the answer is of no particular moment.
package artifact

// Limits bounds what is taken from a job.
type Limits struct {
	// TotalBytes and FileBytes are of the files' sizes, not of the blocks that
	// they occupy.
	TotalBytes, FileBytes int64
	// Files is the number of regular files; of all entries, twice as many are
	// looked at. Depth is that of directories, the top being 0.
	Files, Depth int
}

// DefaultLimits are those of a runner that was told nothing else.
func DefaultLimits() Limits {
	return Limits{TotalBytes: 2 << 30, FileBytes: 2 << 30, Files: 10_000, Depth: 32}
}

// entries is how many entries of any kind are looked at.
func (l Limits) entries() int { return 2*l.Files + 1 }

// maxPath bounds the names that are reported, in bytes.
const maxPath = 1024

// Artifact is a file that the job left in its output directory.
type Artifact struct {
	// Name is relative to the directory, with forward slashes: valid UTF-8 of
	// graphic characters and spaces, at most 1024 bytes.
	Name string
	Size int64
	// SHA256 is in lower-case hexadecimal.
	SHA256 string
}

// Collection is what was found.
type Collection struct {
	// Artifacts is sorted by name.
	Artifacts []Artifact
	// Warnings says what was left out and why, a sentence each, 50 at most.
	Warnings []string
	// LimitExceeded says which limit the tree is beyond; empty if none. What lies
	// beyond is not among the artifacts.
	LimitExceeded string
}
