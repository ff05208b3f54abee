// Package rest is the platform's HTTP interface, as documented by Lynx and
// completed where the documents stop.
//
// The types on the wire are those of package api; this package only translates
// between them and the platform's records (view.go), checks what comes in
// (strict.go, submit.go) and turns errors into problems of RFC 9457
// (problem.go). Operations are registered with huma, which checks parameters
// against the same types that OpenAPI 3.1 at /openapi.json is made of.
//
// Files and logs (files.go, logs.go) come from what the platform keeps of attempts
// that have ended, and from the hub of live output for those that run. What a job
// wrote is bytes to everybody: only names of its result are looked for, and what
// is sent has a media type, a name and headers that no browser runs. Telemetry
// (telemetry.go) is read from the stored table as a stream and reduced to the
// extremes of each stretch (series.go). Events (events.go) are made of the
// platform's feed of changes: each client has a place in it and reads what changed
// from the store, so that a slow one costs nothing.
//
// Answers that are sent as they come (stream.go) are free of the server's limits
// for whole requests; each piece has a limit of its own. They end with the
// request's context, which whoever serves the handler ends when it stops.
//
// Nothing that a client sends is ignored: an unknown, empty or repeated query
// parameter, an unknown field in a study, a body where none is expected and a
// media type other than JSON and YAML are errors that name what is wrong.
package rest
