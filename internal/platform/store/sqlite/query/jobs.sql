-- name: InsertJob :exec
INSERT INTO jobs (batch, run_index, id, seed, sample, state) VALUES (?, ?, ?, ?, ?, ?);

-- name: UpdateJob :execrows
UPDATE jobs
SET state = ?, retries = ?, requeues = ?, reruns = ?, attempts = ?, reported = ?, token_epoch = ?, token_counter = ?,
    outcome = ?, error_message = ?, cancel_requested = ?, runner_id = ?,
    claimed_at = ?, started_at = ?, completed_at = ?
WHERE id = ?;

-- name: CancelPending :execrows
UPDATE jobs
SET state = 'Cancelled', cancel_requested = 1, outcome = 'cancelled', error_message = sqlc.arg(message),
    completed_at = sqlc.arg(at)
WHERE batch = (SELECT seq FROM batches WHERE batches.id = sqlc.arg(batch_id)) AND state = 'Pending';

-- name: Job :one
SELECT sqlc.embed(jobs), batches.id AS batch_id, batches.created_at
FROM jobs JOIN batches ON batches.seq = jobs.batch
WHERE jobs.id = ?;

-- Each of the lists below goes along one index: a filter in a parameter would make
-- SQLite read and sort the whole table.

-- name: BatchJobs :many
SELECT * FROM jobs WHERE batch = sqlc.arg(batch) AND run_index > sqlc.arg(after) ORDER BY run_index LIMIT CAST(sqlc.arg(n) AS INTEGER);

-- name: BatchJobsByState :many
SELECT * FROM jobs INDEXED BY jobs_by_state
WHERE batch = sqlc.arg(batch) AND state = sqlc.arg(state) AND run_index > sqlc.arg(after)
ORDER BY run_index LIMIT CAST(sqlc.arg(n) AS INTEGER);

-- name: BatchJob :many
SELECT * FROM jobs WHERE batch = sqlc.arg(batch) AND run_index = sqlc.arg(run_index);

-- The ids that begin alike lie together in the index of ids; those that match are
-- then sorted. CROSS JOIN and + keep SQLite from walking along all jobs of all
-- batches instead, which are in the right order.

-- name: JobsByID :many
SELECT sqlc.embed(jobs), batches.id AS batch_id, batches.created_at
FROM jobs CROSS JOIN batches ON batches.seq = jobs.batch
WHERE jobs.id >= sqlc.arg(first) AND jobs.id < sqlc.arg(past)
  AND (sqlc.arg(batch_id) = '' OR batches.id = sqlc.arg(batch_id))
  AND (sqlc.arg(state) = '' OR jobs.state = sqlc.arg(state))
  AND (sqlc.arg(run_index) < 0 OR jobs.run_index = sqlc.arg(run_index))
  AND (+jobs.batch < sqlc.arg(after_batch) OR +jobs.batch = sqlc.arg(after_batch) AND jobs.run_index > sqlc.arg(after_run))
ORDER BY jobs.batch DESC, jobs.run_index
LIMIT CAST(sqlc.arg(n) AS INTEGER);

-- name: ActiveJobs :many
SELECT sqlc.embed(jobs), batches.id AS batch_id, batches.created_at
FROM jobs JOIN batches ON batches.seq = jobs.batch
WHERE jobs.runner_id = ? AND jobs.state IN ('Claimed', 'Running');

-- name: ActiveCounts :many
SELECT runner_id, COUNT(*) AS n FROM jobs WHERE state IN ('Claimed', 'Running') GROUP BY runner_id;
