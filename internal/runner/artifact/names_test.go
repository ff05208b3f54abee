package artifact

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// FuzzNames: a name that is reported as it is neither draws nor breaks a line,
// and any name is fit for a message.
func FuzzNames(f *testing.F) {
	for _, name := range []string{
		"plain.txt", "", "a/b", "new\nline", "\x1b[2J", "\xff", "=cmd()", "\u202egnp.exe", "\u2028", strings.Repeat("n", 2000),
		strings.Repeat("é", 60) + "\xc3", "quote\"back\\slash", "\x00",
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if badName(name) == "" {
			if !utf8.ValidString(name) || len(name) > maxPath || strings.ContainsFunc(name, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }) {
				t.Errorf("%q is taken", name)
			}
		}
		quoted := quote(name)
		if !utf8.ValidString(quoted) || strings.ContainsFunc(quoted, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q is quoted as %q", name, quoted)
		}
		// Ten bytes for each of 120, at the most, and the rest.
		if len(quoted) > 1300 {
			t.Errorf("a name of %d bytes is quoted in %d", len(name), len(quoted))
		}
	})
}
