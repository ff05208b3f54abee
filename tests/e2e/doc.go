// Package e2e tests the whole: the programs as they are built, the real Docker
// engine and the real Basilisk, from a study file to the numbers in the files.
//
// Every test here has the build tag engine; `make test` builds the image and
// makes sure of an engine first. A test that fails prints what the programs
// printed.
package e2e
