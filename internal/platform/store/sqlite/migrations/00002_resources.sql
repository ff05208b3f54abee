-- +goose Up

-- How many attempts that executed were reported, and the microseconds that runners
-- had them for, in all.
ALTER TABLE batches ADD COLUMN ended INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batches ADD COLUMN ended_for INTEGER NOT NULL DEFAULT 0;

ALTER TABLE runners ADD COLUMN gpus INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runners ADD COLUMN default_cpu_millis INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runners ADD COLUMN default_memory_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runners ADD COLUMN paused TEXT NOT NULL DEFAULT '';
