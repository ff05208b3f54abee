// Package simulation holds a deterministic simulation of a platform and its
// runners, as a test. The platform is the real one over a store in memory; the
// runners are models that keep the protocol as internal/runner does; network,
// clocks and crashes are simulated. Nothing waits and nothing is concurrent: a
// virtual clock jumps from event to event, and everything that happens follows
// from one seed, so a schedule that breaks an invariant can be run again:
//
//	go test ./tests/simulation -run TestSchedules -seed 4711 -v
//
// In a schedule, messages are lost, delayed, duplicated and overtaken; answers are
// lost after the platform acted; runners are killed and come back, with their
// journal and without their memory, taking up what runs or ending it; the platform
// is killed and comes back, now and then without its last transactions; its clock
// jumps; users cancel, drain and resume. Then everything heals, and every job must
// end, with the result that one attempt of it truly had.
package simulation
