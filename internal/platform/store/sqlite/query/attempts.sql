-- name: InsertAttempt :exec
INSERT INTO attempts (job_id, number, token_epoch, token_counter, runner_id, session_id,
                      claimed_at, started_at, ended_at, outcome, error_message, has_result)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: UpdateAttempt :execrows
UPDATE attempts
SET token_epoch = ?, token_counter = ?, runner_id = ?, session_id = ?,
    claimed_at = ?, started_at = ?, ended_at = ?, outcome = ?, error_message = ?, has_result = ?
WHERE job_id = ? AND number = ?;

-- name: Attempt :one
SELECT * FROM attempts WHERE job_id = ? AND number = ?;

-- name: Attempts :many
SELECT * FROM attempts WHERE job_id = ? ORDER BY number;

-- name: InsertResult :exec
INSERT INTO results (job_id, number, result) VALUES (?, ?, ?);

-- name: Result :one
SELECT result FROM results WHERE job_id = ? AND number = ?;
