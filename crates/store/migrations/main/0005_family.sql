-- The operator's label for accounts that belong together, by which a path can ask for them. NULL for the others.
ALTER TABLE account ADD COLUMN family TEXT;
