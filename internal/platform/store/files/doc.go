// Package files keeps what attempts left: their logs, telemetry and artifacts, as
// runners hand them in after the result. It knows nothing of batches and jobs but
// their names; who may hand in what is the caller's to decide.
//
// # Layout
//
//	<directory>/<batch id>/<run index, five digits or more>/attempt-N/
//	    log/ output/ telemetry.parquet …   complete files, under their own paths
//	    .partial/<path>                    what arrived of the others
//	    .complete                          a line of JSON for each complete file
//
// A file grows below .partial. When all of it is there and its SHA-256 is the
// announced one, its bytes are synced, it is renamed to its place, and its line
// is written; directories and .complete are synced at the end of the upload,
// however that ends. A file is complete if it has a line and is there: a crash at
// any point leaves a file that is complete, or one that is sent again. Complete
// files never change.
//
// # Hostile names
//
// Paths come from runners and, in the end, from jobs. Only those that an attempt's
// directory has are taken (see [CheckPath]), and all access goes through an
// os.Root: whatever a name says, nothing outside the directory is touched.
package files
