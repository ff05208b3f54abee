// Package telemetry receives, judges and keeps the numbers that a running job
// reports.
//
// [Serve] starts one gRPC server for one attempt, on a unix socket that only
// this attempt can reach. What a client sends goes through three stages:
//
//   - The intake (intake.go) discards batches that it already has, gives each
//     sample to the watchdog, and queues the batch. None of this can block, so a
//     verdict never waits for a disk.
//   - The writer (writer.go) appends what is queued to the attempt's log in
//     groups, keeps the summary, and publishes the sequence number up to which
//     everything is written. That number is the acknowledgement.
//   - Each stream sends the acknowledgements back, and a Publish is answered when
//     its sample is written (stream.go).
//
// The verdict of an attempt depends on its samples alone. gRPC by itself does
// not have that property: when a connection ends, its server may throw away
// what the client had sent and the handler had not read. So the server's
// connections end differently (conn.go): the end of a connection reaches the
// handlers as the end of their streams, behind everything that was sent.
// [Server.Finish] waits for that, for a second at most.
//
// The log (log.go) is append-only and survives the runner: a server that is
// created again with the same path cuts off a record torn by a crash, takes up
// the sequence number, the summary and the verdict, and goes on. [WriteParquet]
// turns a log into a table.
//
// A job is a stranger. Memory is bounded whatever it sends: 16 connections, 16
// streams, 1 MiB a message, 65,536 values a message, 1,000 variables, a queue of
// 4 MiB, a log of 1 GiB by default. What is left out is counted.
package telemetry
