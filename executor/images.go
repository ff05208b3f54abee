package executor

import (
	"fmt"
	"path"
	"regexp"
	"strings"
)

// ImagePatterns are the image references that a host's owner allows, each as it
// is or as a pattern of path.Match: a '*' stands for anything without a '/', so
// "registry.example/team/*" is every image directly below team, with any tag or
// digest. A reference or pattern without a tag means ":latest"; one with a digest
// ("name@sha256:…") pins the content, and any tag in it means nothing.
//
// References are compared as they are spelled: nothing is completed to a
// registry's name but the tag.
type ImagePatterns []string

// Allow reports whether one of the patterns takes a reference.
func (p ImagePatterns) Allow(ref string) bool {
	for _, pattern := range p {
		// As it stands, too: a pattern that ends in '*' takes any tag.
		for _, candidate := range []string{pattern, tagged(pattern)} {
			if ok, err := path.Match(candidate, tagged(ref)); ok && err == nil {
				return true
			}
		}
	}
	return false
}

// String lists the patterns, for messages.
func (p ImagePatterns) String() string {
	if len(p) == 0 {
		return "no image at all"
	}
	return strings.Join(p, ", ")
}

// IsImagePattern reports whether s stands for more than one reference.
func IsImagePattern(s string) bool { return strings.ContainsAny(s, `*?[\`) }

var (
	imageForm  = regexp.MustCompile(`^[A-Za-z0-9*?\[][A-Za-z0-9._/:@*?\[\]^-]*$`)
	digestForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
)

// CheckImage says what is wrong with a reference or pattern.
func CheckImage(s string) error {
	if !imageForm.MatchString(s) {
		return fmt.Errorf("%q is not an image reference; want a name such as registry.example/team/image:tag", s)
	}
	if _, err := path.Match(s, ""); err != nil {
		return fmt.Errorf("%q is not a pattern: a '[' needs its ']'", s)
	}
	if _, digest, pinned := strings.Cut(s, "@"); pinned && !IsImagePattern(digest) && !digestForm.MatchString(digest) {
		return fmt.Errorf("%q has a digest of another form than sha256: and 64 hexadecimal digits", s)
	}
	return nil
}

// tagged is a reference without what means nothing: it adds the tag that one
// without means, and takes the tag from one with a digest.
func tagged(ref string) string {
	name, digest, pinned := strings.Cut(ref, "@")
	colon := strings.LastIndexByte(name, ':')
	hasTag := colon > strings.LastIndexByte(name, '/')
	switch {
	case pinned && hasTag:
		return name[:colon] + "@" + digest
	case ref == "" || pinned || hasTag:
		return ref
	}
	return ref + ":latest"
}
