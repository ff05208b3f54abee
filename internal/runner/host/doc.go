// Package host is what a runner knows and takes of its machine beside its jobs'
// limits: locks that all runners of the host share (lock.go), the GPUs that it
// gives to jobs (gpu.go, nvidia.go, smi.go), the disk space that it keeps free
// (disk.go), and its own standing when memory is short (oom.go).
//
// # Who has what
//
// A lock is held by an open file (flock(2)), so that the end of a process, however
// it came, gives it back: nothing is to be cleaned up after a crash. GPUs are
// locked for a job at a time, not for the life of a runner: two runners that offer
// the same GPUs share them.
package host
