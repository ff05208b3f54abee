// Package buildinfo tells which version of the programs runs.
//
// A build by `make` is told by the linker, because a build from an archive has no
// repository to ask and one in a container may not be allowed to ask it. Any other
// build (`go build`, `go install MODULE@VERSION`) is told by the go command, which
// records the module's version and, in a repository, the commit.
package buildinfo

import (
	"runtime/debug"
	"strings"
)

// number and commit are set by the linker: a version such as "v1.2.0", and the
// full hash of a commit, with "-dirty" behind it where the tree was modified.
// Either may be empty.
var number, commit string

const (
	// unreleased is the number of a build that nobody gave one.
	unreleased = "devel"
	// shortHash is how much of a commit's hash is shown: what the go command has
	// in the versions that it makes of commits.
	shortHash = 12
	// dirty marks the commit of a modified tree.
	dirty = "-dirty"
)

// Version is the program's version in one line: "v1.2.0 (commit 59c09feb2955)".
// Behind the hash stands "modified" where the tree was; a commit that the number
// names already, or that nobody knows, is left out.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return describe(number, commit, info)
}

func describe(number, commit string, info *debug.BuildInfo) string {
	if number == "" && info.Main.Version != "(devel)" {
		number = info.Main.Version
	}
	if number == "" {
		number = unreleased
	}
	hash, modified := strings.CutSuffix(commit, dirty)
	if hash == "" {
		hash, modified = recorded(info)
	}
	hash = hash[:min(len(hash), shortHash)]
	switch {
	case hash == "" || strings.Contains(number, hash):
		return number
	case modified:
		return number + " (commit " + hash + ", modified)"
	}
	return number + " (commit " + hash + ")"
}

// recorded is the commit that the go command found the sources at.
func recorded(info *debug.BuildInfo) (hash string, modified bool) {
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			hash = s.Value
		case "vcs.modified":
			modified = s.Value == "true"
		}
	}
	return hash, modified
}
