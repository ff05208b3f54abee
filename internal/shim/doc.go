// Package shim is the small process between the runner and a job: PID 1 of the
// job's container, or the job's parent in a session of its own. It starts the
// job, writes its logs, forwards its telemetry port, reaps, kills it at its
// deadline when nobody else does, and reports how it ended. None of that needs
// the runner, or the container engine's daemon, to be alive.
//
// # The neighbour is hostile
//
// The shim runs with the job's user beside a job that may want it dead or
// silent, within the same limits on processes, memory and files. So everything
// that could fail later is done before the job starts (harden.go): it makes
// itself undumpable, so that no process of its user can trace it or read its
// memory or descriptors; it takes every signal; it makes all the threads that it
// will ever need, because Go's runtime ends the program where a thread can't be
// made; it opens its files and sockets, and holds descriptors in reserve for
// those that come later. From then on it allocates next to nothing and every
// buffer is bounded.
//
// What it reports is evidence, not proof: see ExitReport.
//
// # Order of events
//
//	harden → configuration → control connection → logs, telemetry port
//	→ start → (signals, kill, deadline) → end of the main process
//	→ kill what is left → drain logs and telemetry → report → acknowledgement
//
// The main process's end is the job's end: logs and telemetry that are in the
// kernel's buffers by then are kept, nothing that comes later is waited for.
//
// # Files
//
// One thing a file: main.go is the order above; control connection: message.go
// and line.go (both ends), link.go (the shim's); the runner's end is the package
// control below this one. What only a shim outside of a container needs, because
// it shares the host's network and gets no limits from an engine: peer.go and
// outside.go. FinishLog, in finish.go, and KillBelow, in kill.go, are for the
// runner too, where the shim was killed or is about to be.
package shim
