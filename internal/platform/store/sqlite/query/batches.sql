-- name: RaiseEpoch :one
UPDATE store SET epoch = epoch + 1 RETURNING epoch;

-- name: InsertBatch :one
INSERT INTO batches (id, state, pending, claimed, running, completed, failed, timeout, cancelled,
                     cancel_requested, created_at, started_at, completed_at, revision, ended, ended_for)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
RETURNING seq;

-- name: InsertSpec :exec
INSERT INTO specs (batch, spec) VALUES (?, ?);

-- name: UpdateBatch :execrows
UPDATE batches
SET state = ?, pending = ?, claimed = ?, running = ?, completed = ?, failed = ?, timeout = ?, cancelled = ?,
    cancel_requested = ?, started_at = ?, completed_at = ?, revision = ?, ended = ?, ended_for = ?
WHERE id = ?;

-- name: Batch :one
SELECT * FROM batches WHERE id = ?;

-- name: Spec :one
SELECT spec FROM specs WHERE batch = ?;

-- SQLite plans for the value of a limit, and prepares the statement anew each time that
-- one is bound; into a CAST it does not look. The same holds for the lists of jobs.

-- name: Batches :many
SELECT * FROM batches WHERE seq < sqlc.arg(before) ORDER BY seq DESC LIMIT CAST(sqlc.arg(n) AS INTEGER);

-- name: OpenBatches :many
SELECT * FROM batches WHERE pending > 0 AND seq > sqlc.arg(after) ORDER BY seq LIMIT CAST(sqlc.arg(n) AS INTEGER);
