-- name: PutRunner :exec
INSERT INTO runners (id, installation_id, session_id, version, hostname, executor, capabilities,
                     drain, draining, registered_at, seen_at,
                     gpus, default_cpu_millis, default_memory_bytes, paused, signed_off)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE
SET installation_id = excluded.installation_id, session_id = excluded.session_id, version = excluded.version,
    hostname = excluded.hostname, executor = excluded.executor, capabilities = excluded.capabilities,
    drain = excluded.drain, draining = excluded.draining, registered_at = excluded.registered_at,
    seen_at = excluded.seen_at, gpus = excluded.gpus, default_cpu_millis = excluded.default_cpu_millis,
    default_memory_bytes = excluded.default_memory_bytes, paused = excluded.paused,
    signed_off = excluded.signed_off;

-- name: Runner :one
SELECT * FROM runners WHERE id = ?;

-- name: RunnerBySession :one
SELECT * FROM runners WHERE session_id = ?;

-- name: Runners :many
SELECT * FROM runners ORDER BY id;

-- name: SilentHolders :many
SELECT id FROM runners
WHERE seen_at < sqlc.arg(cutoff)
  AND EXISTS (SELECT 1 FROM jobs WHERE jobs.runner_id = runners.id AND jobs.state IN ('Claimed', 'Running'))
ORDER BY id;
