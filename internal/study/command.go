package study

import (
	"strings"

	"github.com/tetryx/lynx-runner/internal/strictyaml"
)

// command checks an argument list. What it may contain is what a process can be
// given: any text without a NUL. An empty item is refused because it is rather a
// variable that somebody forgot to fill in than an argument.
func (c checker) command(path string, argv []string) {
	if c.doc.Has(c.at("simulation", "entrypoint")) {
		c.doc.Errorf(path, "does not go together with entrypoint; keep command for a program in an image, or entrypoint for a file below the runner's working directory")
	}
	switch {
	case len(argv) == 0:
		c.doc.Errorf(path, "is empty; want the program and its arguments as a list, such as [/usr/local/bin/my-simulation, --fast]")
	case len(argv) > MaxCommand:
		c.doc.Errorf(path, "has %d items; want at most %d", len(argv), MaxCommand)
	}
	for i, arg := range argv[:min(len(argv), MaxCommand)] {
		here := strictyaml.Index(path, i)
		switch {
		case arg == "":
			c.doc.Errorf(here, "is empty; leave it out, or write the argument")
		case strings.ContainsRune(arg, 0):
			c.doc.Errorf(here, "contains a NUL character, which no argument of a program can")
		case len(arg) > MaxArgument:
			c.doc.Errorf(here, "has %d bytes; want at most %d", len(arg), MaxArgument)
		}
	}
}
