-- +goose Up

-- Attempts after the first that were made because a user asked for them.
ALTER TABLE jobs ADD COLUMN reruns INTEGER NOT NULL DEFAULT 0;
