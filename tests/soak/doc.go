// Package soak has hundreds of jobs of all kinds run while everything around them
// breaks, at random and at once, and then wants to see that nothing was lost.
//
// # What happens
//
// A real platform and three real runners (two with containers, one with processes)
// work on batches of jobs whose end is known beforehand: jobs that succeed, that
// fail, that crash, that breach a rule, that run out of time, that succeed at their
// third attempt, that somebody cancels. The engine is one of the test's own. From a
// seed comes a schedule of faults ([schedule]): programs are killed, stopped and
// frozen, connections are cut, calls answered wrongly, disks filled, containers
// removed. Several may last at the same time. A program that has ended is started
// again, as an init system does.
//
// # What is wanted
//
// When the faults are over, everything comes to rest by itself. Then every job has
// one result, the true one for its kind; its log and its telemetry are complete, by
// content; the platform has the files that the host has; and nothing is left of any
// attempt.
//
// `make soak` runs it for as long as SOAK says, with SEED; the tests run it for some
// seconds, always with the same seed. The schedule is printed, and is the same for
// the same seed; what a fault meets is not, so a seed that fails may have to be run
// more than once.
package soak
