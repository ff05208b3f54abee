// Package platform is the control plane: batches, their jobs, the attempts to
// run them, the runners that do, and the rules that move a job from Pending to
// its end.
//
// It comes in three parts:
//
//   - The records (types.go) and the state machine on them (machine.go): pure
//     functions that take records and a time and change the records. Each rule
//     of retrying, requeueing and cancelling is there and nowhere else.
//   - [Service]: each exported method is one operation of the REST or the runner
//     API, run as one transaction of a [Store]. It does no I/O of its own, takes
//     its clock, randomness and ids as arguments and may be called concurrently.
//   - [Store]: what the service needs of a database, in records. Implementations
//     are store/sqlite and store/memory; both pass the suite in store/storetest.
//
// # Life of a job
//
//	Pending ──claim──► Claimed ──started──► Running ──result──► Completed, Failed, Timeout, Cancelled
//	   ▲                  │                    │
//	   └── retry, requeue, lost runner ────────┘
//
// A claim makes an attempt with a [Token]: the store's epoch, raised each time
// the store is opened, and the number of the attempt. The token fences the
// attempt: it is the job's current one until the job is claimed again or is
// terminal, however much time passes. A report with another token is refused
// with [ErrStaleToken] and changes nothing.
//
// A runner that is silent for longer than the lease loses its attempts: their
// jobs are requeued, and the next runner may take them. Until one does, the first
// runner is still welcome: its heartbeat takes the job up again, its result is
// accepted, and the requeue is taken back. Nobody's compute is thrown away.
//
// # Time
//
// Leases and patience are measured by the time that really passes, not by the host's
// clock, which may be set, or leap when a suspended host goes on (clock.go).
//
// # Who gets what
//
// A claim goes through the batches in the order of their submission and gives what
// the runner is large enough for and has room for (resources.go). A large job is
// passed over for small ones of later batches for a minute at most; then those
// runners that could do it are held back until one has room ([Service.ClaimWithin]).
// A job that no connected runner would take says what is missing
// ([JobView.PendingReason]).
//
// # What is counted
//
// A batch keeps the number of its jobs in each state, changed by the same step
// that changes a job, so that progress never needs counting. Its number of jobs
// never changes.
package platform
