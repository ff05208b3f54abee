// Package faults breaks things around running jobs, one fault at a time, with a
// real platform, a real runner and a real Docker engine as processes of their own,
// and looks at what became of the jobs.
//
// # Cells
//
// A cell is one fault at one point of a job's life. It has a verdict, what must
// come of the job, and whatever the fault, the same invariants at its end: every
// job has exactly one result, which is the true one; no log line and no telemetry
// sample of it is missing; and nothing is left behind, no container, process,
// control group, socket, directory or undelivered result.
//
// docs/reliability.md has a row for each cell; a test holds the two together.
//
// # Means
//
// The engine's faults come from a proxy on its unix socket, or happen to a second
// engine in namespaces of its own; the platform's from signals and a proxy; a full
// disk is a small file system that is filled. A job goes on when the test says so
// (a file in its output directory), so nothing here depends on how long something
// takes.
//
// The tests carry the build tag engine. They run the cells that are quick; with
// LYNX_FAULTS=all, as `make test-faults` does, all of them.
package faults
