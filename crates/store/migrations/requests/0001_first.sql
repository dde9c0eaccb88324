-- One row per request, and what they add up to per day. Apart from the configuration, so that writing
-- and deleting records never waits for, or holds up, an administrator. Few indexes: every one is paid
-- for by every request.

CREATE TABLE request_record (
    request_id TEXT PRIMARY KEY,
    at_ms BIGINT NOT NULL,
    trace_id TEXT,
    key_id TEXT,
    user_id TEXT,
    tenant_id TEXT NOT NULL,
    model TEXT NOT NULL,
    status BIGINT NOT NULL,
    code TEXT,
    upstream TEXT,
    input BIGINT NOT NULL,
    output BIGINT NOT NULL,
    cache_read BIGINT NOT NULL,
    cache_write_5m BIGINT NOT NULL,
    cache_write_1h BIGINT NOT NULL,
    reasoning BIGINT NOT NULL,
    source TEXT NOT NULL,
    cost_nano BIGINT,
    latency_ms BIGINT NOT NULL,
    first_byte_ms BIGINT,
    detail TEXT NOT NULL
);
-- NULL where the trace id is the request id, which is the common case.
CREATE INDEX request_record_by_trace ON request_record (trace_id) WHERE trace_id IS NOT NULL;
-- No index by key: each key's entries would lie on a page of their own, and with a thousand busy keys
-- every row would then write a page (measured: three times the cost of the row). The usage of a key is
-- in usage_daily; its records are found by walking back from the newest.

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
