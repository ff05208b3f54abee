-- +goose Up

-- Whether the runner's last process ended in order and said so.
ALTER TABLE runners ADD COLUMN signed_off INTEGER NOT NULL DEFAULT 0;
