-- When a sum last grew, in milliseconds since the epoch; 0 for sums from before.
ALTER TABLE usage_daily ADD COLUMN updated_at BIGINT NOT NULL DEFAULT 0;
