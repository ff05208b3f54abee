// Package docs holds the documents to what the programs do. Code blocks and
// command lines of README.md and docs/ are read, not repeated: studies must be
// valid, configuration must load, each command and flag must exist, shell blocks
// run as they are pasted, and every setting must be told of.
//
// What needs the engine or Basilisk's Python has the build tag engine.
package docs
