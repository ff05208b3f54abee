// Package api holds the types of Lynx's REST interface, its problem errors and a
// typed client. Programs that drive a Lynx platform import it; the platform
// serves the same types.
package api
