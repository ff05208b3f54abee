-- +goose Up

-- One row. epoch counts the times that the database was opened.
CREATE TABLE store (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    epoch INTEGER NOT NULL
) STRICT;

INSERT INTO store (id, epoch) VALUES (1, 0);

-- Times are microseconds since 1970 in UTC, 0 for one that has not come yet.
-- What a claim changes is apart from what a submission fixed (specs).
CREATE TABLE batches (
    seq              INTEGER PRIMARY KEY,
    id               TEXT    NOT NULL UNIQUE,
    state            TEXT    NOT NULL,
    pending          INTEGER NOT NULL,
    claimed          INTEGER NOT NULL,
    running          INTEGER NOT NULL,
    completed        INTEGER NOT NULL,
    failed           INTEGER NOT NULL,
    timeout          INTEGER NOT NULL,
    cancelled        INTEGER NOT NULL,
    cancel_requested INTEGER NOT NULL,
    created_at       INTEGER NOT NULL,
    started_at       INTEGER NOT NULL,
    completed_at     INTEGER NOT NULL,
    revision         INTEGER NOT NULL
) STRICT;

CREATE INDEX batches_open ON batches (seq) WHERE pending > 0;

-- spec is JSON.
CREATE TABLE specs (
    batch INTEGER PRIMARY KEY REFERENCES batches (seq),
    spec  BLOB NOT NULL
) STRICT;

-- sample holds the row of the design: float64, little-endian, in the order of the
-- spec's columns.
CREATE TABLE jobs (
    batch            INTEGER NOT NULL REFERENCES batches (seq),
    run_index        INTEGER NOT NULL,
    id               TEXT    NOT NULL UNIQUE,
    seed             INTEGER NOT NULL,
    sample           BLOB    NOT NULL,
    state            TEXT    NOT NULL,
    retries          INTEGER NOT NULL DEFAULT 0,
    requeues         INTEGER NOT NULL DEFAULT 0,
    attempts         INTEGER NOT NULL DEFAULT 0,
    reported         INTEGER NOT NULL DEFAULT 0,
    token_epoch      INTEGER NOT NULL DEFAULT 0,
    token_counter    INTEGER NOT NULL DEFAULT 0,
    outcome          TEXT    NOT NULL DEFAULT '',
    error_message    TEXT    NOT NULL DEFAULT '',
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    runner_id        TEXT    NOT NULL DEFAULT '',
    claimed_at       INTEGER NOT NULL DEFAULT 0,
    started_at       INTEGER NOT NULL DEFAULT 0,
    completed_at     INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (batch, run_index)
) STRICT, WITHOUT ROWID;

CREATE INDEX jobs_by_state ON jobs (batch, state, run_index);
CREATE INDEX jobs_active ON jobs (runner_id) WHERE state IN ('Claimed', 'Running');

CREATE TABLE attempts (
    job_id        TEXT    NOT NULL REFERENCES jobs (id),
    number        INTEGER NOT NULL,
    token_epoch   INTEGER NOT NULL,
    token_counter INTEGER NOT NULL,
    runner_id     TEXT    NOT NULL,
    session_id    TEXT    NOT NULL,
    claimed_at    INTEGER NOT NULL,
    started_at    INTEGER NOT NULL,
    ended_at      INTEGER NOT NULL,
    outcome       TEXT    NOT NULL,
    error_message TEXT    NOT NULL,
    has_result    INTEGER NOT NULL,
    PRIMARY KEY (job_id, number)
) STRICT, WITHOUT ROWID;

-- result is a lynx.runner.v1.Result.
CREATE TABLE results (
    job_id TEXT    NOT NULL,
    number INTEGER NOT NULL,
    result BLOB    NOT NULL,
    PRIMARY KEY (job_id, number),
    FOREIGN KEY (job_id, number) REFERENCES attempts (job_id, number)
) STRICT;

-- capabilities is JSON.
CREATE TABLE runners (
    id              TEXT    PRIMARY KEY,
    installation_id TEXT    NOT NULL,
    session_id      TEXT    NOT NULL UNIQUE,
    version         TEXT    NOT NULL,
    hostname        TEXT    NOT NULL,
    executor        TEXT    NOT NULL,
    capabilities    BLOB    NOT NULL,
    drain           INTEGER NOT NULL,
    draining        INTEGER NOT NULL,
    registered_at   INTEGER NOT NULL,
    seen_at         INTEGER NOT NULL
) STRICT;
