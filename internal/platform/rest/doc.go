// Package rest is the platform's HTTP interface, as documented by Lynx and
// completed where the documents stop.
//
// The types on the wire are those of package api; this package only translates
// between them and the platform's records (view.go), checks what comes in
// (strict.go, submit.go) and turns errors into problems of RFC 9457
// (problem.go). Operations are registered with huma, which checks parameters
// against the same types that OpenAPI 3.1 at /openapi.json is made of.
//
// Nothing that a client sends is ignored: an unknown, empty or repeated query
// parameter, an unknown field in a study, a body where none is expected and a
// media type other than JSON and YAML are errors that name what is wrong.
package rest
