-- The secrets that a key's requests are signed with, newest first, sealed as one value. NULL for keys that
-- do not sign, which are nearly all.
ALTER TABLE api_key ADD COLUMN signing_secret TEXT;
