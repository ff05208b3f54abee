// Package auth decides who may call the platform.
//
// Loopback is no boundary on a host that people share: any local user, and any
// web page in a local user's browser, can reach a port there. So the platform
// makes a token at its first start ([LoadOrCreate]), in a file that only its own
// user can read, and a [Guard] asks every call for it: over HTTP ([Guard.HTTP])
// and over gRPC ([Guard.Unary], [Guard.Stream]). The guard keeps the token's hash
// only, compares in constant time, and logs nothing.
//
// The HTTP side also refuses requests that a web page could make a browser send:
// a Host that is a name which is not the platform's (DNS rebinding), and an
// Origin other than the platform itself. This holds without a token as well.
//
// To go without a token has to be said, and [CheckOpen] allows it only where no
// other host can connect.
package auth
