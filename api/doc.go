// Package api holds the types of Lynx's REST interface, its problem errors and a
// typed client. Programs that drive a Lynx platform import it; the platform
// serves the same types, so what this package says is what is on the wire.
//
// A user submits a study; the platform makes a [Batch] of it, with one [Job] for
// each run. A batch is over when every job is in a terminal state. What a run
// left behind is a [JobResult]; the results of a whole batch come as [RunRow]s.
//
//	c, err := api.NewClient("unix:///run/lynx/api.sock", api.WithToken(token))
//	sub, err := c.Submit(ctx, file, api.YAML)
//	st, err := c.WaitBatch(ctx, sub.BatchID, 0, 30*time.Second)
//	for row, err := range c.AllBatchResults(ctx, sub.BatchID) { … }
//
// Files, logs and telemetry of a run are read with [Client.Download],
// [Client.Logs] and [Client.Telemetry], also while it runs; what changes comes
// with [Client.Events].
//
// Whatever the platform refuses comes back as a [*Problem] (RFC 9457), also of
// the client's methods: errors.AsType[*api.Problem](err).
//
// Conventions of the wire: names are snake_case; times are RFC 3339 in UTC; ids
// are strings; integers, seeds included, stay below 2^53 and so are exact as
// JSON numbers; a field without a value is null, a list or map without members
// is empty, never null, but for the fields that say otherwise.
package api
