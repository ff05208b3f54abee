package strictyaml

import "strings"

// Nearest returns the name in valid that name was most likely meant to be, or ""
// if nothing is near. Upper case, hyphens and spaces don't count as differences
// where the rest is equal; otherwise at most a third of the letters (and at least
// one, but never all) may be missing, too many, wrong, or swapped with their
// neighbour. Of equally near names the first in valid is returned.
func Nearest(name string, valid []string) string {
	if len(name) > MaxKeyBytes {
		return ""
	}
	folded := fold(name)
	best, least := "", max(1, len(folded)/3)+1
	for _, candidate := range valid {
		d := distance(folded, fold(candidate))
		if d < least && d < min(len(folded), len(candidate)) {
			best, least = candidate, d
		}
	}
	return best
}

func fold(name string) string {
	return strings.NewReplacer("-", "_", " ", "_").Replace(strings.ToLower(name))
}

// distance is the optimal string alignment distance, in bytes: the number of
// insertions, deletions, substitutions and swaps of neighbours that turn a into b,
// where no part is edited twice.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
