// Package stand sets up what tests of the whole need: a lynx-server and
// lynx-runners as processes of their own, as somebody would start them, in a
// directory of their own, and the means to break what they stand on.
//
// # Use
//
// A [Stand] is a directory with a platform ([Stand.StartServer]), which tests talk
// to as users do ([Stand.Client]), and runners ([Stand.NewRunner]). Each is a
// [Program] that can be killed, stopped and started again. Whatever a test leaves
// running is ended with it, and what the programs logged is shown if it fails.
//
// Faults come from an [EngineProxy] and a [PlatformProxy], which lie between a
// runner and its engine or its platform; from an [Engine] of the test's own, in
// namespaces of its own, which may be killed; and from a [SmallDisk], which may be
// filled. Afterwards [Users.Processes], [Below] and [Docker] tell what is left.
//
// Everything fails the test where it cannot do what it is asked, so it has to be
// called from the test's own goroutine.
//
// The package carries the build tag engine, like the tests that use it.
package stand
