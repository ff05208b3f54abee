// Package hostile runs jobs that mean harm, each a small program (job/) in a test
// image, through a real platform, a real runner and the Docker engine, and looks
// at what they managed and at the host before and after.
//
// The tests carry the build tag engine. A row of the tables is an attack: what it
// must have managed, what it must have been refused, and how the platform tells
// of its end. docs/security.md has the same rows for people; a test holds the two
// together.
package hostile
