package executor

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestImagePatterns(t *testing.T) {
	for _, tc := range []struct {
		pattern, ref string
		want         bool
	}{
		{"lynx-basilisk", "lynx-basilisk", true},
		{"lynx-basilisk", "lynx-basilisk:latest", true},
		{"lynx-basilisk:latest", "lynx-basilisk", true},
		{"lynx-basilisk", "lynx-basilisk:2", false},
		{"lynx-basilisk", "evil/lynx-basilisk", false},
		{"lynx-basilisk", "lynx-basilisk-2", false},
		{"lynx-basilisk:*", "lynx-basilisk:7", true},
		{"lynx-basilisk*", "lynx-basilisk:7", true},
		{"registry.example/team/*", "registry.example/team/image", true},
		{"registry.example/team/*", "registry.example/team/image:3", true},
		{"registry.example/team/*", "registry.example/team/image@" + digest, true},
		{"registry.example/team/*", "registry.example/team/deep/image", false},
		{"registry.example/team/*", "registry.example/other/image", false},
		{"registry.example/team/*", "registry.example.evil/team/image", false},
		{"registry.example:5000/a", "registry.example:5000/a:latest", true},
		{"name@" + digest, "name@" + digest, true},
		{"name@" + digest, "name:3@" + digest, true},
		{"name@" + digest, "name@" + strings.Replace(digest, "0", "1", 1), false},
		{"name@" + digest, "name", false},
		{"name", "name@" + digest, false},
		{"name:3", "name:3@" + digest, false}, // any content could call itself so
		{"*", "anything", true},
		{"*", "some/thing", false},
		{"", "", true},
		{"name", "", false},
		{"[", "[", false},
	} {
		if got := (ImagePatterns{"nothing", tc.pattern}).Allow(tc.ref); got != tc.want {
			t.Errorf("%q takes %q: %v, want %v", tc.pattern, tc.ref, got, tc.want)
		}
	}
	if (ImagePatterns)(nil).Allow("x") {
		t.Error("no pattern takes something")
	}
}

func TestCheckImage(t *testing.T) {
	for s, says := range map[string]string{
		"lynx-basilisk": "", "registry.example:5000/team/*": "", "name@" + digest: "", "name@sha256:*": "", "x[0-9]": "",
		"": "not an image reference", "-x": "not an image reference", "a b": "not an image reference", "a\nb": "not an image reference",
		"x[": "needs its ']'", "name@sha256:0": "64 hexadecimal digits", "name@md5:0": "64 hexadecimal digits",
	} {
		if err := CheckImage(s); (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", s, err, says)
		}
	}
}

// What is allowed as it is allows itself and, with a digest or tag of its own,
// nothing else; no pattern reaches past a '/'.
func TestImagesReachNoFurther(t *testing.T) {
	reference := rapid.StringMatching(`([a-z0-9.]{1,8}(:[0-9]{2})?/)?[a-z0-9-]{1,8}(/[a-z0-9]{1,8})?(:[a-z0-9.]{1,5})?(@sha256:[0-9a-f]{64})?`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := reference.Draw(t, "a"), reference.Draw(t, "b")
		if !(ImagePatterns{a}).Allow(a) {
			t.Fatalf("%q does not allow itself", a)
		}
		if got, want := (ImagePatterns{a}).Allow(b), tagged(a) == tagged(b); got != want {
			t.Fatalf("%q allows %q: %v", a, b, got)
		}
		below := b + "/*"
		if (ImagePatterns{below}).Allow(a) && strings.Count(a, "/") != strings.Count(b, "/")+1 {
			t.Fatalf("%q allows %q", below, a)
		}
	})
}
