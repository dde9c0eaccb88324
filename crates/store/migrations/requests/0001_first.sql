-- Request records, and what they add up to per day. Apart from the configuration, so that writing and
-- deleting records never waits for, or holds up, an administrator.

-- Up to 256 records of one tenant that were accepted within the same second, as lines of JSON in the order
-- of their ids. Records are searched by walking blocks: a row and its index entries for each record would
-- cost several times what the request's own work does.
CREATE TABLE request_block (
    -- The id of the first record, and of the last.
    id TEXT PRIMARY KEY,
    last_id TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    records BIGINT NOT NULL,
    lines TEXT NOT NULL
);

-- Records whose caller brought a trace id. All others have their request id as trace id.
CREATE TABLE request_trace (
    tenant_id TEXT NOT NULL,
    trace_id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    PRIMARY KEY (trace_id, request_id)
);

-- Requests that reached an upstream, summed. An empty key_id is a request without a stored key.
CREATE TABLE usage_daily (
    tenant_id TEXT NOT NULL,
    day TEXT NOT NULL,
    key_id TEXT NOT NULL,
    model TEXT NOT NULL,
    requests BIGINT NOT NULL,
    input BIGINT NOT NULL,
    output BIGINT NOT NULL,
    cache_read BIGINT NOT NULL,
    cache_write BIGINT NOT NULL,
    reasoning BIGINT NOT NULL,
    cost_nano BIGINT NOT NULL,
    unpriced BIGINT NOT NULL,
    PRIMARY KEY (key_id, day, model, tenant_id)
);
