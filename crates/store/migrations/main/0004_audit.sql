-- The audit log: one entry for each change, chained. The rules of 0001 hold here as well.

-- Where the chain ends. Every entry changes this row first, so that they come one after the other.
CREATE TABLE audit_head (
    id BIGINT PRIMARY KEY,
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    mac TEXT NOT NULL,
    checkpoints BIGINT NOT NULL,
    checkpoint_at BIGINT NOT NULL,
    seal TEXT NOT NULL
);
INSERT INTO audit_head (id, seq, at, mac, checkpoints, checkpoint_at, seal) VALUES (1, 0, 0, '', 0, 0, '');

CREATE TABLE audit_log (
    seq BIGINT PRIMARY KEY,
    at BIGINT NOT NULL,
    tenant_id TEXT NOT NULL,
    actor TEXT NOT NULL,
    verb TEXT NOT NULL,
    object TEXT NOT NULL,
    request_id TEXT NOT NULL,
    source TEXT NOT NULL,
    fields TEXT NOT NULL,
    mac TEXT NOT NULL
);
CREATE INDEX audit_log_by_object ON audit_log (object, seq);
CREATE INDEX audit_log_by_actor ON audit_log (actor, seq);

-- Signed, so that whoever kept one can show later that the log before it is the same.
CREATE TABLE audit_checkpoint (
    number BIGINT PRIMARY KEY,
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    mac TEXT NOT NULL,
    signature TEXT NOT NULL
);

-- A second factor at sign-in. The secret is sealed; recovery codes are keyed hashes in a JSON list.
CREATE TABLE second_factor (
    user_id TEXT PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    secret TEXT NOT NULL,
    confirmed BOOLEAN NOT NULL,
    last_step BIGINT NOT NULL,
    recovery TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
